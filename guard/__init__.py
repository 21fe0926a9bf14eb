"""Plain Django migrations, made safe while several versions of the code are deployed."""

__version__ = "0.1.0"
