"""Upgrades a real project under guard from each of its past states that something was taken away after.

python -m tests.histories.upgrade DATABASE PROJECT [--replaced] [--hop=N] [--every=N] [POSITION…]

First `guard lint` goes over the whole history. Then, for each state: code of that state is deployed and writes rows;
the newest release's `migrate` runs (with `--hop=N`, that of a release with the next N migrations); what the deployed
code could do, it still can; once it has stopped and all steps are taken, the schema and the rows are those that Django
alone makes. Prints one line for each state, and how many operations run, are split, held or refused. With `--replaced`
the database is older than the squashes, and has had what they replace; with `--every=N` only each Nth state is tried.
It exits with 1 if anything broke.
"""

from __future__ import annotations

import collections
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from django.db import connections

from sampleapp.stage import databases
from tests.histories.history import History, configure
from tests.histories.projects import PROJECTS
from tests.histories.site import Site
from tests.integration.gate.harness import entry

#: How often the new release's `migrate` and `guard contract` are run until nothing is left to do.
ROUNDS = 12


@dataclass
class Seen:
    """What became of a database, and what code could do there on the way."""

    outcome: str = "plain"
    said: str = ""
    old: dict = field(default_factory=dict)
    new: dict = field(default_factory=dict)
    end: dict = field(default_factory=dict)
    schema: dict = field(default_factory=dict)
    rows: dict = field(default_factory=dict)
    broken: list = field(default_factory=list)


def upgrade(base, release, target, directory):
    """What `migrate` did ("split", "held", "refused" or "failed"), and everything that broke.

    `base` is a site as the release has it.
    """
    with base.copy(directory) as start:
        start.seed(release)
        old_own = start.work(release)
        with start.copy(directory) as plain:
            try:
                wanted = _plain(plain, target)
            except Exception:
                # Generic rows may not be what a data migration, or a new constraint, can live with.
                wanted = None
        if wanted is not None:
            with start.copy(directory) as guarded:
                seen = _guarded(guarded, release, target)
    if wanted is None:
        with base.copy(directory) as plain:
            old_own = plain.work(release)
            wanted = _plain(plain, target)
        with base.copy(directory) as guarded:
            seen = _guarded(guarded, release, target)

    known, all_known = release.tables, target.tables
    broken = [
        *seen.broken,
        *_worse("deployed code", old_own, seen.old, known),
        *(_worse("new code", wanted.new, seen.new, all_known) if seen.outcome == "split" else ()),
        *_worse("new code at the end", wanted.new, seen.end, all_known),
    ]
    for what, found, expected in (("schema", seen.schema, wanted.schema), ("rows", seen.rows, wanted.rows)):
        broken += [
            f"table {table}: {what}: {found.get(table)} instead of {expected.get(table)}"
            for table in sorted(found.keys() | expected.keys())
            if found.get(table) != expected.get(table)
        ]
    return seen.outcome, seen.said, broken


def _plain(site, target):
    site.plainly(target)
    return Seen(rows=site.rows(), new=site.work(target), schema=site.schema())


def _guarded(site, release, target):
    from django.core.management.base import CommandError

    old = site.arrive("old", release)
    seen = Seen("split")
    try:
        site.migrate(target)
    except CommandError as error:
        seen.outcome, site.said = "refused", str(error)
    except Exception as error:
        seen.outcome = "failed"
        seen.broken.append(f"migrate failed: {type(error).__name__}: {error}")
    seen.said = site.said
    seen.old = site.work(release)
    if seen.outcome == "split":
        if site.applied(target):
            seen.new = site.work(target)
        else:
            seen.outcome = "held"
    if seen.outcome in ("split", "held"):
        site.arrive("new", target)
    # Or the maintenance window: nobody runs.
    site.ledger.leave(old)
    for _ in range(ROUNDS):
        try:
            site.migrate(target)
        except CommandError as error:
            # Steps that the plan itself slates are reported for at the next heartbeat.
            site.said = str(error)
        except Exception as error:
            seen.broken.append(f"migrate failed: {type(error).__name__}: {error}")
            break
        if seen.outcome == "refused":
            site.arrive("new", target)
        if not any(attempt.taken for attempt in site.contract(target)) and site.applied(target):
            break
    if not site.applied(target):
        seen.broken.append(f"not applied in the end: {site.said}")
    seen.broken += [f"still waiting: {target}" for target in site.waiting()]
    seen.rows = site.rows()
    seen.end = site.work(target)
    seen.schema = site.schema()
    return seen


