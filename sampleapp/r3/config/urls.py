"""URLs of the project."""

from django.conf import settings
from django.urls import include, path
from shopkit.http import health

urlpatterns = [path("health/", health), path("", include("shop.urls"))]
if settings.WITH_GUARD:
    urlpatterns.append(path("guard/", include("guard.urls")))

handler500 = "shopkit.http.server_error"
