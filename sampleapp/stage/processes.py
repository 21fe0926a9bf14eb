"""Real processes of a release: servers, management commands, and how they end."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import importlib.util
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sampleapp.stage.databases import Database

SAMPLEAPP = Path(__file__).resolve().parents[1]

T = TypeVar("T")

#: Seconds after which what is waited for will not come any more. Far more than it takes on a busy machine: it ends what
#: hangs, and says nothing of how long anything may take.
PATIENCE = 90.0


class TimedOut(AssertionError):
    """Something did not come true before its deadline."""


def until(what: str, probe: Callable[[], T], *, within: float = PATIENCE, every: float = 0.05) -> T:
    """Ask until the answer is true, and return it.

    `within` and `every` are in seconds. Raises TimedOut, with `what` and the last answer.
    """
    deadline = time.monotonic() + within
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimedOut(f"not within {within:g} s: {what} (last answer: {answer!r})")
        time.sleep(every)


#: Ports below those that systems give to outgoing connections, in blocks: who holds the first has all of the block.
_FIRST_PORT, _BLOCK, _BLOCKS = 10_240, 128, 150

_ports: Iterator[int] | None = None


def free_port() -> int:
    """A TCP port that nobody listens on, and that no other process of these is given until this one ends."""
    global _ports
    if _ports is None:
        _ports = itertools.cycle(_claimed())
    for _ in range(_BLOCK):
        port = next(_ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"no port is free up to {port}")


_claim = socket.socket()


def _claimed() -> Sequence[int]:
    """The ports of a block that is this process's own from now on."""
    for block in random.sample(range(_BLOCKS), _BLOCKS):
        first = _FIRST_PORT + block * _BLOCK
        with contextlib.suppress(OSError):
            _claim.bind(("127.0.0.1", first))
            return range(first + 1, first + _BLOCK)
    raise RuntimeError("no block of ports is free")


