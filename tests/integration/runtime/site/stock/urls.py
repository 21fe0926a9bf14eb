"""Views that touch the column, or do not."""

import os

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from guard.runtime import process
from stock.models import Item


def pid(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(os.getpid()))


def reads(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(str(list(Item.objects.filter(old=number))))


async def waits(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(str([item async for item in Item.objects.filter(old=number)]))


def fails(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        Item.objects.create(name="lost", old=1)
        raise RuntimeError("rolled back")


def flatline(request: HttpRequest) -> HttpResponse:
    """The heartbeat's thread dies, as by a bug of guard's own."""
    heart = process.current().heart
    thread = heart._thread
    while thread is not None and thread.is_alive():
        # It fails when it looks when the next beat is due; in the middle of a beat it does not look.
        heart._next = None
        heart._bell.put(None)
        thread.join(0.05)
    return HttpResponse("dead")


def holds(request: HttpRequest, number: int) -> HttpResponse:
    """Keep a connection of PostgreSQL's until whoever has this lock lets it go."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
    return HttpResponse("held")


def names(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(list(Item.objects.values_list("name"))))


urlpatterns = [
    path("pid/", pid),
    path("reads/<int:number>/", reads),
    path("waits/<int:number>/", waits),
    path("fails/", fails),
    path("names/", names),
    path("holds/<int:number>/", holds),
    path("flatline/", flatline),
    path("guard/", include("guard.urls")),
]
