"""Settings of the project that the runtime's tests run, from the environment: DATABASES and GUARD as JSON."""

import contextlib
import json
import os

SECRET_KEY = "tests"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "stock.urls"
WSGI_APPLICATION = "wsgi.application"
STATIC_URL = "static/"
STATIC_ROOT = os.environ.get("STATIC_ROOT")
INSTALLED_APPS = os.environ.get("APPS", "django.contrib.staticfiles guard stock").split()
MIDDLEWARE = ["guard.middleware.GuardMiddleware"] if os.environ.get("MIDDLEWARE", "1") == "1" else []
DATABASES = json.loads(os.environ["DATABASES"])
# What a newer release would bring.
MIGRATION_MODULES = {"stock": "later"} if os.environ.get("LATER") else {}
DATABASE_ROUTERS = os.environ.get("ROUTERS", "").split()
GUARD = json.loads(os.environ["GUARD"])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "loggers": {"guard": {"handlers": ["stderr"], "level": "INFO"}},
}

if "PRAGMA" in os.environ:
    from pathlib import Path

    from django.db.backends.signals import connection_created

    def limited(connection, **_):
        """SQLite's file is full, or read-only, for as long as a test says so."""
        with contextlib.suppress(FileNotFoundError), connection.cursor() as cursor:
            cursor.execute(f"PRAGMA {Path(os.environ['PRAGMA']).read_text()}")

    connection_created.connect(limited)
