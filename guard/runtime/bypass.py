"""Sees statements that reach the driver without Django's execute wrappers, where a class of Django's stands in between.

`cursor.cursor.execute()`, `cursor.copy()`, `stream()`, `callproc()`, psycopg's own `connection.execute()`, and SQLite's
`executescript()` on a cursor pass by every execute wrapper. The methods of the cursor classes that Django hands out are
replaced while something is slated, and only then: with nothing slated, nothing is added to any statement.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from types import CodeType

from django.db.backends.utils import CursorWrapper

from guard.runtime import passing, watch
from guard.runtime.grumble import grumble

#: Where Django's backends define the cursors that they hand out, and the methods that take a statement first.
_CURSORS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "django.db.backends.postgresql.base": (
        ("Cursor", ("execute", "executemany", "copy", "stream")),
        ("ServerBindingCursor", ("execute", "executemany", "copy", "stream")),
        ("ServerSideCursor", ("execute", "executemany", "copy", "stream")),
    ),
    "django.db.backends.sqlite3.base": (("SQLiteCursorWrapper", ("execute", "executemany", "executescript")),),
    "django.db.backends.mysql.base": (("CursorWrapper", ("execute", "executemany")),),
}

#: Django's own way to a driver's cursor: whatever comes from here has passed the execute wrappers.
_EXECUTE: CodeType | None = getattr(getattr(CursorWrapper, "_execute", None), "__code__", None)
_EXECUTEMANY: CodeType | None = getattr(getattr(CursorWrapper, "_executemany", None), "__code__", None)

_lock = threading.Lock()


def renew_lock() -> None:
    """In a forked child: another thread of the parent may have held it."""
    global _lock
    _lock = threading.Lock()


_replaced: list[tuple[type, str]] = []


def attend(*, slated: bool) -> None:
    """Replace the methods while something is slated; put them back when nothing is. Never raises."""
    with _lock:
        try:
            if slated and not _replaced:
                _replace()
            elif not slated and _replaced:
                _put_back()
        except Exception:
            grumble("bypass", "statements that pass by Django's execute wrappers are not seen.", traceback=True)


def _replace() -> None:
    for module, cursors in _CURSORS.items():
        # A backend that is not loaded hands out no cursors, and its driver may not be installed.
        if module not in sys.modules:
            continue
        for name, methods in cursors:
            cursor = getattr(import_module(module), name, None)
            for method in methods:
                if isinstance(cursor, type) and hasattr(cursor, method):
                    own = method in cursor.__dict__
                    original = getattr(cursor, method)
                    _replaced.append((cursor, method))
                    replacement = passing.seeing(original, _look)
                    replacement.guard_original = original if own else None  # type: ignore[attr-defined]
                    setattr(cursor, method, replacement)


def _put_back() -> None:
    while _replaced:
        cursor, method = _replaced.pop()
        # Somebody else may have wrapped it since; theirs stays, and ours within it sees nothing to count.
        found = cursor.__dict__.get(method)
        if found is None or not hasattr(found, "guard_original"):
            continue
        if found.guard_original is None:
            delattr(cursor, method)
        else:
            setattr(cursor, method, found.guard_original)


def _look(statement: object, caller: CodeType) -> None:
    """Count a statement unless it comes from Django, and so has passed the execute wrappers.

    Where another thread took the mark of `passing` away or left its own, the caller tells. Where it left one for
    a text that both threads share, that was counted there at the same moment.
    """
    # A set would hash the code object, which takes a microsecond.
    if caller is not _EXECUTE and caller is not _EXECUTEMANY:
        watch.passing_by(statement)
