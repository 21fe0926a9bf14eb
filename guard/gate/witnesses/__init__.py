"""What the database itself can say about who is there."""
