"""Every command that a page shows is run, and prints what the page says that it prints."""

from __future__ import annotations

import pytest

from tests.docs.pages import Page, everything
from tests.docs.renewing import Wrong, settle
from tests.docs.stage import Shop, commands, difference

#: The quickstart, and the sample's own page, are done where they say.
PAGES = [
    page
    for page in everything()
    if any(block.info == "console" for block in page.blocks)
    and page.name not in ("docs/quickstart.md", "sampleapp/README.md")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_print_what_the_page_shows(page: Page, shop: Shop) -> None:
    wrong = []
    for block in page.blocks:
        if block.info == "<!--" and block.text.startswith("stage: "):
            shop.directed(block.text.removeprefix("stage: ").split())
        elif block.info == "python":
            shop.write(block)
        elif block.info == "console":
            for command, documented in commands(block):
                real = shop.run(command).output
                if different := difference(documented, real):
                    wrong.append(Wrong(block.line, command, documented, real, different))
    settle(page, wrong)
