"""Continuous load over HTTP: a round-robin balancer that honours readiness, and shoppers that count what fails."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sampleapp.stage.processes import PATIENCE, Server, request, until


class Balancer:
    """Gives each request to the next ready server, as a load balancer in front of a fleet does."""

    def __init__(self, *, every: float = 0.2) -> None:
        self._every = every
        self._lock = threading.Lock()
        self._servers: list[Server] = []
        self._ready: list[Server] = []
        self._in_flight: Counter[int] = Counter()
        self._turn = itertools.count()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._probe, daemon=True)

    def __enter__(self) -> Balancer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def add(self, server: Server) -> None:
        """Know a server; it gets requests while its readiness probe says 200."""
        with self._lock:
            if server not in self._servers:
                self._servers.append(server)

    def take(self, server: Server, *, within: float = PATIENCE) -> None:
        """Know a server, and wait until it gets requests: only then can it stand in for another one."""
        self.add(server)
        server.until_ready(within=within)
        until("the balancer sends it requests", lambda: self.serves(server), within=within)

    def drain(self, server: Server, *, within: float = PATIENCE) -> None:
        """Give a server no more requests, and wait until those that it has are answered."""
        with self._lock:
            self._servers = [each for each in self._servers if each is not server]
            self._ready = [each for each in self._ready if each is not server]
        until("the server's requests are answered", lambda: self._in_flight[server.port] == 0, within=within)

    def serves(self, server: Server) -> bool:
        """Whether the server gets requests now."""
        return server in self._ready

    @contextlib.contextmanager
    def pick(self) -> Any:
        """The next ready server, or None."""
        with self._lock:
            server = self._ready[next(self._turn) % len(self._ready)] if self._ready else None
            if server is not None:
                self._in_flight[server.port] += 1
        try:
            yield server
        finally:
            if server is not None:
                with self._lock:
                    self._in_flight[server.port] -= 1

    def _probe(self) -> None:
        while not self._stopped.wait(self._every):
            with self._lock:
                servers = list(self._servers)
            answers = [(server, server.ready) for server in servers]
            with self._lock:
                self._ready = [server for server, ready in answers if ready and server in self._servers]


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that a customer would have seen fail."""

    at: float
    what: str
    release: str
    error: str

    def __str__(self) -> str:
        return f"{self.what} by {self.release or 'nobody'}: {self.error}"


@dataclass(frozen=True, slots=True)
class Tally:
    """What a stretch of load came to. Times are in seconds."""

    requests: int
    failures: tuple[Failure, ...]
    slowest: float
    #: Requests that each release answered.
    by_release: tuple[tuple[str, int], ...]


class Load:
    """Shoppers in threads: they list, create, read, change and delete products and their suppliers, without pause."""

    def __init__(
        self,
        balancer: Balancer,
        *,
        shoppers: int = 4,
        think: float = 0.01,
        on_failure: Callable[[Failure], None] | None = None,
    ) -> None:
        self._balancer = balancer
        self._think = think
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._requests = 0
        self._slowest = 0.0
        self._failures: list[Failure] = []
        self._releases: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._shop, args=(n,), daemon=True) for n in range(shoppers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def mark(self) -> Tally:
        """The tally since the last mark."""
        with self._lock:
            tally = Tally(self._requests, tuple(self._failures), self._slowest, tuple(sorted(self._releases.items())))
            self._requests, self._slowest = 0, 0.0
            self._failures.clear()
            self._releases.clear()
        return tally

    @property
    def requests(self) -> int:
        """Requests since the last mark."""
        return self._requests

    def until_more(self, count: int, *, within: float = PATIENCE) -> None:
        """Wait until so many more requests have been made."""
        target = self._requests + count
        until(f"{count} more requests", lambda: self._requests >= target, within=within)

    def _shop(self, number: int) -> None:
        rng = random.Random(number)
        for round_ in itertools.count():
            if self._stopped.is_set():
                return
            self._round(rng, f"{number}.{round_}")

    def _round(self, rng: random.Random, name: str) -> None:
        supplier = self._ask("POST", "/suppliers/", {"name": f"supplier {name}"}, {201})
        if supplier is None:
            # A shop that takes no new supplier still has customers.
            self._ask("GET", "/products/", None, {200})
            return
        products = []
        for n in range(2):
            product = self._ask(
                "POST",
                "/products/",
                {
                    "name": f"product {name}.{n}",
                    "price": rng.randrange(100, 10_000),
                    "sku": f"SKU-{name}.{n}",
                    "brand": "guarded",
                    "supplier": supplier["id"],
                },
                {201},
            )
            if product is not None:
                products.append(product["id"])
            self._ask("GET", "/products/", None, {200})
        for pk in products:
            self._ask("GET", f"/products/{pk}/", None, {200})
            self._ask("PUT", f"/products/{pk}/", {"price": rng.randrange(100, 10_000)}, {200})
        if products:
            self._ask("DELETE", f"/products/{products[0]}/", None, {200})
        # Where the release knows the supplier of a product, the product goes with it.
        self._ask("DELETE", f"/suppliers/{supplier['id']}/", None, {200})
        for pk in products[1:]:
            self._ask("GET", f"/products/{pk}/", None, {200, 404})

    def _ask(self, method: str, path: str, data: object, expected: Iterable[int]) -> Any:
        if self._stopped.wait(self._think):
            return None
        release, answer, error = "", None, ""
        started = time.monotonic()
        with self._balancer.pick() as server:
            if server is None:
                error = "no server is ready"
            else:
                release = server.release.label or server.release.name
                try:
                    status, _, answer = request(server.port, method, path, data)
                except (OSError, http.client.HTTPException) as problem:
                    error = f"{type(problem).__name__}: {problem}"
                else:
                    if status not in expected:
                        told = answer.get("error") if isinstance(answer, dict) else str(answer)[:200]
                        # PostgreSQL adds where in the statement it stumbled.
                        error = f"{status} {told}".partition("\nLINE ")[0]
        ended = time.monotonic()
        with self._lock:
            self._requests += 1
            self._slowest = max(self._slowest, ended - started)
            self._releases[release] += 1
            failure = None
            if error:
                shape = "/".join("…" if part.isdigit() else part for part in path.split("/"))
                failure = Failure(ended, f"{method} {shape}", release, error)
                self._failures.append(failure)
        if failure is not None:
            if self._on_failure is not None:
                self._on_failure(failure)
            # A client that was refused does not hammer.
            self._stopped.wait(0.05)
            return None
        return answer
