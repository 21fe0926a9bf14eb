"""What stands in each statement's way: the execute wrapper, and the look before a cursor's own method. The hot path."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, Protocol

from guard.attribution.watchlist import HASHED

Wrapper = Callable[[Callable[..., Any], Any, Any, bool, dict[str, Any]], Any]
Method = Callable[..., Any]


class Known(Protocol):
    """Texts that are known to touch nothing."""

    @property
    def clear(self) -> list[str | None] | None:
        """See `watchlist.CLEAR`; None where nothing is watched."""

    @property
    def untouched(self) -> Mapping[str, str]:
        """All of them, under themselves."""


def _ways() -> tuple[
    Callable[[Known, Callable[[object, dict[str, Any]], None]], Wrapper],
    Callable[[Method, Callable[[object, CodeType], None]], Method],
]:
    # The statement that an execute wrapper has just seen and sends on: whoever stands nearer to the driver need not
    # ask. A variable that both share is read and written faster than anything that they could import.
    passing: object = None
    frame, most = sys._getframe, HASHED

    def wrapper(known: Known, look: Callable[[object, dict[str, Any]], None]) -> Wrapper:
        """An execute wrapper that has `look` called, with statement and context, for what is not known to be clear.

        `look` never raises, but for what has been asked to end a statement.
        """

        def guard_watch(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
            nonlocal passing
            clear = known.clear
            if clear is not None:
                try:
                    seen = clear[len(sql)] == sql
                except Exception:
                    # It is no text, or a long one.
                    seen = False
                if not seen:
                    again = known.untouched.get(sql) if type(sql) is str and len(sql) < most else None
                    if again is None:
                        look(sql, context)
                    else:
                        clear[len(sql)] = again
                passing = sql
            return execute(sql, params, many, context)

        return guard_watch

    def seeing(original: Method, look: Callable[[object, CodeType], None]) -> Method:
        """A cursor's method, called as it is by position or by name, that has `look` called before.

        With the statement and whose code calls, for statements that no execute wrapper has just let pass. Django hands
        over two positional arguments: gathering others would cost more than the look.
        """
        names = tuple(inspect.signature(original).parameters)
        if names == ("self", "query", "params"):

            def guard_watch(self: Any, query: Any, params: Any = None) -> Any:
                nonlocal passing
                if passing is query:
                    passing = None
                else:
                    look(query, frame(1).f_code)
                return original(self, query, params)

            return guard_watch
        if names == ("self", "query", "args"):

            def guard_watch_mysqlclient(self: Any, query: Any, args: Any = None) -> Any:
                nonlocal passing
                if passing is query:
                    passing = None
                else:
                    look(query, frame(1).f_code)
                return original(self, query, args)

            return guard_watch_mysqlclient
        if names == ("self", "query", "params", "prepare", "binary"):

            def guard_watch_psycopg(
                self: Any, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool | None = None
            ) -> Any:
                nonlocal passing
                if passing is query:
                    passing = None
                else:
                    look(query, frame(1).f_code)
                if prepare is None and binary is None:
                    return original(self, query, params)
                return original(self, query, params, prepare=prepare, binary=binary)

            return guard_watch_psycopg

        def guard_watch_any(self: Any, *args: Any, **options: Any) -> Any:
            nonlocal passing
            statement = args[0] if args else next(iter(options.values()), None)
            if passing is statement:
                passing = None
            else:
                look(statement, frame(1).f_code)
            return original(self, *args, **options)

        return guard_watch_any

    return wrapper, seeing


wrapper, seeing = _ways()
