"""One release removes three columns while the release before it is still serving: without guard, then with it.

`make demo` runs it on SQLite; `make demo DB=postgres` and `make demo DB=mariadb` where a server answers. It exits 0 if
requests failed without guard and none failed with it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sampleapp.stage import databases
from sampleapp.stage.databases import Database
from sampleapp.stage.load import Balancer, Failure, Load, Tally
from sampleapp.stage.processes import Process, Release, Server, TimedOut, stopping, until

OLD, NEW = "r2", "r3"
SERVERS = 3
SEEDS = 20
COLUMNS = ("is_enabled", "sku", "supplier_id")
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mariadb": "MariaDB"}

#: Every window is a few seconds here, where production has hours. All in seconds.
WINDOWS: dict[str, object] = {
    "MODE": "enforce",
    "LEASE": 3,
    "LOST_GRACE": 3,
    "QUIET_PERIOD": 2,
    "ROLLBACK_WINDOW": 3,
    "ADOPTION_PERIOD": 3,
    "WORKLOAD_WINDOW": 10,
    "KEEP_FOR": 600,
}


class Stopped(Exception):
    """The deploy could not go on."""


class Printer:
    """A timeline of one run; colours only on a terminal."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def restart(self) -> None:
        self._started = time.monotonic()

    def title(self, text: str) -> None:
        self._print("")
        self._print(text, "1")
        self._print("─" * len(text), "2")

    def line(self, text: str, colour: str = "") -> None:
        self._print(f"{time.monotonic() - self._started:6.1f} s  {text}", colour)

    def good(self, text: str) -> None:
        self.line(f"✓ {text}", "32")

    def bad(self, text: str) -> None:
        first, *rest = textwrap.wrap(text, 106) or [""]
        self.line(f"✗ {first}", "31")
        for each in rest:
            self._print(" " * 12 + each, "31")

    def command(self, text: str) -> None:
        self.line(f"$ {text}", "1")

    def output(self, text: str) -> None:
        for line in text.rstrip().splitlines():
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            for part in textwrap.wrap(line, 108, subsequent_indent=indent, break_on_hyphens=False) or [""]:
                self._print(f"          │ {part}", "2")

    def plain(self, text: str, colour: str = "") -> None:
        self._print(text, colour)

    def _print(self, text: str, colour: str = "") -> None:
        print(f"\033[{colour}m{text}\033[0m" if colour and self._colours else text, flush=True)


@dataclass(slots=True)
class Run:
    """What one run came to."""

    phases: dict[str, Tally] = field(default_factory=dict)
    #: How often the looping command ended in an error.
    crashes: int = 0
    #: Products from before the deploy that still have what the new release removes.
    seeds_left: int = 0

    @property
    def failures(self) -> list[Failure]:
        return [failure for tally in self.phases.values() for failure in tally.failures]

    @property
    def requests(self) -> int:
        return sum(tally.requests for tally in self.phases.values())


