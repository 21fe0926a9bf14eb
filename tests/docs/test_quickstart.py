"""The quickstart is done to the letter: its files are written, its commands are run, and print what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, Block, Page
from tests.docs.renewing import Wrong, settle
from tests.docs.stage import Nursery, Stage, commands, difference


class Reader(Stage):
    """Somebody who does what the page says, in two terminals."""

    def __init__(self, nursery: Nursery, scratch: Path) -> None:
        super().__init__(nursery, scratch, scratch, {})

    def do(self, command: str) -> str:
        """What a command prints."""
        words = command.split()
        if "runserver" in words:
            environ, words = self.parsed(command)
            assert words[-2:] == ["runserver", "--noreload"]
            self.serve("second terminal", environ=environ, directory=self.directory)
            return ""
        if words[0] == "cd":
            self.directory /= words[1]
            return ""
        if words[1:3] == ["-m", "django"]:
            done = subprocess.run(
                [sys.executable, *words[1:]], cwd=self.directory, env=self.environ, capture_output=True, text=True
            )
            return done.stdout + done.stderr
        ran = self.run(command)
        assert ran.code == 0, ran
        return ran.output

    def write(self, block: Block) -> None:
        """Write a file that a block shows, or add to its end."""
        found = re.match(r"# (\S+\.py)(, at the end)?\n", block.text)
        assert found is not None, f"line {block.line}: the block does not name its file"
        with (self.directory / found[1]).open("a" if found[2] else "w") as file:
            file.write(block.text + "\n")


def test_the_quickstart(nursery: Nursery, tmp_path: Path) -> None:
    page = Page(ROOT / "docs" / "quickstart.md")
    reader = Reader(nursery, tmp_path)
    wrong = []
    try:
        for block in page.blocks:
            if block.info == "python":
                reader.write(block)
            elif block.info == "console":
                for command, documented in commands(block):
                    real = reader.do(command)
                    if different := difference(documented, real):
                        wrong.append(Wrong(block.line, command, documented, real, different))
            else:
                assert block.text == "quickstart: ctrl-c"
                reader.stop("second terminal")
    finally:
        reader.close()
    settle(page, wrong)
