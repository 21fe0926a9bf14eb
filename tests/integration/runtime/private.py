"""Database servers and disks of a test's own, which it may stop, fill up, and forbid to write."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.db import DatabaseError

from guard.attribution.watchlist import Access
from guard.ledger import rows
from guard.ledger.store import Ledger
from sampleapp.stage.databases import Database
from sampleapp.stage.processes import free_port, until
from tests.integration.runtime.harness import Site

_PATH = os.pathsep.join(
    [
        os.environ.get("PATH", ""),
        "/usr/sbin",
        # Debian's, the newest first.
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
)
PROGRAMS = {"postgres": ("initdb", "postgres"), "mariadb": ("mariadb-install-db", "mariadbd")}

#: What a server's data takes, and some more.
SIZE = "192m"


def installed(vendor: str) -> bool:
    """Whether a server of this vendor can be started here."""
    return all(shutil.which(name, path=_PATH) for name in PROGRAMS.get(vendor, ()))


def _program(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    assert found is not None, name
    return found


class Disk:
    """A directory of a few megabytes that can be full."""

    def __init__(self, path: Path, *, own: bool) -> None:
        self.path = path
        #: It is a file system of its own; else nobody may make one here.
        self.own = own

    def fill(self) -> None:
        """Leave no byte."""
        with (self.path / "filler").open("ab", buffering=0) as filler:
            for size in (1 << 20, 1 << 12):
                # Of the last blocks, a part may fit.
                with contextlib.suppress(OSError):
                    while filler.write(bytes(size)) == size:
                        pass

    def clear(self) -> None:
        (self.path / "filler").unlink()


@contextmanager
def disk() -> Iterator[Disk]:
    """A disk, unmounted and removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="guard-"))
    own = (
        os.geteuid() == 0
        and shutil.which("mount") is not None
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "guard", str(path)], stderr=subprocess.DEVNULL
        ).returncode
    )
    try:
        # Its user, who is not root, must get there.
        path.chmod(0o755)
        yield Disk(path, own=own)
    finally:
        if own:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
        shutil.rmtree(path, ignore_errors=True)


class PrivateServer:
    """A database server on a disk of its own."""

    def __init__(self, vendor: str, disk: Disk, elsewhere: Path) -> None:
        self.disk = disk
        self.port = free_port()
        self.database = Database(vendor, "guard", "127.0.0.1", str(self.port))
        # PostgreSQL refuses to be root.
        self._user = "postgres" if vendor == "postgres" and os.geteuid() == 0 else None
        self._data = disk.path / "data"
        self._log = elsewhere / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        for directory in (disk.path, elsewhere):
            if self._user is not None:
                shutil.chown(directory, self._user)
        (self._make_postgres if vendor == "postgres" else self._make_mariadb)(elsewhere)
        self.start()
        self.database._on_server("CREATE DATABASE guard")

    def _make_postgres(self, elsewhere: Path) -> None:
        # Tables alone lie on the disk that may be full: without its log the server itself would end.
        self._run(
            *("initdb", "--pgdata", str(self._data), "--waldir", str(elsewhere / "wal"), "--no-sync"),
            *("--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C"),
        )
        self._command = [
            *("postgres", "-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""),
            *("-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=30", "-c", "autovacuum=off"),
        ]

    def _make_mariadb(self, elsewhere: Path) -> None:
        places = {name: elsewhere / name for name in ("tmpdir", "innodb-data-home-dir", "innodb-log-group-home-dir")}
        places["aria-log-dir-path"] = places["innodb-undo-directory"] = places["innodb-data-home-dir"]
        for directory in places.values():
            directory.mkdir(exist_ok=True)
        # Tables alone lie on the disk that may be full: without its logs the server itself would end.
        usual = [
            *("--no-defaults", f"--datadir={self._data}", *(f"--{name}={place}" for name, place in places.items())),
            *("--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=2"),
            *(["--user=root"] if os.geteuid() == 0 else []),
        ]
        self._run("mariadb-install-db", *usual, "--auth-root-authentication-method=normal", "--skip-test-db")
        self._command = [
            *("mariadbd", *usual, f"--port={self.port}", "--bind-address=127.0.0.1"),
            *(f"--socket={elsewhere / 'socket'}", f"--pid-file={elsewhere / 'pid'}"),
        ]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [_program(program), *arguments],
            user=self._user,
            cwd=self.disk.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout

    def start(self) -> None:
        """Start it and wait until it answers."""
        program, *arguments = self._command
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [_program(program), *arguments],
                user=self._user,
                cwd=self.disk.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until("the database server answers", self._answers, within=120.0)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(errors="replace")[-3000:]
        try:
            self.database._connect("").close()
        except Exception:
            return False
        return True

    def crash(self) -> None:
        """End it and its sessions at once, as a failing machine does."""
        if self._process is not None:
            # PostgreSQL's children follow only one that says so.
            self._process.send_signal(signal.SIGQUIT if self.database.vendor == "postgres" else signal.SIGKILL)
            self._process.wait()
            self._process = None

    def writable(self, able: bool) -> None:
        """Whether ordinary roles may write."""
        if self.database.vendor == "postgres":
            self.database._on_server(f"ALTER SYSTEM SET default_transaction_read_only = {'off' if able else 'on'}")
            self.database._on_server("SELECT pg_reload_conf()")
        else:
            self.database._on_server(f"SET GLOBAL read_only = {'OFF' if able else 'ON'}")


@contextmanager
def server(vendor: str) -> Iterator[PrivateServer]:
    """A running server, gone afterwards."""
    with ExitStack() as stack:
        small = stack.enter_context(disk())
        elsewhere = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guard-")))
        elsewhere.chmod(0o755)
        made = PrivateServer(vendor, small, elsewhere)
        stack.callback(made.crash)
        yield made


def weigh_down(site: Site) -> None:
    """Give each kind of sighting that comes from now on the weight of a page, or of half of one."""
    ballast = "ALTER TABLE guard_sighting ADD COLUMN ballast "
    if site.database.vendor == "postgres":
        site.execute(f"{ballast} text")
        site.execute("ALTER TABLE guard_sighting ALTER COLUMN ballast SET STORAGE EXTERNAL")
        site.execute("ALTER TABLE guard_sighting ALTER COLUMN ballast SET DEFAULT repeat('x', 20000)")
    elif site.database.vendor == "mariadb":
        # Two of them fill a page. With what lies outside of its page, MariaDB 10.11 crashes where there is no room.
        site.execute(f"{ballast} varchar(7000) CHARACTER SET latin1 DEFAULT (REPEAT('x', 7000))")
    else:
        site.execute(f"{ballast} text DEFAULT '{'x' * 20_000}'")


def use_up(site: Site) -> None:
    """Take what room the table has on a disk that is full, wherever in it a further row would go."""
    failed = 0
    with site.connection() as connection:
        ledger = Ledger(connection)
        while failed < 50:
            junk = rows.Sighting("junk", "", Access.READ, "", "", "", "", "", "", 1, 0.0, 0.0)
            try:
                ledger.add_sightings({secrets.token_hex(32): junk})
            except DatabaseError:
                failed += 1
