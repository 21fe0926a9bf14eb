"""A database of each vendor, shared by all cases of a process, with a ledger that knows of a project in use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from guard.ledger.store import Ledger
from sampleapp.stage import databases
from sampleapp.stage.databases import Database
from tests.integration.gate.harness import entry


@pytest.fixture(scope="session")
def shared() -> Iterator[dict[str, Database]]:
    found: dict[str, Database] = {}
    yield found
    for alias, database in found.items():
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]
        database.drop()


@pytest.fixture
def alias(
    vendor: str,
    shared: dict[str, Database],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The alias of the vendor's database; what a case makes, it drops."""
    name = f"matrix_{vendor}"
    if name not in shared:
        shared[name] = databases.create(vendor, tmp_path_factory.mktemp("matrix"))
        connections.settings[name] = connections.configure_settings({"default": entry(shared[name])})["default"]
        executor = MigrationExecutor(connections[name])
        executor.migrate([key for key in executor.loader.graph.leaf_nodes() if key[0] == "guard"])
        Ledger(connections[name]).make_gate(fresh=False)
    return name
