"""A ledger on each database that can be had, with the command in this very process; and generated projects."""

from __future__ import annotations

from tests.integration.gate.fixtures import empty_shop, first, missing, shop, templates, trees, vendor, zygote
from tests.integration.ledger.conftest import each, places, postgres, server, sqlite, table

__all__ = [
    "each",
    "empty_shop",
    "first",
    "missing",
    "places",
    "postgres",
    "server",
    "shop",
    "sqlite",
    "table",
    "templates",
    "trees",
    "vendor",
    "zygote",
]
