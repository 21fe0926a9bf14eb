"""A connection of each vendor to a database of the tests' own that has a ledger, under an alias that models can use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from sampleapp.stage import databases
from sampleapp.stage.databases import Database
from tests.integration.gate.harness import entry


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Database]]:
    found: dict[str, Database] = {}
    yield found
    for database in found.values():
        alias = f"steps_{database.vendor}"
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]
        database.drop()


@pytest.fixture
def connection(
    vendor: str,
    made: dict[str, Database],
    tmp_path_factory: pytest.TempPathFactory,
) -> BaseDatabaseWrapper:
    """The same connection for each test; what a test makes, it drops."""
    alias = f"steps_{vendor}"
    if vendor not in made:
        made[vendor] = databases.create(vendor, tmp_path_factory.mktemp("steps"))
        connections.settings[alias] = connections.configure_settings({"default": entry(made[vendor])})["default"]
        executor = MigrationExecutor(connections[alias])
        executor.migrate([key for key in executor.loader.graph.leaf_nodes() if key[0] == "guard"])
    return connections[alias]