def _worse(who, own, now, known):
    """What got worse for code; deletes of what rows of an app refer to that it never had are the app's doing."""
    from tests.integration.phases import oracle

    def of_a_new_app(result):
        return "foreign key" in result.lower() and not any(
            f"'{table}'" in result or f'"{table}"' in result for table in known
        )

    return [
        f"{who}: {name}: {result}"
        for name, result in oracle._worse(own, now).items()
        # What is sent when a migrate is over fills tables.
        if result != "False became True" and not of_a_new_app(result)
    ]


def upgrades(vendor, name, *, replaced, hop, every, positions, directory):
    """Whether nothing broke in any of them."""
    database = databases.create(vendor, directory)
    configure(PROJECTS[name], entry(database), directory)
    history = History(PROJECTS[name], replaced=replaced)
    connections.close_all()
    database.drop()
    outcomes = collections.Counter()
    good = True
    with Site.create(history, vendor, directory) as base:
        judged = history.judged(base.connection)
        dispositions = collections.Counter(str(each) for _, found in judged for each in found)
        print(f"{name} on {vendor}: {len(judged)} migrations, operations: {dict(dispositions)}", flush=True)
        starts = (
            positions
            or [
                number
                for number, (migration, found) in enumerate(judged)
                if number and not migration.initial and any(str(each) != "run" for each in found)
            ][::every]
        )
        for start in sorted(starts):
            base = _go_on(base, start)
            began = time.monotonic()
            release = history.release(start)
            last = start + hop if hop else len(judged)
            target = history.release(last) if last < len(judged) else history.newest
            together = collections.Counter(str(each) for each in history.together(release, target, base.connection))
            outcome, said, broken = upgrade(base, release, target, directory)
            outcomes[outcome] += 1
            good = good and not broken
            print(
                f"{'BROKEN' if broken else 'ok':6}  from before {judged[start][0]}: {outcome}; operations: "
                f"{dict(together)}; {time.monotonic() - began:.0f} s",
                flush=True,
            )
            for one in broken:
                print(f"        {one}"[:2000])
            if broken and said:
                print(f"        {said}")
    print(f"{len(starts)} upgrades: {dict(outcomes)}")
    return good


def _go_on(base, count):
    """The site, taken on to the state of the first `count` migrations, as Django does without guard."""
    from django.db.migrations.executor import MigrationExecutor

    from tests.integration.matrix.harness import _unguarded

    site = Site(base.history, base.database)
    with _unguarded():
        executor = MigrationExecutor(site.connection)
        done = executor.loader.applied_migrations
        todo = [one for one in site.history.migrations[:count] if (one.app_label, one.name) not in done]
        state = site.history.state(count - len(todo))
        state.real_apps = executor.loader.unmigrated_apps
        for migration in todo:
            state = executor.apply_migration(state, migration)
    return site


def main(*arguments):
    options = {name: value for name, _, value in (each.partition("=") for each in arguments if each.startswith("--"))}
    vendor, name, *positions = (each for each in arguments if not each.startswith("--"))
    # In a process of its own, which nobody has told where the database is.
    linted = subprocess.run([sys.executable, "-m", "tests.histories.lint", vendor, name], check=False)
    with tempfile.TemporaryDirectory() as temporary:
        good = upgrades(
            vendor,
            name,
            replaced="--replaced" in options,
            hop=int(options.get("--hop", 0)),
            every=int(options.get("--every", 1)),
            positions=[int(each) for each in positions],
            directory=Path(temporary),
        )
    return 0 if good and linted.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
