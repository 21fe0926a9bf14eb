"""Figures beside their budgets, in one process, interleaved. Time never decides whether a test passes."""
