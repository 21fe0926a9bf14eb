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
    "notices": Project(
        (
            *_BASE,
            "django.contrib.admin",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django.contrib.sites",
            "admin_interface",
            "colorfield",
            "avatar",
            "background_task",
            "cities_light",
            "django_comments",
            "django_apscheduler",
            "django_rest_passwordreset",
            "djmoney.contrib.exchange",
            "dynamic_preferences",
            "dynamic_preferences.users",
            "fcm_django",
            "friendship",
            "invitations",
            "oidc_provider",
            "push_notifications",
            "request",
            "rest_framework",
            "rest_framework_tracking",
            "schedule",
            "survey",
            "user_sessions",
            "webpush",
        ),
        (
            "django-admin-interface",
            "django-apscheduler",
            "django-avatar",
            "django-background-tasks",
            "django-cities-light",
            "django-contrib-comments",
            "django-dynamic-preferences",
            "django-friendship",
            "django-invitations",
            "django-money",
            "django-oidc-provider",
            "django-push-notifications",
            "django-request",
            "django-rest-passwordreset",
            "django-scheduler",
            "django-survey-and-report",
            "django-user-sessions",
            "django-webpush",
            "drf-api-tracking",
            "fcm-django",
        ),
    ),
    "shop": Project(
        (
            *_BASE,
            "django.contrib.admin",
            "django.contrib.flatpages",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django.contrib.sites",
            *(
                f"oscar.{app}"
                for app in (
                    "config.Shop",
                    "apps.analytics.apps.AnalyticsConfig",
                    "apps.checkout.apps.CheckoutConfig",
                    "apps.address.apps.AddressConfig",
                    "apps.shipping.apps.ShippingConfig",
                    "apps.catalogue.apps.CatalogueConfig",
                    "apps.catalogue.reviews.apps.CatalogueReviewsConfig",
                    "apps.communication.apps.CommunicationConfig",
                    "apps.partner.apps.PartnerConfig",
                    "apps.basket.apps.BasketConfig",
                    "apps.payment.apps.PaymentConfig",
                    "apps.offer.apps.OfferConfig",
                    "apps.order.apps.OrderConfig",
                    "apps.customer.apps.CustomerConfig",
                    "apps.search.apps.SearchConfig",
                    "apps.voucher.apps.VoucherConfig",
                    "apps.wishlists.apps.WishlistsConfig",
                    "apps.dashboard.apps.DashboardConfig",
                    "apps.dashboard.reports.apps.ReportsDashboardConfig",
                    "apps.dashboard.users.apps.UsersDashboardConfig",
                    "apps.dashboard.orders.apps.OrdersDashboardConfig",
                    "apps.dashboard.catalogue.apps.CatalogueDashboardConfig",
                    "apps.dashboard.offers.apps.OffersDashboardConfig",
                    "apps.dashboard.partners.apps.PartnersDashboardConfig",
                    "apps.dashboard.pages.apps.PagesDashboardConfig",
                    "apps.dashboard.ranges.apps.RangesDashboardConfig",
                    "apps.dashboard.reviews.apps.ReviewsDashboardConfig",
                    "apps.dashboard.vouchers.apps.VouchersDashboardConfig",
                    "apps.dashboard.communications.apps.CommunicationsDashboardConfig",
                    "apps.dashboard.shipping.apps.ShippingDashboardConfig",
                )
            ),
            "haystack",
            "treebeard",
            "sorl.thumbnail",
        ),
        ("django-oscar", "django-haystack>=3.3"),
        {"HAYSTACK_CONNECTIONS": {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}},
        base="oscar.defaults",
    ),
    "forum": Project(
        (
            *_BASE,
            "django.contrib.admin",
            "django.contrib.humanize",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django.contrib.sites",
            "mptt",
            "haystack",
            "widget_tweaks",
            "machina",
            "machina.apps.forum",
            "machina.apps.forum_conversation",
            "machina.apps.forum_conversation.forum_attachments",
            "machina.apps.forum_conversation.forum_polls",
            "machina.apps.forum_feeds",
            "machina.apps.forum_moderation",
            "machina.apps.forum_search",
            "machina.apps.forum_tracking",
            "machina.apps.forum_member",
            "machina.apps.forum_permission",
            "django_nyt",
            "sekizai",
            "sorl.thumbnail",
            "wiki",
            "wiki.plugins.attachments",
            "wiki.plugins.images",
            "wiki.plugins.macros",
            "wiki.plugins.notifications",
        ),
        ("django-machina", "wiki", "sorl-thumbnail"),
        {
            "HAYSTACK_CONNECTIONS": {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}},
            "MACHINA_FORUM_NAME": "forum",
        },
    ),
    "helpdesk": Project(
        (
            *_BASE,
            "django.contrib.admin",
            "django.contrib.humanize",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django.contrib.sites",
            "rest_framework",
            "helpdesk",
        ),
        ("django-helpdesk",),
        {"HELPDESK_TEAMS_MODE_ENABLED": False},
    ),
    "stripe": Project(
        (*_BASE, "django.contrib.sites", "djstripe"),
        ("dj-stripe",),
        {"DJSTRIPE_FOREIGN_KEY_TO_FIELD": "id", "STRIPE_TEST_SECRET_KEY": "sk_test_123", "STRIPE_LIVE_MODE": False},
    ),
    "ledger": Project(
        (*_BASE, "django.contrib.admin", "django.contrib.messages", "django.contrib.sessions", "django_ledger"),
        ("django-ledger",),
    ),
    "edx": Project(
        ("completion", "edx_when", "edxval", "milestones", "organizations", "simple_history", "submissions"),
        (
            "edx-enterprise",
            "edx-organizations",
            "edx-completion",
            "edxval",
            "edx-submissions",
            "edx-milestones",
            "edx-when",
        ),
        base="enterprise.settings.test",
    ),
}
