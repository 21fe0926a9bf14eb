"""Ends a process at a chosen statement, as a machine that is switched off would: nothing is tidied up."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from django.db.backends.signals import connection_created

#: What changes the database, on any connection of the process.
_CHANGES = ("ALTER ", "CREATE ", "DROP ", "INSERT ", "UPDATE ", "DELETE ", "COMMIT", "SET CONSTRAINTS", "SET SESSION")

DIED = 99


def changes(sql: Any) -> bool:
    """Whether the statement changes the database."""
    return str(sql).lstrip().upper().startswith(_CHANGES)


class Fault:
    """Counts statements that change something; the process ends before the n-th."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: Mapping[str, Any],
    ) -> Any:
        if changes(sql):
            self.left -= 1
            if self.left == 0:
                os.write(2, f"died before: {str(sql).lstrip()}\n".encode())
                os._exit(DIED)
        return execute(sql, params, many, context)


def install(at: int) -> None:
    """End this process before its n-th change."""
    fault = Fault(at)

    def connected(connection: Any, **_: Any) -> None:
        if fault not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, fault)

    connection_created.connect(connected, weak=False)
