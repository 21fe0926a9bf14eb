"""Settings of the shop, from the environment; every release's `config.settings` takes them as they are.

DB               sqlite (default), postgres or mariadb
DB_NAME          the database, or the SQLite file; DB_HOST, DB_PORT, DB_USER and DB_PASSWORD as usual
RELEASE          the label of this release
WITH_GUARD       1 (default) or 0
LOG_LEVEL        INFO (default), WARNING, …
GUARD_<KEY>      any key of the GUARD setting: seconds for durations, text for the rest
"""

import os
from pathlib import Path

COMMON = Path(__file__).resolve().parents[1]

SECRET_KEY = os.environ.get("SECRET_KEY", "a sample has no secrets")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
INSTALLED_APPS = ["shop"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]


def _database() -> dict[str, object]:
    vendor = os.environ.get("DB", "sqlite")
    if vendor == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("DB_NAME", str(COMMON.parent / "shop.sqlite3")),
            # SQLite has one writer: it takes its lock at the start and waits, and WAL lets readers go on meanwhile.
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    server: dict[str, object] = {
        "NAME": os.environ.get("DB_NAME", "shop"),
        "HOST": os.environ.get("DB_HOST", "127.0.0.1"),
        "PASSWORD": os.environ.get("DB_PASSWORD", ""),
        "CONN_MAX_AGE": 60,
    }
    if vendor == "postgres":
        return server | {
            "ENGINE": "django.db.backends.postgresql",
            "PORT": os.environ.get("DB_PORT", "5432"),
            "USER": os.environ.get("DB_USER", "postgres"),
        }
    if vendor == "mariadb":
        return server | {
            "ENGINE": "django.db.backends.mysql",
            "PORT": os.environ.get("DB_PORT", "3306"),
            "USER": os.environ.get("DB_USER", "root"),
            "OPTIONS": {"charset": "utf8mb4"},
        }
    raise ValueError(f"DB is {vendor!r}; expected sqlite, postgres or mariadb")


DATABASES = {"default": _database()}

RELEASE = os.environ.get("RELEASE", "")

WITH_GUARD = os.environ.get("WITH_GUARD", "1") == "1"
if WITH_GUARD:
    INSTALLED_APPS = ["guard", *INSTALLED_APPS]
    MIDDLEWARE = ["guard.middleware.GuardMiddleware", *MIDDLEWARE]


def _guard() -> dict[str, object]:
    values: dict[str, object] = {"MODE": "enforce"}
    if RELEASE:
        values["RELEASE"] = RELEASE
    for name, text in os.environ.items():
        # The test suite's own variables, and the one that says who gives an order, share the prefix.
        if name.startswith("GUARD_") and not name.startswith("GUARD_TEST_") and name != "GUARD_ACTOR":
            try:
                values[name.removeprefix("GUARD_")] = float(text)
            except ValueError:
                values[name.removeprefix("GUARD_")] = text
    return values


GUARD = _guard()

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "INFO")},
    # A request that fails is logged once, with its traceback; expected 404s are not news.
    "loggers": {"django.request": {"level": "ERROR"}},
}
