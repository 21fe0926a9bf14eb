"""What makes guard patient in the processes that tests start."""

from __future__ import annotations

import json
from pathlib import Path

#: For PYTHONPATH.
DIRECTORY = Path(__file__).parent


def environ(*, beats: float = 3) -> dict[str, str]:
    """For processes that beat so many times within a lease, and that take their time to leave."""
    constants = {
        "guard.ledger.connecting": {"CONNECT_TIMEOUT": 30},
        "guard.runtime.heartbeat": {"FAREWELL": 60.0},
        "guard.runtime.lease": {"BEATS": beats},
    }
    return {"TEST_CONSTANTS": json.dumps(constants)}
