"""JSON over HTTP, without a framework: bodies in, answers out."""

import json
import sys
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse


def body(request: HttpRequest) -> dict[str, Any]:
    """The request's JSON object."""
    data = json.loads(request.body or b"{}")
    if not isinstance(data, dict):
        raise ValueError("expected a JSON object")
    return data


def answer(data: object, status: int = 200) -> JsonResponse:
    """A JSON answer that says which release gave it."""
    return JsonResponse(data, status=status, safe=False, headers={"X-Release": settings.RELEASE})


def health(request: HttpRequest) -> JsonResponse:
    """Liveness: this process answers. It asks nothing of the database."""
    return answer({"release": settings.RELEASE})


def server_error(request: HttpRequest) -> JsonResponse:
    """A failed request, with the error's own text.

    A real shop would keep that text to its log; here whoever watches the deploy wants to read it.
    """
    error = sys.exc_info()[1]
    return answer({"error": f"{type(error).__name__}: {error}"}, status=500)
