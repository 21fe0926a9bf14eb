"""Fixtures that more than one room uses: here they are made once for all of them, and not once for each."""

from tests.integration.gate.fixtures import *  # noqa: F403
