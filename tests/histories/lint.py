"""`guard lint` over a real project's whole history, without a database: it copes with all that others have written.

python -m tests.histories.lint DATABASE PROJECT

Prints how many operations there are, the share that guard cannot look into, and which these are. It exits with 1 if
one of Django's own operations has no rule.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.histories.history import configure
from tests.histories.projects import PROJECTS
from tests.integration.lint.project import NOWHERE

_BACKENDS = {"sqlite": "sqlite", "postgres": "postgresql", "mariadb": "mysql"}


def main(vendor: str, name: str) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        configure(PROJECTS[name], NOWHERE[_BACKENDS[vendor]], Path(temporary))
        return _lint(vendor, name)


def _lint(vendor: str, name: str) -> int:
    from guard import conf
    from guard.lint import history, run
    from guard.phases import rules
    from guard.phases.words import Phase

    started = time.perf_counter()
    found = history.load()
    loaded = time.perf_counter()
    wanted = {key for key in found.order if key[0] != "guard"}
    result = run.lint(found, aliases=["default"], wanted=wanted, config=conf.strict(), together=False)
    judged = time.perf_counter()
    number = sum(result.phases.values())
    print(
        f"lint of {name} on {vendor}: {result.migrations} migrations, {number} operations, {result.opaque:.1%} opaque; "
        f"loaded in {loaded - started:.2f} s, judged in {judged - loaded:.2f} s"
    )
    for one in result.findings:
        if one.phase is Phase.OPAQUE:
            print(f"        opaque: {one.name}, operation {one.operation + 1}")
    classes = {type(operation) for key in wanted for operation in _flat(found.migration(key).operations)}
    # What a migration writes itself, nobody can have a rule for: that is opaque.
    unruled = [one for one in classes if rules.known_as(one) is None and not _is_own(one)]
    for one in unruled:
        print(f"        without a rule: {one.__module__}.{one.__qualname__}")
    return 1 if unruled else 0


def _is_own(operation_class: type) -> bool:
    return not operation_class.__module__.startswith(("django.db.", "django.contrib."))


def _flat(operations: Iterable[Any]) -> Iterator[Any]:
    """The operations, and those that a SeparateDatabaseAndState has for the database."""
    for operation in operations:
        yield operation
        yield from _flat(getattr(operation, "database_operations", ()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
