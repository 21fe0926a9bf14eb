"""A shop on a database of its own, on each database that can be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sampleapp.stage import databases
from tests.acceptance.harness import Shop


@pytest.fixture(scope="session")
def missing() -> dict[str, str]:
    """Why databases of a vendor cannot be had; empty where they can."""
    return {vendor: databases.missing(vendor) for vendor in databases.VENDORS}


@pytest.fixture(params=databases.VENDORS)
def vendor(request: pytest.FixtureRequest, missing: dict[str, str]) -> str:
    """Each database in turn; one that cannot be had is skipped, or is a failure where all are demanded."""
    name: str = request.param
    if missing[name]:
        if os.environ.get("GUARD_TEST_REQUIRE") == "1":
            pytest.fail(missing[name])
        pytest.skip(missing[name])
    return name


@pytest.fixture
def shop(vendor: str, tmp_path: Path) -> Iterator[Shop]:
    """A shop without processes, on an empty database."""
    with ExitStack() as stack:
        database = databases.create(vendor, tmp_path)
        stack.callback(database.drop)
        yield Shop(database, tmp_path / "logs", stack)
