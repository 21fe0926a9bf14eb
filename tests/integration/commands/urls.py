"""A project that has guard's readiness view."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("guard/", include("guard.urls"))]
