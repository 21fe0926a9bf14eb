"""The middleware: registers a server when it loads, and tells the watch which request a statement belongs to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from guard.runtime import process, watch

GetResponse = Callable[[HttpRequest], Any]


class GuardMiddleware:
    """Put it first in MIDDLEWARE: what runs before it is counted without its URL route."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        if not process.active():
            raise MiddlewareNotUsed("GUARD['MODE'] is 'off'")
        self._get_response = get_response
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)
        process.serve()

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._async:
            return self._acall(request)
        process.attend()
        token = watch.request.set(request)
        try:
            response: HttpResponseBase = self._get_response(request)
            return response
        finally:
            watch.request.reset(token)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        process.attend()
        token = watch.request.set(request)
        task = watch.task.set(watch.answering())
        try:
            response: HttpResponseBase = await self._get_response(request)
            return response
        finally:
            watch.task.reset(task)
            watch.request.reset(token)
