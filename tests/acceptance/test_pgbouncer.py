"""The main job through pgbouncer in transaction mode, where that is installed (Debian: apt-get install pgbouncer)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sampleapp.stage.databases import Database
from sampleapp.stage.processes import Release, free_port, until
from tests.acceptance import test_rolling_deploy
from tests.acceptance.harness import Shop

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pgbouncer(database: Database) -> Iterator[int]:
    """In front of the database's server, with two connections to it; the port that it listens on."""
    assert PROGRAM is not None
    port = free_port()
    # It refuses to be root, and its user must be able to read this.
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "users").write_text('"postgres" ""\n')
        (directory / "ini").write_text(
            f"[databases]\n* = host={database.host} port={database.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {directory / 'users'}\n"
            "pool_mode = transaction\ndefault_pool_size = 2\n"
        )
        user = ["--user", "postgres"] if os.geteuid() == 0 else []
        process = subprocess.Popen(
            [PROGRAM, "--quiet", *user, str(directory / "ini")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
            assert process.poll() is None, "pgbouncer has ended"
            return False

        try:
            until("pgbouncer listens", listens)
            yield port
        finally:
            process.terminate()
            process.wait(10)


class PooledShop(Shop):
    """A shop whose releases reach the database through the pooler."""

    port = 0

    def release(self, name: str, *, reach: Mapping[str, str] | None = None, **guard: object) -> Release:
        return super().release(name, reach={"DB_PORT": str(self.port), **(reach or {})}, **guard)


# Not skipped where it is missing: what is not installed is in front of nothing.
if PROGRAM is not None:

    @pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
    def test_the_main_job_is_done_through_a_pooler_behind_which_no_session_proves_anything(
        shop: Shop, tmp_path: Path
    ) -> None:
        with pgbouncer(shop.database) as port, ExitStack() as stack:
            pooled = PooledShop(shop.database, tmp_path / "pooled", stack)
            pooled.port = port
            test_rolling_deploy.test_old_and_new_code_serve_together_until_the_columns_are_erased(pooled)
            examined = json.loads(pooled.release("r3").manage("guard", "doctor", "--json").out)["examined"]
            (pooler,) = (one for one in examined if one["name"] == "pooler")
            assert pooler["says"].startswith("A connection pooler (such as pgbouncer) stands between")
        assert shop.database.query("SELECT DISTINCT session FROM guard_instance") == [("",)]
