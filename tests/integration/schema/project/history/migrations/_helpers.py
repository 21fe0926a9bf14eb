"""Not a migration: Django passes by what begins with an underscore."""
