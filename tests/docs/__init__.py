"""Tests that hold the docs against what runs."""
