"""A ledger on each database that can be had, with the command in this very process."""

from __future__ import annotations

from tests.integration.ledger.conftest import each, places, postgres, server, sqlite, table

__all__ = ["each", "places", "postgres", "server", "sqlite", "table"]
