"""What lives inside every application process: its identity, its lease, its watch."""