class Deploy:
    """A fleet of the shop under load on one database, taken from one release to the next and back."""

    def __init__(self, printer: Printer, database: Database, directory: Path, guard: dict[str, object] | None) -> None:
        self._print = printer
        self._database = database
        self._directory = directory
        self._guard = guard
        self._kind = "plain" if guard is None else "guard"
        self._restock: Process | None = None
        self._started = 0
        self._fleet: list[Server] = []
        self._everything: list[Process] = []
        self._failed: Counter[str] = Counter()
        self.run = Run()

    def go(self) -> Run:
        old, new = (Release(name, self._database, self._guard) for name in (OLD, NEW))
        self._print.restart()
        with ExitStack() as stack:
            stack.enter_context(stopping(self._everything))
            self._manage(old, "migrate", quiet=True)
            starting = [self._start(old) for _ in range(SERVERS)]
            self._balancer = stack.enter_context(Balancer())
            for server in starting:
                self._add(server)
            self._seed(starting[0])
            self._loop(old)
            self._load = stack.enter_context(Load(self._balancer, think=0.03, on_failure=self._saw))
            self._load.until_more(100)
            self._print.good(f"{SERVERS} servers of {OLD} take orders")
            self._end_phase("before the deploy")

            self._manage(new, "migrate")
            self._load.until_more(50)
            self._roll(new)
            self._loop(new)
            self._load.until_more(50)
            self._end_phase("migrate and roll-out")

            if self._guard is not None:
                self._contract(new)
                self._load.until_more(100)
                self._end_phase("contract step")

            self._back(old, new)
            self._loop(old)
            self._load.until_more(100)
            self._end_phase("roll-back")
            self._watch_loop()
            self._count_seeds()
        return self.run

    def _contract(self, new: Release) -> None:
        self._manage(new, "guard", "contract", "--wait", "--timeout", "30")
        there = self._database.columns("shop_product")
        self._print.line(
            "columns of shop_product that r2 needs and r3 does not: "
            + ", ".join(f"{name} {'still there' if name in there else 'set aside'}" for name in COLUMNS)
        )

    def _back(self, old: Release, new: Release) -> None:
        self._print.line(f"roll-back: {OLD} starts again")
        first = self._start(old).until_up()
        if self._guard is not None:
            status = first.status(first.ready_path)
            self._print.line(f"readiness of {OLD} answers {status}" + (": no traffic for it" if status == 503 else ""))
            for column in COLUMNS:
                self._manage(new, "guard", "restore", f"shop_product.{column}")
        self._roll(old, first)

    def _roll(self, release: Release, first: Server | None = None) -> None:
        for n, leaving in enumerate(list(self._fleet), 1):
            server = first if first is not None and n == 1 else self._start(release)
            self._add(server)
            self._fleet.remove(leaving)
            self._balancer.drain(leaving)
            leaving.stop()
            self._print.line(f"{n} of {SERVERS} servers replaced: {leaving.release.name} → {release.name}")

    def _loop(self, release: Release) -> None:
        """Replace the command that runs all the time beside the servers."""
        if self._restock is not None and self._watch_loop():
            self._restock.stop()
        self._restock = release.start(self._directory / f"{self._kind}-restock-{release.name}.log", "restock")
        self._everything.append(self._restock)
        self._print.line(f"manage.py restock, which never ends, runs from {release.name}")
        loop = self._restock
        until("restock has done a round", lambda: not loop.running or "round 1" in loop.text)

    def _watch_loop(self) -> bool:
        assert self._restock is not None
        if self._restock.running:
            return True
        lines = [line for line in self._restock.text.splitlines() if "Error: " in line] or ["for no known reason"]
        self.run.crashes += 1
        self._print.bad(f"manage.py restock of {self._restock.release.name} has crashed: {lines[-1]}")
        return False

    def _start(self, release: Release) -> Server:
        self._started += 1
        server = release.serve(self._directory / f"{self._kind}-{self._started}-{release.name}.log")
        self._everything.append(server)
        return server

    def _add(self, server: Server) -> None:
        self._balancer.take(server)
        self._fleet.append(server)

    def _seed(self, server: Server) -> None:
        supplier = server.request("POST", "/suppliers/", {"name": "first"})[2]["id"]
        for n in range(SEEDS):
            data = {"name": f"seed {n}", "price": 100, "sku": f"SEED-{n}", "supplier": supplier}
            status, _, answer = server.request("POST", "/products/", data)
            assert status == 201, answer

    def _count_seeds(self) -> None:
        if "sku" in self._database.columns("shop_product"):
            rows = self._database.query("SELECT count(*) FROM shop_product WHERE sku LIKE ?", ["SEED-%"])
            self.run.seeds_left = int(rows[0][0])

    def _manage(self, release: Release, *args: str, quiet: bool = False) -> None:
        self._print.command(f"manage.py {' '.join(args)}" + " " * 3 + f"({release.name})")
        done = release.manage(*args)
        if done.code:
            self._print.output(done.text)
            raise Stopped(f"manage.py {' '.join(args)} of {release.name} exited with {done.code}")
        if not quiet:
            self._print.output(done.out)

    def _saw(self, failure: Failure) -> None:
        kind = f"{failure.what} by {failure.release}: {failure.error}"
        self._failed[kind] += 1
        # The load has several threads: only the first of a kind is news, and not more than a handful.
        if self._failed[kind] == 1 and len(self._failed) <= 4:
            self._print.bad(f"request failed: {kind}")

    def _end_phase(self, name: str) -> None:
        tally = self._load.mark()
        self.run.phases[name] = tally
        told = f"{name}: {tally.requests} requests, {len(tally.failures)} failed"
        if tally.failures:
            self._print.bad(told)
        else:
            self._print.good(told)


