"""What this process, and each of its sessions, can be told by: so that the gate can find out that they are gone.

Written into the ledger at registration, and only as far as the database itself confirms it: where a pooler stands in
between, nothing is, and nothing will be proven.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wrapt
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from guard import conf
from guard.runtime.grumble import grumble

#: How PostgreSQL's `application_name` ends on every connection of a process that runs guard.
TAG = re.compile(r"(?:^| )guard:([0-9a-f]{16})$")

#: Bytes of an application name that PostgreSQL keeps.
_MAX_NAME = 63

_tag = (0, "")
_installed = False


def tag() -> str:
    """This OS process's own tag, whatever instances it is in its time: another one after a fork."""
    global _tag
    if _tag[0] != os.getpid():
        _tag = (os.getpid(), secrets.token_hex(8))
    return _tag[1]


def named(own: str) -> str:
    """The application name of a session: what the project calls it, and the tag."""
    suffix = f"guard:{tag()}"
    room = _MAX_NAME - len(suffix) - 1
    kept = own.encode()[:room].decode(errors="ignore").rstrip()
    return f"{kept} {suffix}" if kept else suffix


def install() -> None:
    """Tag PostgreSQL's sessions from now on, at no cost: the name goes with the connection's first packet."""
    global _installed
    if not _installed:
        _installed = True
        wrapt.register_post_import_hook(_hook, "django.db.backends.postgresql.base")


def _hook(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "DatabaseWrapper.get_connection_params", _tagged)


def _tagged(wrapped: Callable[..., Any], instance: BaseDatabaseWrapper, args: Any, kwargs: Any) -> Any:
    params = wrapped(*args, **kwargs)
    try:
        if conf.get().mode is not conf.Mode.OFF and not _named_elsewhere(params):
            own = params.get("application_name") or os.environ.get("PGAPPNAME") or ""
            params["application_name"] = named(str(own))
    except Exception:
        grumble("tag", "a connection could not be tagged.", traceback=True)
    return params


def _named_elsewhere(params: dict[str, Any]) -> bool:
    """Whether the name may come from where it cannot be read and kept."""
    if params.get("application_name"):
        return False
    return bool(params.get("service")) or "application_name" in str(params.get("options") or "")


def session(connection: BaseDatabaseWrapper) -> str:
    """By what the database knows the sessions of this process, asked on one that was opened as they are.

    PostgreSQL: "TAG ROLE"; MySQL and MariaDB: "USER@ADDRESS"; empty where that would prove nothing. Raises
    DatabaseError.
    """
    if connection.vendor == "sqlite" or several_ways(connection):
        return ""
    driver = connection.connection
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_backend_pid(), current_setting('application_name'), session_user")
            pid, name, role = cursor.fetchone()
            # A pooler hands out numbers of its own, and names of whoever came before.
            direct = pid == driver.info.backend_pid and str(name).endswith(f"guard:{tag()}")
            return f"{tag()} {role}" if direct else ""
        # Not CONNECTION_ID() alone, which some proxies answer themselves.
        cursor.execute("SELECT CONNECTION_ID() + 0, USER()")
        number, user = cursor.fetchone()
        return str(user) if int(number) == driver.thread_id() else ""


def several_ways(connection: BaseDatabaseWrapper) -> bool:
    """Whether the project reaches this database in another way too: through a pooler, or a replica of it."""
    name = connection.settings_dict["NAME"]
    return any(
        other.vendor == connection.vendor
        and (
            other.settings_dict["NAME"] == name
            or (other.settings_dict.get("TEST") or {}).get("MIRROR") == connection.alias
        )
        for other in map(connections.__getitem__, connections)
        if other.alias != connection.alias
    )


def direct(connection: BaseDatabaseWrapper) -> bool:
    """Whether the session that the server of PostgreSQL, MySQL or MariaDB sees is the one that the driver opened."""
    driver = connection.connection
    with connection.cursor() as cursor:
        # Not CONNECTION_ID() alone, which some proxies answer themselves.
        asked = "pg_backend_pid()" if connection.vendor == "postgresql" else "CONNECTION_ID() + 0"
        cursor.execute(f"SELECT {asked}")
        number = int(cursor.fetchone()[0])
    opened = driver.info.backend_pid if connection.vendor == "postgresql" else driver.thread_id()
    return bool(number == opened)


def process() -> str:
    """What tells this process from every other that ever has its number: "BOOT NAMESPACE START"; empty off Linux."""
    start, _ = started(os.getpid())
    return f"{where} {start}" if start and (where := here()) else ""


def here() -> str:
    """The running system and the namespace in which process numbers count; empty where that cannot be told."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            # A namespace without a /proc of its own: the numbers there are other processes'.
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def started(pid: int) -> tuple[str, bool]:
    """When a process of this system began, as the kernel counts (empty: unknown), and whether it is but a zombie."""
    try:
        # What follows the name, which may hold anything, brackets too.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[19], fields[0] in ("Z", "X") and int(fields[17]) <= 1
    except (OSError, IndexError, ValueError):
        return "", False


def mark() -> int:
    """A number that no other process has, not even one that is a copy of this one."""
    # Two copies may share the state of every generator, but are not resumed within the same nanosecond.
    return (secrets.randbits(62) ^ time.time_ns() ^ (os.getpid() << 40)) & ((1 << 62) - 1)
