"""One nursery for all pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.stage import Nursery, Shop


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def shop(nursery: Nursery, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(nursery, tmp_path)
    yield shop
    shop.close()
