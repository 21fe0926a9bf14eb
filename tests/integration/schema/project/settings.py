"""A project of models and migrations of every kind."""

import json
import os

SECRET_KEY = "tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "kinds",
    "history",
    "spaces",
    "switched_off",
    "moved",
    *json.loads(os.environ.get("APPS", "[]")),
    "guard",
]
DATABASES = json.loads(os.environ["DATABASES"])
DATABASE_ROUTERS = json.loads(os.environ.get("ROUTERS", "[]"))
MIGRATION_MODULES = {"switched_off": None, "moved": "elsewhere.moved_migrations"}
KINDS_SWAPPED_MODEL = "kinds.Replacement"
GUARD = {"MODE": "off"}
