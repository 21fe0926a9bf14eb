"""What an operator sees on a terminal of 80 columns."""

from __future__ import annotations

import re

import pytest

from tests.docs.stage import Shop

WIDE = 80


@pytest.fixture
def waiting(shop: Shop) -> Shop:
    """Columns wait for a release that serves."""
    for said in (
        "release r2",
        "quietly python manage.py migrate",
        "serve r2 r2",
        "release r3",
        "quietly python manage.py migrate",
    ):
        shop.directed(said.split())
    return shop


def test_on_a_terminal_of_80_columns_there_are_colours_and_nothing_runs_over_its_edge(waiting: Shop) -> None:
    for command in ("status", "why shop_product.sku", "instances"):
        ran = waiting.run(f"python manage.py guard {command}", columns=WIDE)

        lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in ran.output.splitlines()]
        assert ran.code == 0
        assert "\x1b[" in ran.output
        assert [line for line in lines if len(line) > WIDE] == []
        # What somebody copies is in one piece.
        assert any(("r2" if command == "instances" else "shop_product.sku") in line for line in lines)