def request(
    port: int, method: str, path: str, data: object = None, *, timeout: float = PATIENCE
) -> tuple[int, dict[str, str], Any]:
    """One HTTP request to this machine: status, headers in lower case, and the body (read as JSON where it is).

    Raises OSError or HTTPException where no answer comes.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(connection):
        connection.request(
            method,
            path,
            body=None if data is None else json.dumps(data),
            headers={"Content-Type": "application/json", "Connection": "close"},
        )
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        headers = {name.lower(): value for name, value in response.getheaders()}
    try:
        return response.status, headers, json.loads(text)
    except ValueError:
        return response.status, headers, text


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    args: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)

    def ok(self) -> Done:
        """Itself; raises AssertionError, with its output, where it failed."""
        assert self.code == 0, f"manage.py {' '.join(self.args)} exited {self.code}\n{self.text}"
        return self


@dataclass(frozen=True, slots=True)
class Release:
    """One version of the shop on one database: a code tree and its environment."""

    name: str
    database: Database
    #: Keys of the GUARD setting, or None for the shop without guard.
    guard: Mapping[str, object] | None
    #: Its label, where that is not the tree's name.
    label: str = ""
    #: Where the code trees are.
    trees: Path = SAMPLEAPP
    #: Where and as whom it reaches the database, where that is not as usual: DB_HOST, DB_PORT, DB_USER.
    reach: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def tree(self) -> Path:
        return self.trees / self.name

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its processes: this one's, less what would change the shop, plus what the shop reads."""
        spec = importlib.util.find_spec("guard")
        assert spec is not None
        assert spec.origin is not None
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "RELEASE", "SENTRY_DSN")
            and not name.startswith(("DB_", "GUARD_", "GUNICORN_", "COV_"))
        }
        credentials = {name: os.environ[name] for name in ("DB_USER", "DB_PASSWORD") if name in os.environ}
        return (
            kept
            | credentials
            | self.database.environ
            | dict(self.reach)
            | {
                "PYTHONPATH": str(Path(spec.origin).parents[1]),
                "PYTHONUNBUFFERED": "1",
                "RELEASE": self.label or self.name,
                "WITH_GUARD": "0" if self.guard is None else "1",
            }
            | {f"GUARD_{key}": str(value) for key, value in (self.guard or {}).items()}
        )

    def manage(self, *args: str, timeout: float = 300.0, environ: Mapping[str, str] | None = None) -> Done:
        """Run a management command to its end. `timeout` is in seconds; raises subprocess.TimeoutExpired."""
        started = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=self.tree,
            env=self.environ | dict(environ or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Done(args, ended.returncode, ended.stdout, ended.stderr, time.monotonic() - started)

    def serve(self, log: Path, *, workers: int = 1, options: Sequence[str] = ()) -> Server:
        """Start gunicorn on a port of its own; it does not answer yet."""
        port = free_port()
        arguments = [
            *("-m", "gunicorn", "config.wsgi", "--config", str(self.trees / "common" / "gunicorn.conf.py")),
            *("--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--graceful-timeout", "60", "--timeout", "300"),
            *options,
        ]
        return Server(self, self._start(arguments, log), log, port)

    def runserver(self, log: Path, *, options: Sequence[str] = ("--noreload",)) -> Server:
        """Start Django's own development server; it does not answer yet."""
        port = free_port()
        arguments = ["manage.py", "runserver", f"127.0.0.1:{port}", *options]
        return Server(self, self._start(arguments, log), log, port)

    def start(self, log: Path, *args: str) -> Process:
        """Start a management command that goes on until it is stopped."""
        return Process(self, self._start(["manage.py", *args], log), log)

    def _start(self, arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.tree,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A group of its own, so that `kill` reaches gunicorn's workers and nothing else.
                start_new_session=True,
            )


class Process:
    """A process that runs until it is stopped."""

    def __init__(self, release: Release, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.release = release
        self.popen = popen
        self.log = log
        self._over = False

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    @property
    def text(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM, *, within: float = PATIENCE) -> int:
        """Ask it to stop and wait; its exit code. One that does not stop is killed, and that raises TimedOut."""
        if self.running:
            self.popen.send_signal(number)
        try:
            code = self.popen.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimedOut(f"{self.release.name} did not stop within {within:g} s:\n{self.text[-3000:]}") from None
        self._over = True
        return code

    def kill(self) -> None:
        """End it and its children at once, without a word to anybody."""
        if self._over:
            return
        self._over = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()


class Server(Process):
    """A server on a port of its own."""

    def __init__(self, release: Release, popen: subprocess.Popen[bytes], log: Path, port: int) -> None:
        super().__init__(release, popen, log)
        self.port = port

    def request(self, method: str, path: str, data: object = None) -> tuple[int, dict[str, str], Any]:
        """One request to this server."""
        return request(self.port, method, path, data)

    def status(self, path: str) -> int:
        """The status of a GET; 0 where nothing answers."""
        try:
            return request(self.port, "GET", path, timeout=30.0)[0]
        except (OSError, http.client.HTTPException):
            return 0

    @property
    def ready_path(self) -> str:
        """Where a load balancer asks: guard's readiness where it is installed, else mere liveness."""
        return "/health/" if self.release.guard is None else "/guard/ready/"

    @property
    def ready(self) -> bool:
        return self.status(self.ready_path) == 200

    def until_up(self, *, within: float = PATIENCE) -> Server:
        """Wait until it answers at all."""
        return self._until("answers", lambda: self.status("/health/") == 200, within)

    def until_ready(self, *, within: float = PATIENCE) -> Server:
        """Wait until it may be given requests."""
        return self._until("is ready", lambda: self.ready, within)

    def _until(self, what: str, probe: Callable[[], bool], within: float) -> Server:
        def look() -> bool:
            if not self.running:
                raise AssertionError(f"{self.release.name} ended with {self.popen.returncode}:\n{self.text[-3000:]}")
            return probe()

        try:
            until(f"{self.release.name} {what}", look, within=within)
        except TimedOut as error:
            raise TimedOut(f"{error}\n{self.text[-3000:]}") from None
        return self


@contextlib.contextmanager
def stopping(processes: list[Process]) -> Iterator[list[Process]]:
    """Whatever is in the list at the end is killed."""
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
