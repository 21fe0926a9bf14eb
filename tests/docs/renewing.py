"""What becomes of outputs that are not as a page shows them: the test fails, or the page is renewed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from tests.docs.pages import Page


@dataclass(frozen=True, slots=True)
class Wrong:
    """A command that prints something else than its page says."""

    #: Of its block.
    line: int
    command: str
    documented: str
    real: str
    difference: str


def settle(page: Page, wrong: Sequence[Wrong]) -> None:
    """Fail if something is wrong; with GUARD_DOCS_RENEW=1 write what really came into the page instead."""
    if os.environ.get("GUARD_DOCS_RENEW") != "1":
        told = "\n\n".join(f"{page.name}:{each.line}\n$ {each.command}\n{each.difference}" for each in wrong)
        assert not wrong, f"{told}\n\n`make docs-outputs` writes what really comes into the pages."
        return
    text, begin = page.text, 0
    for each in wrong:
        before = f"$ {each.command}\n{each.documented}".rstrip("\n")
        begin = text.find(before, begin)
        assert begin >= 0, f"{page.name}: {each.command} is shown in a way that cannot be renewed"
        after = "\n".join([f"$ {each.command}", *(line.rstrip() for line in each.real.rstrip().splitlines())])
        text = text[:begin] + after + text[begin + len(before) :]
        begin += len(after)
    page.path.write_text(text)
