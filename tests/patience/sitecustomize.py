"""Python reads this at the start of each process that tests start: constants of guard's that they ask for, as JSON.

What guard bounds so that it never keeps an application waiting, a busy machine may need longer for. And a lease can
last long, so that no pause of the machine ends it, with beats as often as a test wants to wait for.
"""

import json
import os
from typing import Any

_CONSTANTS: dict[str, dict[str, Any]] = json.loads(os.environ.get("TEST_CONSTANTS", "{}"))

if _CONSTANTS:
    import wrapt

    def _set(module: Any) -> None:
        for name, value in _CONSTANTS[module.__name__].items():
            assert hasattr(module, name), f"{module.__name__} has no {name}"
            setattr(module, name, value)

    for _name in _CONSTANTS:
        wrapt.register_post_import_hook(_set, _name)
