"""One file per split operation: its expand and contract DDL."""
