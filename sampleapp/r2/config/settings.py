"""Settings of this release: those that all releases share, and its label."""

from shopkit.settings import *  # noqa: F403
from shopkit.settings import GUARD, RELEASE

RELEASE = RELEASE or "r2"
GUARD = {"RELEASE": RELEASE} | GUARD
