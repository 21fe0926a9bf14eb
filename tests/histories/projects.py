"""Projects made of apps that others have published: real migration histories to upgrade through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_BASE = ("django.contrib.auth", "django.contrib.contenttypes")


@dataclass(frozen=True, slots=True)
class Project:
    """Installed apps, what has to be installed for them, and the settings that they demand."""

    apps: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


PROJECTS = {
    "contrib": Project(
        (
            *_BASE,
            "django.contrib.admin",
            "django.contrib.sessions",
            "django.contrib.sites",
            "django.contrib.flatpages",
            "django.contrib.redirects",
        )
    ),
    "wagtail": Project(
        (
            *_BASE,
            "django.contrib.admin",
            "wagtail.contrib.forms",
            "wagtail.contrib.redirects",
            "wagtail.contrib.search_promotions",
            "wagtail.embeds",
            "wagtail.sites",
            "wagtail.users",
            "wagtail.snippets",
            "wagtail.documents",
            "wagtail.images",
            "wagtail.search",
            "wagtail.admin",
            "wagtail.locales",
            "wagtail",
            "taggit",
        ),
        ("wagtail",),
        {"WAGTAILADMIN_BASE_URL": "http://localhost", "WAGTAIL_SITE_NAME": "site"},
    ),
    "allauth": Project(
        (
            *_BASE,
            "django.contrib.sites",
            "allauth",
            "allauth.account",
            "allauth.socialaccount",
            "allauth.mfa",
            "allauth.usersessions",
        ),
        ("django-allauth[mfa,socialaccount]",),
        {"MIDDLEWARE": ["allauth.account.middleware.AccountMiddleware"]},
    ),
    "celery": Project(
        (*_BASE, "django_celery_beat", "django_celery_results"), ("django-celery-beat", "django-celery-results")
    ),
    "oauth": Project((*_BASE, "oauth2_provider"), ("django-oauth-toolkit",), {"OAUTH2_PROVIDER": {}}),
    "reversion": Project(
        (*_BASE, "reversion", "waffle", "guardian"), ("django-reversion", "django-waffle", "django-guardian")
    ),
}