@contextmanager
def dropping(database: Database) -> Iterator[Database]:
    """The database, dropped at the end."""
    try:
        yield database
    finally:
        database.drop()


def errors(run: Run) -> list[tuple[str, int]]:
    """The database's own texts of what failed, the most frequent first."""
    return Counter(failure.error for failure in run.failures).most_common(5)


def compare(printer: Printer, vendor: str, without: Run, with_guard: Run) -> None:
    """The table at the end."""

    def row(name: str, left: object, right: object, colour: str = "") -> None:
        printer.plain(f"  {name:<42}{left!s:>16}{right!s:>14}", colour)

    def cell(run: Run, phase: str) -> str:
        tally = run.phases.get(phase)
        return "–" if tally is None else str(len(tally.failures))

    def slowest(run: Run) -> str:
        return f"{max(tally.slowest for tally in run.phases.values()) * 1000:,.0f} ms"

    printer.title(f"The same deploy, {OLD} → {NEW} → {OLD}, measured in this run on {NAMES[vendor]}")
    row("", "without guard", "with guard", "1")
    row("requests", f"{without.requests:,}", f"{with_guard.requests:,}")
    row("failed requests", f"{len(without.failures):,}", f"{len(with_guard.failures):,}", "1")
    for phase in ("migrate and roll-out", "contract step", "roll-back"):
        row(f"  during {phase}", cell(without, phase), cell(with_guard, phase))
    row("crashes of manage.py restock", without.crashes, with_guard.crashes)
    row("slowest request", slowest(without), slowest(with_guard))
    row(
        "seed products that still have their sku",
        f"{without.seeds_left} of {SEEDS}",
        f"{with_guard.seeds_left} of {SEEDS}",
    )
    for name, run in (("without guard", without), ("with guard", with_guard)):
        if run.failures:
            printer.plain("")
            printer.plain(f"  What failed {name}:", "1")
            for text, count in errors(run):
                lines = textwrap.wrap(" ".join(text.split()), 100)
                printer.plain(f"  {count:>6} × {lines[0]}", "31")
                for line in lines[1:]:
                    printer.plain(" " * 11 + line, "31")
    printer.plain("")


def main() -> int:
    """Run both deploys and compare them; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--db", choices=databases.VENDORS, default="sqlite")
    parser.add_argument("--logs", type=Path, help="keep the servers' logs in this directory")
    options = parser.parse_args()
    reason = databases.missing(options.db)
    if reason:
        print(f"The demo cannot run on {NAMES[options.db]}: {reason}.", file=sys.stderr)
        return 2
    printer = Printer()
    began = time.monotonic()
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="guard-demo-") as scratch:
        directory = options.logs or Path(scratch)
        for title, guard in (("Without guard", None), ("With guard", WINDOWS)):
            printer.title(f"{title}: {NAMES[options.db]}, {SERVERS} gunicorn servers, constant load")
            with dropping(databases.create(options.db, Path(scratch))) as database:
                try:
                    runs.append(Deploy(printer, database, directory, guard).go())
                except (Stopped, TimedOut) as problem:
                    printer.bad(f"the deploy {title.lower()} cannot go on: {problem}")
                    return 1
    without, with_guard = runs
    compare(printer, options.db, without, with_guard)
    verdict = 0
    if not without.failures:
        printer.plain("Nothing failed without guard, so this run proves nothing.", "31")
        verdict = 1
    if with_guard.failures or with_guard.crashes or with_guard.seeds_left != SEEDS:
        printer.plain("guard did not keep its promise in this run.", "31")
        verdict = 1
    printer.plain(f"  Took {time.monotonic() - began:.0f} s.", "2")
    return verdict


if __name__ == "__main__":
    sys.exit(main())
