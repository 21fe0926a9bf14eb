"""Who holds a table that DDL waits for, as far as the database tells this role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from guard import attribution

#: Characters of a holder's statement that are shown; its literals never are.
MAX_STATEMENT = 200
#: Holders that are named.
MAX_HOLDERS = 5

_POSTGRESQL = """
    SELECT a.pid::text, COALESCE(a.application_name, ''), COALESCE(a.usename::text, ''), COALESCE(a.state, ''),
           EXTRACT(EPOCH FROM clock_timestamp() - COALESCE(a.xact_start, a.backend_start))::float, COALESCE(a.query, '')
    FROM pg_stat_activity a
    WHERE a.pid <> pg_backend_pid()
      AND a.pid IN (SELECT l.pid FROM pg_locks l JOIN unnest(%s::text[]) AS t(name) ON l.relation = to_regclass(t.name)
                    WHERE l.granted)
    ORDER BY a.xact_start NULLS LAST, a.pid LIMIT %s"""

# Which table a session holds is told by a plugin only: these are all with an open transaction, or a running statement
# that names the table.
_MYSQL = """
    SELECT CAST(p.id AS CHAR), '', p.user, IF(p.command = 'Sleep', 'idle in transaction', 'active'),
           COALESCE(TIMESTAMPDIFF(SECOND, t.trx_started, NOW()), p.time), COALESCE(p.info, '')
    FROM information_schema.processlist p
    LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id
    WHERE p.id <> CONNECTION_ID() AND p.db = DATABASE() AND p.command <> 'Daemon'
      AND (t.trx_id IS NOT NULL OR (p.command <> 'Sleep' AND LOCATE(%s, p.info) > 0))
    ORDER BY t.trx_started IS NULL, t.trx_started, p.id LIMIT %s"""


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that holds the table, or may."""

    #: The server's number of the session: what its administrator ends it by.
    pid: str
    application: str
    user: str
    #: As the server names it; "idle in transaction" is one that was left open.
    state: str
    #: How long its transaction, or its statement, has been open.
    seconds: float
    #: What it runs, or ran last, without literals; empty where this role may not see it.
    statement: str

    def __str__(self) -> str:
        who = ", ".join(filter(None, [self.application, self.user and f"user {self.user}"]))
        state = f"{self.state} for" if self.state and self.state != "active" else "for"
        statement = f": {self.statement}" if self.statement else ""
        return f"session {self.pid}{f' ({who})' if who else ''}, {state} {self.seconds:.0f} s{statement}"


def holders(connection: BaseDatabaseWrapper, tables: Sequence[str]) -> tuple[Holder, ...]:
    """Sessions that hold one of the tables, longest first; empty where none is there, or none is told."""
    try:
        if connection.vendor == "postgresql":
            rows = _fetch(connection, _POSTGRESQL, [[connection.ops.quote_name(t) for t in tables], MAX_HOLDERS])
        elif connection.vendor == "mysql":
            rows = _fetch(connection, _MYSQL, [tables[0] if tables else "", MAX_HOLDERS])
        else:
            # SQLite knows no sessions.
            return ()
    except DatabaseError:
        return ()
    return tuple(
        Holder(pid, application, user, state, max(0.0, float(seconds or 0.0)), _shown(query, connection.vendor))
        for pid, application, user, state, seconds, query in rows
    )


def _shown(query: str, vendor: str) -> str:
    shape = attribution.shape(query, vendor) if query else ""
    return shape if len(shape) <= MAX_STATEMENT else f"{shape[: MAX_STATEMENT - 1]}…"


def _fetch(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
