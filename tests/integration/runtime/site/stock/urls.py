"""Views that touch the column, or do not."""

import ctypes
import os
import threading

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

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
    """The heartbeat's thread dies, as by a bug in what it runs."""
    (heart,) = [thread for thread in threading.enumerate() if thread.name == "guard-heartbeat"]
    # Twice: what it does within a beat, it survives.
    while heart.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(heart.ident), ctypes.py_object(SystemExit))
        heart.join(0.01)
    return HttpResponse("dead")


def names(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(list(Item.objects.values_list("name"))))


urlpatterns = [
    path("pid/", pid),
    path("reads/<int:number>/", reads),
    path("waits/<int:number>/", waits),
    path("fails/", fails),
    path("names/", names),
    path("flatline/", flatline),
    path("guard/", include("guard.urls")),
]
