"""Durable facts, and the queries over them."""
