"""`manage.py guard`: look at contract steps, take them, bring back what was set aside."""

from __future__ import annotations

import json
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from guard import conf
from guard.gate import contract, evidence, messages, status
from guard.gate.orders import Desk, Refused, moment
from guard.gate.witnesses import locks
from guard.ledger import connecting, protocol, rows
from guard.ledger.orders import record_since
from guard.ledger.store import Conflict, LedgerMissing
from guard.management import lint, orders
from guard.runtime import watch
from guard.steps import fill

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_WAITS = 3
EXIT_LOCKED = 4

_TAKEN = frozenset({contract.Outcome.ASIDE.value, contract.Outcome.DONE.value})


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


class Command(BaseCommand):
    help = "Look at contract steps, take them, and bring back what was set aside."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        common = {"--database": "Look at this database only (default: every guarded one)."}

        def sub(name: str, text: str) -> CommandParser:
            added: CommandParser = commands.add_parser(name, help=text, description=text)
            for flag, meaning in common.items():
                added.add_argument(flag, help=meaning)
            added.add_argument("--json", action="store_true", help="Print JSON for machines.")
            return added

        sub("status", "Instances, and contract steps with what each waits for.")
        why = sub("why", "Each condition of one contract step, met or not, and what clears it.")
        why.add_argument("target", metavar="TABLE.COLUMN")
        take = sub("contract", "Take every contract step whose verdict is clear.")
        take.add_argument("--wait", action="store_true", help="Wait until nothing waits any more.")
        take.add_argument("--timeout", type=_seconds, default=600.0, help="Seconds to wait with --wait (default: 600).")
        restore = sub("restore", "Bring back columns that were set aside: by name, or all of a migration.")
        restore.add_argument("targets", nargs="+", metavar="TABLE.COLUMN|APP.MIGRATION")
        orders.add_arguments(sub)
        lint.add_arguments(sub)

    def handle(self, *args: Any, **options: Any) -> None:
        #: Of several databases, those that could not be looked at, and why.
        self._away: dict[str, str] = {}
        self._several = False
        try:
            conf.strict()
            with watch.quiet():
                getattr(self, f"_{options['action']}", self._order)(**options)
        except CommandError as error:
            if not self._away:
                raise
            raise CommandError(
                "\n".join([str(error), *self._not_seen()]).strip(), returncode=error.returncode
            ) from None
        except ImproperlyConfigured as mistake:
            raise CommandError(str(mistake), returncode=EXIT_ERROR) from None
        except LedgerMissing as missing:
            raise CommandError(str(missing), returncode=EXIT_ERROR) from None
        except DatabaseError as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise CommandError(f"The database refused: {first}", returncode=EXIT_ERROR) from error
        if self._away:
            raise CommandError("\n".join(self._not_seen()), returncode=EXIT_ERROR)

    def _not_seen(self) -> list[str]:
        return [f"Database {alias} was left out: {why}" for alias, why in sorted(self._away.items())]

    @contextmanager
    def _gate(self, alias: str) -> Iterator[contract.Contractor | None]:
        """The gate of a database; None where it is one of several, and cannot be looked at: the others go on."""
        with ExitStack() as stack:
            gate: contract.Contractor | None = None
            try:
                gate = stack.enter_context(contract.contractor(alias))
                if not gate.ledger.exists():
                    raise LedgerMissing(
                        f"Database {alias} has no ledger yet: run `manage.py migrate --database {alias}`."
                    )
            except (DatabaseError, LedgerMissing) as error:
                if not self._several:
                    raise
                self._away[alias] = (str(error).strip().splitlines() or [type(error).__name__])[0]
                gate = None
            else:
                # It may have come back since `contract --wait` last looked.
                self._away.pop(alias, None)
            yield gate

    def _aliases(self, database: str | None) -> tuple[str, ...]:
        if database is None:
            found = connecting.guarded_aliases()
            if not found:
                raise CommandError("No database is guarded: see `manage.py check --deploy`.", returncode=EXIT_ERROR)
            self._several = len(found) > 1
            return found
        if database not in connections.settings:
            raise CommandError(f"There is no database {database!r} in DATABASES.", returncode=EXIT_USAGE)
        return (database,)

    def _print(self, data: Any) -> None:
        self.stdout.write(json.dumps(data, indent=2, sort_keys=True))

    def _status(self, database: str | None, json: bool, **_: Any) -> None:
        views = []
        for alias in self._aliases(database):
            with self._gate(alias) as gate:
                if gate is None:
                    continue
                gate.settle()
                views.append(status.database_view(gate))
        if json:
            self._print({"version": status.JSON_VERSION, "databases": views})
            return
        for view in views:
            for line in status.status_lines(view, several=len(views) > 1):
                self.stdout.write(line)

    def _find(self, gate: contract.Contractor, target: str) -> rows.Step | None:
        """The step that an operator means: of several with one name, what is set aside, then what still waits.

        A column may have been removed more than once, and a later one of its name may keep a default for old code.
        """
        same = [step for step in gate.ledger.steps() if step.target.casefold() == target.casefold()]

        def weight(step: rows.Step) -> tuple[bool, bool, bool, int]:
            unfinished = step.state not in (rows.StepState.DONE, rows.StepState.WITHDRAWN)
            return step.state is rows.StepState.ASIDE, unfinished, step.kind in protocol.REMOVING, step.id

        return max(same, key=weight, default=None)

    def _lint(self, **options: Any) -> None:
        lint.lint(
            self.stdout,
            labels=options["apps"],
            database=options["database"],
            since=options["since"],
            release=options["since_release"],
            form="json" if options["json"] else options["format"],
            strict=options["strict"],
        )

    def _unknown(self, target: str, known: set[str]) -> CommandError:
        if not known:
            return CommandError(f"There is no contract step for {target}: nothing waits here.", returncode=EXIT_USAGE)
        return CommandError(
            f"There is no contract step for {target}. There are: {', '.join(sorted(known))}.", returncode=EXIT_USAGE
        )

    def _why(self, target: str, database: str | None, json: bool, **_: Any) -> None:
        known: set[str] = set()
        found: list[dict[str, Any]] = []
        for alias in self._aliases(database):
            with self._gate(alias) as gate:
                if gate is None:
                    continue
                gate.settle()
                step = self._find(gate, target)
                known.update(other.target for other in gate.ledger.steps())
                if step is not None:
                    fleet = evidence.read_fleet(gate.ledger)
                    view = status.step_view(gate, step, fleet)
                    found.append({"database": alias, "now": fleet.now, "step": view})
        if not found:
            raise self._unknown(target, known)
        if json:
            # The same column of another database is another step.
            self._print({"version": status.JSON_VERSION, **found[0], "others": found[1:]})
            return
        for one in found:
            if len(found) > 1:
                self.stdout.write(f"Database {one['database']}")
            for line in status.why_lines(one["step"], one["now"]):
                self.stdout.write(line)

    def _contract(self, database: str | None, json: bool, wait: bool, timeout: float, **_: Any) -> None:
        aliases = self._aliases(database)
        deadline = time.monotonic() + timeout
        told: dict[tuple[str, int], str] = {}
        results: list[dict[str, Any]] = []
        for alias in aliases:
            with self._gate(alias) as gate:
                if gate is None:
                    continue
                gate.tidy_up()
        waiting = self._waits_for_lock(json)
        while True:
            unfinished: list[contract.Attempt] = []
            for alias in aliases:
                with self._gate(alias) as gate:
                    if gate is None:
                        continue
                    patience = gate.config.lock_patience
                    if wait:
                        patience = max(0.0, min(patience, deadline - time.monotonic()))
                    gate.progress = self._says_progress(json)
                    for attempt in gate.round(patience=patience, told=waiting):
                        self._tell(gate, attempt, told, results, quiet=json)
                        over = attempt.taken or attempt.outcome is contract.Outcome.READY
                        if not over and attempt.step.state in (rows.StepState.WAITING, rows.StepState.SEALED):
                            unfinished.append(attempt)
            left = deadline - time.monotonic()
            # What is set aside waits for KEEP_FOR, not for anybody's deploy; a kept default harms nobody.
            waits = [a for a in unfinished if a.step.kind is not rows.StepKind.DEFAULT]
            if not wait or not waits or left <= 0:
                break
            time.sleep(min(1.0, max(left, 0.0)))
        if json:
            self._print({"version": status.JSON_VERSION, "steps": results})
        elif not told and not waits and not any(result["outcome"] in _TAKEN for result in results):
            self.stdout.write("Nothing waits.")
        if any(a.outcome is contract.Outcome.LOCKED for a in unfinished):
            raise CommandError(
                "Gave up: the table's lock was not to be had. Everything is as it was; run the command again.",
                returncode=EXIT_LOCKED,
            )
        failed = [a for a in unfinished if a.outcome is contract.Outcome.FAILED]
        if failed:
            raise CommandError(
                "\n".join(f"{a.step.target} could not be taken: {a.detail}" for a in failed), returncode=EXIT_ERROR
            )
        if wait and waits:
            targets = ", ".join(sorted({a.step.target for a in waits}))
            raise CommandError(f"Still waiting after {timeout:g} seconds: {targets}.", returncode=EXIT_WAITS)

    def _says_progress(self, quiet: bool) -> Callable[[rows.Step, fill.Progress], None]:
        """Says how far a step's filling has come, every ten seconds at most."""
        said = time.monotonic()

        def told(step: rows.Step, progress: fill.Progress) -> None:
            nonlocal said
            if quiet or time.monotonic() < said + 10:
                return
            said = time.monotonic()
            left = "" if progress.left is None else f", about {messages.span(progress.left)} left"
            lag = f"; waiting for a replica that is {progress.lag:.0f} s behind" if progress.lag else ""
            self.stdout.write(f"{step.target}: {progress.filled:,} rows filled{left}{lag}.")
            self.stdout.flush()

        return told

    def _waits_for_lock(self, quiet: bool) -> Callable[[rows.Step, tuple[locks.Holder, ...]], None]:
        """Says who holds a table that is waited for: once for each, not at each try."""
        known: set[tuple[int, str]] = set()

        def told(step: rows.Step, holders: tuple[locks.Holder, ...]) -> None:
            for holder in holders:
                if (step.id, holder.pid) not in known and not quiet:
                    known.add((step.id, holder.pid))
                    self.stdout.write(f"{step.target}: waiting for its table, which is held by {holder}")
                    self.stdout.flush()

        return told

    def _tell(
        self,
        gate: contract.Contractor,
        attempt: contract.Attempt,
        told: dict[tuple[str, int], str],
        results: list[dict[str, Any]],
        *,
        quiet: bool,
    ) -> None:
        step = attempt.step
        now = gate.ledger.now()
        waits = messages.blockers(attempt.verdict, now) if attempt.verdict and not attempt.taken else []
        key = (gate.connection.alias, step.id)
        # Of a step that is tried again, how it stands now; what was taken stays told.
        results[:] = [r for r in results if (r["database"], r["id"]) != key or r["outcome"] in _TAKEN]
        data = {**contract.explain(attempt), "database": key[0], "id": key[1], "waits_for": waits}
        results.append(data)
        if quiet or (step.kind is rows.StepKind.DEFAULT and not attempt.taken):
            return
        if attempt.taken:
            self.stdout.write(messages.taken(attempt))
        elif attempt.outcome is contract.Outcome.BLOCKED:
            if step.state is rows.StepState.ASIDE:
                return
            # Said again only when another reason comes to the fore, not at each tick of a clock.
            codes = ",".join(b.code for b in attempt.verdict.blockers) if attempt.verdict else ""
            if told.get(key) != codes:
                self.stdout.write(f"{step.target} waits:")
                for line in waits:
                    self.stdout.write(f"  {line}")
            told[key] = codes
        else:
            said = f"{step.target}: {attempt.outcome.value}. {attempt.detail}".rstrip()
            if told.get(key) != said:
                self.stdout.write(said)
            told[key] = said

    def _order(self, action: str, database: str | None, json: bool, **options: Any) -> None:
        aliases = self._aliases(database)
        refusals: list[str] = []
        done = []
        for alias in aliases:
            with self._gate(alias) as gate:
                if gate is None:
                    continue
                gate.settle()
                try:
                    done.append((alias, orders.carry_out(Desk(gate), action, options)))
                except Refused as refused:
                    refusals.append(str(refused))
                except (protocol.ProtocolError, Conflict) as error:
                    raise CommandError(str(error), returncode=EXIT_ERROR) from None
        if not done:
            raise CommandError(" ".join(dict.fromkeys(refusals)), returncode=EXIT_USAGE)
        if json:
            self._print(
                {
                    "version": status.JSON_VERSION,
                    "orders": [{"database": alias, "target": d.target, "says": d.says} for alias, d in done],
                }
            )
            return
        for _alias, answer in done:
            self.stdout.write(answer.says)

    def _log(self, database: str | None, json: bool, since: str | None, **_: Any) -> None:
        found = []
        for alias in self._aliases(database):
            with self._gate(alias) as gate:
                if gate is None:
                    continue
                now = gate.ledger.now()
                try:
                    start = 0.0 if since is None else moment(since, now, back=True)
                except Refused as refused:
                    raise CommandError(str(refused), returncode=EXIT_USAGE) from None
                found += [
                    {
                        "database": alias,
                        "at": at,
                        "action": action,
                        "target": target,
                        "actor": actor,
                        "release": release,
                        "details": details,
                    }
                    for at, action, target, actor, release, details in record_since(gate.ledger, start)
                ]
        if json:
            self._print({"version": status.JSON_VERSION, "log": found})
            return
        for line in orders.log_lines(found):
            self.stdout.write(line)

    def _restore(self, targets: list[str], database: str | None, json: bool, **_: Any) -> None:
        aliases = self._aliases(database)
        known: set[str] = set()
        restored: list[dict[str, Any]] = []
        back: set[str] = set()
        #: By target, what cannot be brought back: (alias, step).
        stuck: dict[str, list[tuple[str, rows.Step]]] = {target: [] for target in targets}
        for alias in aliases:
            with self._gate(alias) as gate:
                if gate is None:
                    continue
                gate.settle()
                known.update(s.target for s in gate.ledger.steps(rows.StepState.ASIDE))
                for target in stuck:
                    for step in self._meant(gate, target):
                        if step.state is not rows.StepState.ASIDE:
                            stuck[target].append((alias, step))
                            continue
                        after = self._bring_back(gate, step)
                        back.add(target)
                        restored.append({"database": alias, "target": after.target, "state": after.state.value})
                        if not json:
                            where = f" in database {alias}" if len(aliases) > 1 else ""
                            self.stdout.write(
                                f"{after.target} is back{where}, with its data. It waits again until no deployed "
                                "instance uses it."
                            )
        if json:
            self._print({"version": status.JSON_VERSION, "restored": restored})
        problems = [
            self._cannot_restore(step) + (f" (Database {alias}.)" if len(aliases) > 1 else "")
            for target, steps in stuck.items()
            for alias, step in steps
            # Where one database had it set aside, it is no news that it is in its place in another one.
            if target not in back or step.state in (rows.StepState.DONE, rows.StepState.SEALED)
        ]
        unknown = [target for target, steps in stuck.items() if target not in back and not steps]
        if problems:
            raise CommandError("\n".join(problems), returncode=EXIT_ERROR)
        if unknown:
            raise self._unknown(", ".join(unknown), known)

    def _meant(self, gate: contract.Contractor, target: str) -> list[rows.Step]:
        """The steps that an operator names: one by its column, or all that a migration set aside."""
        step = self._find(gate, target)
        if step is not None and step.kind is not rows.StepKind.MIGRATION:
            return [step]
        aside = gate.ledger.steps(rows.StepState.ASIDE)
        return [s for s in aside if f"{s.app}.{s.migration}".casefold() == target.casefold()]

    def _bring_back(self, gate: contract.Contractor, step: rows.Step) -> rows.Step:
        try:
            return gate.restore(step)
        except (protocol.ProtocolError, Conflict) as error:
            raise CommandError(str(error), returncode=EXIT_ERROR) from None

    def _cannot_restore(self, step: rows.Step) -> str:
        return {
            rows.StepState.DONE: f"{step.target} was erased and cannot be restored: its data is gone.",
            rows.StepState.WAITING: f"{step.target} is still in its place: there is nothing to restore.",
            rows.StepState.SEALED: f"{step.target} is being taken right now: try again in a few seconds.",
            rows.StepState.WITHDRAWN: f"{step.target} is in use again: there is nothing to restore.",
        }[step.state]
