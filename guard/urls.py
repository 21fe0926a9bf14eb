"""Readiness, for load balancers and orchestrators: `path("guard/", include("guard.urls"))`."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache

from guard.runtime import process

app_name = "guard"


@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """200 or 503. The reasons go to the log: this answer is public, and asks no database."""
    if process.ready():
        return JsonResponse({"status": "ready"})
    response = JsonResponse({"status": "not ready"}, status=503)
    # Django would log each probe as a server error, and mail it to the admins.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


urlpatterns = [path("ready/", ready, name="ready")]
