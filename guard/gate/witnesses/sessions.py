"""Who is connected, and which lost instances can be proven gone: the database's and the host's word on processes.

A proof is that nothing is left of a process: it has ended on this very host, or no session of the database could be
its. Whatever cannot be told apart counts as there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.ledger import rows
from guard.runtime import testimony

_POSTGRESQL = """
    SELECT usename, application_name, COALESCE(host(client_addr), 'local') FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND COALESCE(backend_type, 'client backend') = 'client backend'"""

_MYSQL = """
    SELECT user, '', host, db = DATABASE() FROM information_schema.processlist
    WHERE id <> CONNECTION_ID() AND user NOT IN ('system user', 'event_scheduler')"""


@dataclass(frozen=True, slots=True)
class Session:
    """One session of somebody else's."""

    role: str
    #: The application name without guard's tag; empty on MySQL and MariaDB.
    application: str
    address: str
    #: Of the process, where it runs guard and the database is PostgreSQL.
    tag: str = ""
    #: Whether this database is the one that it uses: those of a project always name one.
    here: bool = True

    def __str__(self) -> str:
        return f"{self.role}@{self.address}" + (f" ({self.application})" if self.application else "")


@dataclass(frozen=True, slots=True)
class Proofs:
    """What is known of lost instances."""

    #: Ids of those of which nothing is left.
    closed: frozenset[str] = frozenset()
    #: Ids of those of which nothing can ever be proven from here.
    unprovable: frozenset[str] = frozenset()


NOTHING = Proofs()


def proofs(connection: BaseDatabaseWrapper, instances: Iterable[rows.Instance], now: float) -> Proofs:
    """Which lost instances are proven closed. What cannot be read proves nothing; never raises DatabaseError.

    `now` is in seconds on the database's clock. The sessions are asked once, and only where it may help.
    """
    lost = [instance for instance in instances if instance.lost(now) and not instance.folded]
    if not lost:
        return NOTHING
    place = testimony.here()
    closed: set[str] = set()
    unprovable: set[str] = set()
    by_session: list[rows.Instance] = []
    for instance in lost:
        told, _, start = instance.process.rpartition(" ")
        if told and told == place:
            # The kernel knows better than any session.
            if not _runs(instance.pid, start):
                closed.add(instance.id)
        elif not instance.session:
            unprovable.add(instance.id)
        elif now - instance.expires_at >= instance.expires_at - instance.renewed_at:
            # It has missed as many beats again: one that merely connects anew for each request has come back by then.
            by_session.append(instance)
    if by_session:
        try:
            closed.update(_closed(connection, by_session))
        except DatabaseError:
            unprovable.update(instance.id for instance in by_session)
    return Proofs(frozenset(closed), frozenset(unprovable))


def _runs(pid: int, start: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    found, zombie = testimony.started(pid)
    return not (found and (found != start or zombie))


def _closed(connection: BaseDatabaseWrapper, lost: Sequence[rows.Instance]) -> set[str]:
    found = sessions(connection)
    if connection.vendor == "postgresql":
        there = {(session.role, session.tag) for session in found}
        return {instance.id for instance in lost if there.isdisjoint(_could_be(instance))}
    # Without a privilege one sees one's own user's sessions only.
    with connection.cursor() as cursor:
        cursor.execute("SELECT USER()")
        own = str(cursor.fetchone()[0]).rpartition("@")[0]
    theirs = {f"{session.role}@{session.address}" for session in found if session.here}
    return {i.id for i in lost if i.session.rpartition("@")[0] == own and i.session not in theirs}


def _could_be(instance: rows.Instance) -> set[tuple[str, str]]:
    """Role and tag of sessions that could be this instance's: with its tag, or nobody's; a role may be hidden."""
    tag, _, role = instance.session.partition(" ")
    return {(role, tag), (role, ""), ("", tag), ("", "")}


def sessions(connection: BaseDatabaseWrapper) -> tuple[Session, ...]:
    """Sessions of others, as far as this role may see them. Raises DatabaseError."""
    if connection.vendor == "sqlite":
        return ()
    with connection.cursor() as cursor:
        cursor.execute(_POSTGRESQL if connection.vendor == "postgresql" else _MYSQL)
        found = cursor.fetchall()
    if connection.vendor == "mysql":
        return tuple(Session(row[0], row[1], without_port(row[2]), here=bool(row[3])) for row in found)
    return tuple(_session(*row) for row in found)


def without_port(host: str) -> str:
    """An address as MySQL's and MariaDB's USER() has it, from their process list, which adds the port.

    A session through a local socket has none there, and an IPv6 address has colons of its own.
    """
    address, colon, port = host.rpartition(":")
    return address if colon and port.isdigit() else host


def _session(role: str | None, application: str | None, address: str) -> Session:
    name = application or ""
    tagged = testimony.TAG.search(name)
    if tagged is None:
        return Session(role or "", name, address)
    return Session(role or "", name[: tagged.start()], address, tagged[1])


def strangers(
    connection: BaseDatabaseWrapper, instances: Iterable[rows.Instance], allowed: Sequence[str] = ()
) -> tuple[str, ...] | None:
    """Sessions of this database that belong to no instance, as an operator says them; None where they are hidden.

    `allowed` are patterns (`*`, `?`) of roles and of application names. Raises DatabaseError.
    """
    if connection.vendor == "sqlite":
        # Whoever has the file open is known to nobody.
        return None
    if connection.vendor == "mysql" and not sees_everybody(connection):
        return None
    known = {instance.session for instance in instances if instance.state is not rows.InstanceState.GONE}
    tags = {session.partition(" ")[0] for session in known} | {testimony.tag()}
    found = Counter(
        str(session)
        for session in sessions(connection)
        if session.here
        and not _belongs(connection, session, tags, known)
        and not any(fnmatchcase(name, pattern) for pattern in allowed for name in (session.role, session.application))
    )
    return tuple(f"{count} sessions of {who}" if count > 1 else f"a session of {who}" for who, count in found.items())


def _belongs(connection: BaseDatabaseWrapper, session: Session, tags: set[str], known: set[str]) -> bool:
    if connection.vendor == "postgresql":
        return session.tag in tags
    return f"{session.role}@{session.address}" in known


def sees_everybody(connection: BaseDatabaseWrapper) -> bool:
    """Whether this user of MySQL or MariaDB may see the sessions of others."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW GRANTS")
        granted = " ".join(str(row[0]) for row in cursor.fetchall()).upper()
    return "PROCESS" in granted or "ALL PRIVILEGES ON *.*" in granted
