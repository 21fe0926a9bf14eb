"""Builds the docs, with warnings as errors and every link within them checked, and looks for misspelt words.

python -m tools.docs [DIRECTORY]     the pages go to the directory; default: docs/_build/html
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Do both; 0 if nothing is wrong."""
    directory = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "_build" / "html"
    commands = (
        ("codespell_lib", "README.md", "CHANGELOG.md", "docs", "guard"),
        # From scratch: what is not read again does not warn again.
        ("sphinx", "-q", "-E", "-a", "-W", "--keep-going", "-n", "-b", "html", "docs", str(directory)),
    )
    return max(subprocess.run([sys.executable, "-m", *command], cwd=ROOT).returncode for command in commands)


if __name__ == "__main__":
    sys.exit(main())
