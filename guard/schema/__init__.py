"""What code declares, what the database has, how they differ."""
