"""The one look of `manage.py guard`: tables and colours on a terminal, lines that scripts can rely on elsewhere.

Elsewhere (a pipe, a file, NO_COLOR, a dumb terminal) nothing is wrapped or cut, a row of a table is one line, and its
cells are two or more spaces apart.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.management.base import OutputWrapper

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: What a style's name means on a terminal. No meaning is in the colour alone.
STYLES = {
    "": "",
    "title": "bold",
    "good": "green",
    "bad": "bold red",
    "waits": "yellow",
    "faint": "dim",
    "name": "bold cyan",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    #: Numbers stand to the right.
    number: bool = False
    #: Never broken into two lines: what somebody copies.
    whole: bool = False
    style: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell with a style of its own."""

    text: str
    style: str = ""


def is_fancy(out: OutputWrapper, options: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    """Whether the output is for somebody's eyes: a terminal, unless they want it plain."""
    if options.get("force_color"):
        return True
    if options.get("no_color") or environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return bool(out.isatty())


def clean(text: str) -> str:
    """One line of it, and nothing that a terminal would obey: labels and statements come from anywhere."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text.rstrip())


class Screen:
    """Where a verb's answer for people goes."""

    def __init__(self, out: OutputWrapper, *, fancy: bool = False) -> None:
        self._raw = _Raw(out)
        self.fancy = fancy
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """rich's console; loaded when something is to be shown on a terminal."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                # It writes, flushes and asks for the encoding, and nothing else.
                file=self._raw,  # type: ignore[arg-type,unused-ignore]
                force_terminal=True,
                highlight=False,
                markup=False,
                emoji=False,
            )
        return self._console

    def text(self, text: str) -> None:
        """As it is: for machines, or a command that is to be copied."""
        self._raw.write(text if text.endswith("\n") else f"{text}\n")
        self._raw.flush()

    def line(self, text: str = "", *, indent: int = 0, style: str = "") -> None:
        """One sentence or title."""
        text = clean(text)
        if not self.fancy:
            self.text(f"{' ' * indent}{text}".rstrip())
            return
        from rich.padding import Padding
        from rich.text import Text

        self.console.print(Padding(Text(text, style=STYLES[style]), (0, 0, 0, indent)))

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str | Cell]], *, indent: int = 2) -> None:
        """Rows under titles."""
        cells = [[_cell(cell) for cell in row] for row in rows]
        if not self.fancy:
            self.text("\n".join(_padded(columns, cells, indent)))
            return
        self.console.print(rich_table(columns, cells, indent=indent))

    @contextmanager
    def live(self) -> Iterator[Any]:
        """A place on a terminal that is shown anew: what is yielded takes what is to be there."""
        from rich.live import Live

        # Without a thread of its own: whoever waits says when to show it.
        with Live(console=self.console, auto_refresh=False, transient=True) as shown:
            yield lambda what: shown.update(what, refresh=True)

    def close(self) -> None:
        """Let what the interpreter still flushes at its end go nowhere, if nobody reads any more."""
        self._raw.close()


def _cell(cell: str | Cell) -> Cell:
    text, style = (cell.text, cell.style) if isinstance(cell, Cell) else (cell, "")
    # Two spaces end a cell.
    return Cell(" ".join(clean(text).split()), style)


def _padded(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], indent: int) -> Iterator[str]:
    texts = [[column.title.upper() for column in columns], *([cell.text or "-" for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in texts) for index in range(len(columns))]
    for row in texts:
        padded = (
            text.rjust(width) if column.number else text.ljust(width)
            for text, width, column in zip(row, widths, columns, strict=True)
        )
        yield (" " * indent + "  ".join(padded)).rstrip()


def rich_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, indent: int = 0) -> RenderableType:
    """The same for a terminal: cells that are too long are broken into lines, so that each row fits."""
    from rich import box
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style=STYLES["title"], pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.number else "left",
            no_wrap=column.whole,
            overflow="fold",
            style=STYLES[column.style],
        )
    for row in rows:
        table.add_row(*(Text(cell.text, style=STYLES[cell.style]) for cell in row))
    return Padding(table, (0, 0, 0, indent))


def live_table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> RenderableType:
    """A title and a table, as one thing that is shown anew."""
    from rich.console import Group
    from rich.text import Text

    cleaned = [[Cell(clean(cell.text), cell.style) for cell in row] for row in rows]
    return Group(Text(clean(title), style=STYLES["title"]), rich_table(columns, cleaned))


class _Raw:
    """The output as it is. Where nobody reads it any more, the work goes on without."""

    def __init__(self, out: OutputWrapper) -> None:
        self._out = out
        self._deaf = False
        self.encoding: str = getattr(out, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        if not self._deaf:
            try:
                # What a narrow terminal cannot show is no reason to stop.
                self._out.write(text.encode(self.encoding, "replace").decode(self.encoding), ending="")
            except BrokenPipeError:
                self._deaf = True
        return len(text)

    def flush(self) -> None:
        if not self._deaf:
            try:
                self._out.flush()
            except BrokenPipeError:
                self._deaf = True

    def isatty(self) -> bool:
        return bool(self._out.isatty())

    def fileno(self) -> int:
        return int(self._out.fileno())

    def close(self) -> None:
        self.flush()
        if not self._deaf:
            return
        if getattr(self._out, "_out", None) is sys.stdout:
            _to_nowhere(sys.stdout)


def _to_nowhere(stream: Any) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, stream.fileno())
    except (OSError, ValueError):
        # It is no file.
        pass
    finally:
        os.close(null)
