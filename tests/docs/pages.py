"""The project's pages, and what is in them: headings, links, code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>.*)$")
_COMMENT = re.compile(r"^<!-- (?P<text>.+) -->$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page, or a comment, which readers do not see; in the page's order."""

    #: What follows the fence, such as "console"; "<!--" for a comment.
    info: str
    text: str
    #: Of its first line of text, from 1.
    line: int


class Page:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_text()

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Its fenced blocks and one-line comments."""
        return tuple(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        opened: tuple[str, str, int] | None = None
        inside: list[str] = []
        for number, line in enumerate(self.text.splitlines(), 1):
            if opened is not None:
                if line.strip() == "```":
                    yield Block(opened[1], "\n".join(inside), opened[2])
                    opened, inside = None, []
                else:
                    inside.append(line.removeprefix(opened[0]))
            elif found := _FENCE.match(line):
                opened = found["indent"], found["info"].strip(), number + 1
            elif found := _COMMENT.match(line):
                yield Block("<!--", found["text"], number)
        assert opened is None, f"{self.name}:{opened[2]}: the block is not closed"

    @cached_property
    def prose(self) -> str:
        """Its text without fenced blocks."""
        return re.sub(r"^( *)```.*?^ *```$", "", self.text, flags=re.MULTILINE | re.DOTALL)

    @cached_property
    def commands(self) -> tuple[str, ...]:
        """The lines that somebody may paste into a shell."""
        lines = [
            line.removeprefix("$ ")
            for block in self.blocks
            for line in block.text.replace("\\\n", " ").splitlines()
            if block.info == "sh" or (block.info == "console" and line.startswith("$ "))
        ]
        return tuple(lines)

    @cached_property
    def inline(self) -> tuple[str, ...]:
        """What stands between backticks in its sentences."""
        return tuple(re.findall(r"`([^`\n]+)`", self.prose))

    @cached_property
    def anchors(self) -> frozenset[str]:
        """What a link may name behind the page's `#`: its headings, as GitHub and Sphinx call them."""
        titles = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return frozenset(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)

    @cached_property
    def links(self) -> tuple[str, ...]:
        """Where its links lead."""
        return tuple(re.findall(r"\]\(([^)\s]+)\)", self.prose))


def docs() -> tuple[Page, ...]:
    """The pages of the docs."""
    return tuple(Page(path) for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts)


def everything() -> tuple[Page, ...]:
    """The docs and what stands beside them."""
    return (*(Page(ROOT / name) for name in ("README.md", "CHANGELOG.md", "sampleapp/README.md")), *docs())
