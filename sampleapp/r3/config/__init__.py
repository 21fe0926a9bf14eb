"""The project of this release; what all releases share is found beside it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))
