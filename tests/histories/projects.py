"""Projects made of apps that others have published: real migration histories to upgrade through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_BASE = ("django.contrib.auth", "django.contrib.contenttypes")


@dataclass(frozen=True, slots=True)
class Project:
    """Installed apps, what has to be installed for them, and the settings that they demand."""

    apps: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: Of a whole product: the module with its own settings, and the variables that this reads.
    base: str = ""
    #: Tables with rows that are others in each run: what was encrypted, and logs of what was written in which order.
    fleeting: frozenset[str] = frozenset()
    environ: Mapping[str, str] = field(default_factory=dict)


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
    "security": Project(
        (
            *_BASE,
            "axes",
            "django_otp",
            "django_otp.plugins.otp_email",
            "django_otp.plugins.otp_hotp",
            "django_otp.plugins.otp_static",
            "django_otp.plugins.otp_totp",
            "two_factor",
            "two_factor.plugins.phonenumber",
            "rest_framework",
            "rest_framework.authtoken",
            "rest_framework_simplejwt.token_blacklist",
            "rest_framework_api_key",
            "knox",
            "social_django",
        ),
        (
            "django-axes",
            "django-otp",
            "django-two-factor-auth[phonenumbers]",
            "djangorestframework",
            "djangorestframework-simplejwt",
            "djangorestframework-api-key",
            "django-rest-knox",
            "social-auth-app-django",
        ),
        {"AUTHENTICATION_BACKENDS": ["axes.backends.AxesBackend", "django.contrib.auth.backends.ModelBackend"]},
    ),
    "records": Project(
        (
            *_BASE,
            "django.contrib.sessions",
            "django.contrib.sites",
            "auditlog",
            "easyaudit",
            "actstream",
            "constance",
            "post_office",
            "django_q",
            "explorer",
            "silk",
        ),
        (
            "django-auditlog",
            "django-easy-audit",
            "django-activity-stream",
            "django-constance",
            "django-post-office",
            "django-q2",
            "django-sql-explorer",
            "django-silk",
        ),
        {
            "Q_CLUSTER": {"orm": "default"},
            "EXPLORER_CONNECTIONS": {"default": "default"},
            "CONSTANCE_BACKEND": "constance.backends.database.DatabaseBackend",
            "CONSTANCE_CONFIG": {},
            # It logs what it cannot look up in a database that is older than its own code.
            "LOGGING_CONFIG": None,
        },
        fleeting=frozenset({"easyaudit_crudevent", "explorer_databaseconnection"}),
    ),
    "cms": Project(
        (
            *_BASE,
            "django.contrib.sites",
            "django.contrib.admin",
            "django.contrib.messages",
            "django.contrib.sessions",
            "cms",
            "menus",
            "treebeard",
            "filer",
            "easy_thumbnails",
        ),
        ("django-cms", "django-filer"),
        {
            "LANGUAGES": [("en", "English")],
            "LANGUAGE_CODE": "en",
            "CMS_CONFIRM_VERSION4": True,
            "CMS_TEMPLATES": [("a.html", "a")],
            "TEMPLATES": [
                {
                    "BACKEND": "django.template.backends.django.DjangoTemplates",
                    "APP_DIRS": True,
                    "OPTIONS": {
                        "context_processors": [
                            "django.contrib.auth.context_processors.auth",
                            "django.contrib.messages.context_processors.messages",
                            "django.template.context_processors.request",
                            "sekizai.context_processors.sekizai",
                            "cms.context_processors.cms_settings",
                        ]
                    },
                }
            ],
        },
    ),
    "content": Project(
        (
            *_BASE,
            "django.contrib.sites",
            "django.contrib.admin",
            "django.contrib.humanize",
            "django.contrib.messages",
            "django.contrib.sessions",
            "newsletter",
            "sorl.thumbnail",
            "photologue",
            "sortedm2m",
            "organizations",
        ),
        (
            "django-newsletter",
            "sorl-thumbnail",
            "django-photologue",
            "django-organizations",
        ),
        {"NEWSLETTER_THUMBNAIL": "sorl-thumbnail"},
    ),
}
