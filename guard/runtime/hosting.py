"""The servers and workers that end a process without telling Python: what they call at its begin and end instead."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wrapt

from guard.runtime.grumble import grumble


@dataclass(frozen=True, slots=True)
class Hooks:
    """What is to be called. None of them raises."""

    #: This process is, or will fork, workers of this workload.
    becomes: Callable[[str], None]
    #: It is about to work: register now.
    begins: Callable[[], None]
    #: A piece of its work is done.
    pauses: Callable[[], None]
    #: It is about to end.
    ends: Callable[[], None]


_hosted: set[str] = set()


def by_celery(hooks: Hooks) -> None:
    """Follow Celery's workers, where Celery is loaded; does nothing the second time.

    Children of its prefork pool leave Python through `os._exit`, and its queues are known to nobody else.
    """
    signals = sys.modules.get("celery.signals")
    if signals is None or "celery" in _hosted:
        return
    _hosted.add("celery")

    def set_up(instance: Any, **_: object) -> None:
        queues = ",".join(sorted(map(str, instance.app.amqp.queues.consume_from)))
        hooks.becomes(f"celery:{queues}")
        # The parent of a prefork pool does none of the work.
        if not instance.pool_cls.__module__.endswith(".prefork"):
            hooks.begins()

    def started(**_: object) -> None:
        hooks.begins()

    def done(**_: object) -> None:
        hooks.pauses()

    def stopping(**_: object) -> None:
        hooks.ends()

    for name, receiver in (
        ("celeryd_after_setup", set_up),
        ("worker_process_init", started),
        ("task_postrun", done),
        ("worker_process_shutdown", stopping),
    ):
        getattr(signals, name).connect(receiver, weak=False, dispatch_uid=f"guard.{name}")


def by_uvicorn(ends: Callable[[], None]) -> None:
    """Call `ends`, which must not raise, when uvicorn has shut down, where it is loaded; does nothing the second time.

    It raises the signal that stopped it once more, with the default action: no exit handler runs after that. Django's
    ASGI application does not take part in the lifespan protocol.
    """
    server = sys.modules.get("uvicorn.server")
    if server is None or "uvicorn" in _hosted:
        return
    _hosted.add("uvicorn")

    def shutdown(wrapped: Callable[..., Any], instance: object, args: Any, kwargs: Any) -> Any:
        async def guard_shutdown() -> None:
            try:
                await wrapped(*args, **kwargs)
            finally:
                # Not on the loop's thread, which Django keeps away from databases. Bounded.
                await asyncio.to_thread(ends)

        return guard_shutdown()

    try:
        wrapt.wrap_function_wrapper(server, "Server.shutdown", shutdown)
    except AttributeError:
        grumble("uvicorn", "this uvicorn has no Server.shutdown: its processes end without saying that they are gone.")
