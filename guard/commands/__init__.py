"""The verbs of `manage.py guard`, a module for each: HELP, its arguments, and what it does."""
