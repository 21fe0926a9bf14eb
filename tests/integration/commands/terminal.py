"""A real terminal of 80 columns, in which a command of a generated project runs."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte

from tests.integration.gate.harness import Running, Shop, Tree

COLUMNS = 80
LINES = 60

#: Seconds after which something hangs.
PATIENCE = 60.0

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """What a command shows."""

    def __init__(self, master: int, running: Running) -> None:
        self._master = master
        self.running = running
        self.raw = b""
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def shown(self) -> list[str]:
        """The lines that somebody sees now."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    @property
    def text(self) -> str:
        return "\n".join(self.shown)

    @property
    def coloured(self) -> bool:
        """Whether anything that is shown has a colour or is bold."""
        return any(cell.fg != "default" or cell.bold for line in self._screen.buffer.values() for cell in line.values())

    def until(self, seen: Callable[[Terminal], bool]) -> None:
        """Read on until this is so."""
        deadline = time.monotonic() + PATIENCE
        while not seen(self):
            assert time.monotonic() < deadline, self.text
            assert not self._read(0.05) or not self._ended(), self.text

    def end(self) -> int:
        """Read on until the command has ended; its exit code. No line that it wrote was too long."""
        deadline = time.monotonic() + PATIENCE
        while not self._ended():
            assert time.monotonic() < deadline, self.text
            self._read(0.05)
        while self._read(0.0):
            pass
        code = int(self.running.lines.readline())
        assert "Traceback" not in self.text
        for line in _ESCAPES.sub("", self.raw.decode()).splitlines():
            # An error is one line, whatever the terminal: scripts read it, too.
            assert len(line.split("\r")[-1]) <= COLUMNS or line.startswith("CommandError: "), line
        return code

    def _ended(self) -> bool:
        return bool(select.select([self.running.conversation], [], [], 0)[0])

    def _read(self, timeout: float) -> bool:
        if not select.select([self._master], [], [], timeout)[0]:
            return False
        found = os.read(self._master, 65_536)
        self.raw += found
        self._stream.feed(found)
        return bool(found)


@contextmanager
def on_terminal(shop: Shop, tree: Tree, *args: str, **environ: str) -> Iterator[Terminal]:
    """`manage.py ARGS` of a release, started on a terminal."""
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        where = Path(os.ttyname(slave))
        usual = {"TERM": "xterm-256color", "NO_COLOR": "", "COLUMNS": ""}
        running = shop.start(tree, *args, out=where, **(usual | environ))
        with running.conversation, running.lines:
            yield Terminal(master, running)
    finally:
        os.close(slave)
        os.close(master)
