"""What a statement touches.

What reads SQL is imported on first need: its regular expressions take longer to compile than everything else of guard
to load, and where nothing is slated they are never used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from guard.attribution.watchlist import Access, Touch, Watched, WatchList

if TYPE_CHECKING:
    from guard.attribution.attributor import Attributor
    from guard.attribution.shapes import shape

__all__ = ["Access", "Attributor", "Touch", "WatchList", "Watched", "shape"]

_LATE = {"Attributor": "guard.attribution.attributor", "shape": "guard.attribution.shapes"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LATE[name]), name)
    return value
