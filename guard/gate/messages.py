"""What guard says around `migrate`: sentences for people who are busy. Pure: values in, lines out.

One sentence of what, one of why, one of what to do next, with the command to paste.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from guard.ledger import rows
from guard.phases.words import Judgement, Target
from guard.steps import slating

if TYPE_CHECKING:
    from django.db import models

    from guard.gate import contract, verdict
    from guard.gate.planner import Held, Session
    from guard.phases.plan import MigrationJudgement
    from guard.steps import fill

INDENT = "  "
TAKE = "manage.py guard contract --wait"
#: Call sites, and other things of which there may be thousands, shown in one message.
TOP = 3


def ago(seconds: float) -> str:
    """A time in the past as an operator says it."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return "just now"
    return f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """A duration in its largest fitting unit."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return count(int(seconds // size), unit)
    return count(int(seconds), "second")


def clock(seconds: float) -> str:
    """A duration that is counted down: minutes and seconds."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes}:{rest:02}"


def count(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _list(words: Iterable[str]) -> str:
    words = list(words)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def still_used(users: Sequence[rows.Instance], now: float) -> list[str]:
    """Who relies on a step's target: releases, workloads, number of instances, how long ago."""
    if not users:
        return []
    groups: dict[tuple[str, str], list[rows.Instance]] = {}
    for instance in users:
        groups.setdefault((instance.release, instance.workload), []).append(instance)
    lines = []
    for (release, workload), members in sorted(groups.items()):
        lost = sum(member.size for member in members if member.lost(now))
        number = sum(member.size for member in members)
        seen = max(member.renewed_at for member in members)
        text = f"release {release}, {workload}: {count(number, 'instance')}, last seen {ago(now - seen)}"
        if lost:
            text += f" ({lost:,} of them lost: they fell silent without saying that they are gone)"
        lines.append(text)
    return lines


def call_sites(sightings: Sequence[rows.Sighting], now: float) -> list[str]:
    """The busiest call sites that touched the target."""
    counts: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], float] = {}
    for sighting in sightings:
        if sighting.folded:
            # Too long ago to be told where.
            continue
        key = (sighting.call_site, sighting.access.value)
        counts[key] += sighting.count
        last[key] = max(last.get(key, 0.0), sighting.last_at)
    return [
        f"{site or 'an unknown place'}: {count(number, access)}, last {ago(now - last[site, access])}"
        for (site, access), number in counts.most_common(TOP)
    ]


def blockers(decided: verdict.Verdict, now: float, *, most: int = 4) -> list[str]:
    """Why a step waits, and what clears it."""
    said = [blocker.sentence(now) for blocker in decided.blockers]
    if len(said) > most:
        said = [
            *said[:most],
            f"… and {count(len(said) - most, 'more reason')}: manage.py guard why {decided.step.pasted}",
        ]
    return said


def changed(before: verdict.Verdict, after: verdict.Verdict, now: float) -> list[str]:
    """What is different about why a step waits: who has left, which conditions are met by now, what is new."""
    known = {(blocker.code, blocker.who): blocker.count for blocker in before.blockers}
    lines = []
    for blocker in after.blockers:
        count_before = known.get((blocker.code, blocker.who))
        if count_before is None:
            lines.append(blocker.sentence(now))
        elif blocker.count and blocker.count != count_before:
            lines.append(f"{count(blocker.count, 'instance')} of {blocker.who} left of {count_before:,}.")
    unmet = {number for blocker in after.blockers for number in blocker.conditions}
    was_unmet = {number for blocker in before.blockers for number in blocker.conditions}
    names = {condition.number: condition.name for condition in after.conditions}
    return lines + [f"met: {names[number]}." for number in sorted(was_unmet - unmet) if number in names]


def waiting(step: rows.Step, users: Sequence[rows.Instance], sites: Sequence[str], now: float) -> list[str]:
    """What `migrate` says of a removal that it has split."""
    lines = [
        f"guard: {step.target} stays for now, and new code already works without it.",
        f"{INDENT}It is taken away when no deployed instance uses it any more: at a later migrate, or with `{TAKE}`.",
    ]
    used = still_used(users, now)
    lines += [f"{INDENT}Still used by {used[0]}." if used else f"{INDENT}No instance that uses it has registered yet."]
    lines += [f"{INDENT}  and {line}." for line in used[1:TOP]]
    if len(used) > TOP:
        lines.append(f"{INDENT}  and {count(len(used) - TOP, 'more group')}: manage.py guard why {step.pasted}")
    lines += [f"{INDENT}  at {site}" for site in sites]
    return lines


def after_migrate(session: Session, held: Sequence[Held], attempts: Sequence[contract.Attempt]) -> list[str]:
    """All that guard has to say when a plan has run."""
    from guard.gate import evidence

    report, ledger = session.report, session.ledger
    lines: list[str] = []
    if not (report.slated or report.given_back or report.nullable or report.notes or held or attempts):
        return lines
    fleet = evidence.read_fleet(ledger)
    taken = {attempt.step.id: attempt for attempt in attempts if attempt.taken}
    for step, may_read_null in report.slated:
        if step.id not in taken:
            sites = call_sites(ledger.sightings(step.table, step.column), fleet.now)
            lines += waiting(step, evidence.users(step, fleet), sites, fleet.now)
            if may_read_null:
                lines.append(f"{INDENT}Old code may read NULL there, in rows that new code has inserted.")
    for step, nulls in report.given_back:
        lines.append(f"guard: {step.target} is back in use, with its data.")
        if step.id in report.forbidding:
            lines.append(
                f"{INDENT}Releases in between, which do not know it, cannot delete what its rows refer to until they "
                "are replaced."
            )
        if nulls:
            lines.append(
                f"{INDENT}It stays nullable: {count(nulls, 'row')} came without a value meanwhile, and none is known "
                "for them. Fill them, then set NOT NULL."
            )
    for step, nulls in report.nullable:
        if step.id not in taken:
            lines += _nullable(step, nulls)
    lines += [f"guard: {note}" for note in report.notes]
    for item in held:
        lines += _held(item, fleet.now)
    lines += _attempts(attempts, fleet.now, skip={step.id for step, _ in (*report.slated, *report.nullable)})
    return lines


def _nullable(step: rows.Step, nulls: int) -> list[str]:
    lines = [
        f"guard: {step.target} still takes NULL for old code; NOT NULL follows when no old code is left: at a later "
        f"migrate, or with `{TAKE}`."
    ]
    if nulls:
        lines.append(f"{INDENT}{count(nulls, 'row')} with NULL must be filled before; the field has no default.")
    return lines


def _held(item: Held, now: float) -> list[str]:
    name = f"{item.migration[0]}.{item.migration[1]}"
    if item.behind is not None:
        return [f"guard: {name} waits too, because it depends on {item.behind[0]}.{item.behind[1]}."]
    if item.verdict is None:
        return [
            f"guard: {name} waits and is not applied yet.",
            *(f"{INDENT}{reason}" for reason in item.reasons),
            f"{INDENT}When that is over, run `manage.py migrate` again: then it is applied.",
        ]
    return [
        f"guard: {name} waits and is not applied yet. Code that is deployed, or may come back, would break by it:",
        *(f"{INDENT}  {reason}" for reason in item.reasons),
        f"{INDENT}What it waits for:",
        *(f"{INDENT}  {line}" for line in blockers(item.verdict, now)),
        f"{INDENT}After the roll-out, or with every instance stopped, run `manage.py migrate` again: it is applied "
        "as soon as none of this is left.",
    ]


def _attempts(attempts: Sequence[contract.Attempt], now: float, *, skip: set[int]) -> list[str]:
    lines = []
    for attempt in attempts:
        step = attempt.step
        if attempt.taken:
            lines.append(f"guard: {taken(attempt)}")
        elif attempt.outcome.value == "blocked":
            if step.id not in skip and step.kind not in rows.TIDY and step.state is rows.StepState.WAITING:
                lines.append(f"guard: {step.target} still waits; `manage.py guard why {step.pasted}` says for what.")
        else:
            lines.append(f"guard: {not_taken(attempt)}")
    return lines


def not_taken(attempt: contract.Attempt) -> str:
    """Why a step that nothing blocks was not taken, and what to do."""
    target, detail = attempt.step.target, attempt.detail.rstrip(".")
    return {
        "locked": f"{target} could not be taken yet, because its table is in use: {detail}. Nothing has changed; "
        "`manage.py guard contract` tries again.",
        "busy": f"{target} is left to another process, which is at work on it: {detail}. Look again in a few seconds.",
        "reconciled": f"{target} is left as it is: {detail}. `manage.py guard log` has what was found.",
        "ready": f"{target} is free to go: {detail}.",
        "failed": f"{target} could not be taken: {detail}. It is as it was; `manage.py guard contract` tries again.",
    }.get(attempt.outcome.value, f"{target}: {attempt.outcome.value}. {detail}")


def taken(attempt: contract.Attempt) -> str:
    """What has just been taken, and what it cost where that was not nothing."""
    return f"{_taken(attempt)} {attempt.detail}".rstrip()


def _taken(attempt: contract.Attempt) -> str:
    step = attempt.step
    if attempt.step.state is rows.StepState.ASIDE:
        return f"{step.target} is set aside; `manage.py guard restore {step.pasted}` brings it back until it is erased."
    if step.kind is rows.StepKind.DEFAULT:
        return f"{step.target} needs its database default no more: dropped."
    if step.kind is rows.StepKind.KEY:
        return f"{step.target} has its foreign key as the models declare it: what its rows refer to stays."
    if step.kind is rows.StepKind.NULLABLE:
        return f"{step.target} takes NULL no more."
    return f"{step.target} is erased."


def effect(judged: Judgement) -> str:
    """What an operation does, and what it breaks."""
    breaks = f" In old code it breaks {judged.breaks_old}." if judged.breaks_old else ""
    return f"{judged.what}.{breaks}"


def contracts(judgement: MigrationJudgement) -> list[str]:
    """Why a migration is held: what it takes from old code, and the safe way where there is one."""
    return [
        line
        for operation in judgement.operations
        if operation.disposition.value in ("hold", "refuse")
        for line in (effect(operation), *(f"{INDENT}{line}".rstrip() for line in operation.recipe.splitlines()))
    ]


def chained(judged: Judgement, step: rows.Step) -> str:
    """An operation on a column that has a pending step."""
    return (
        f"{judged.what}. {step.app}.{step.migration} has left something of {step.target} in place for old code, which "
        f"has to go first; `manage.py guard why {step.pasted}` says what it waits for."
    )


def name_taken(judged: Judgement, name: str, target: str, migration: str) -> str:
    """An index or constraint whose name is still in use, for old code."""
    return (
        f"{judged.what}. The name {name} is still taken by an index or constraint over {target}, which stays for old "
        f"code since {migration}; `manage.py guard why {shlex.quote(target)}` says what it waits for."
    )


def referred_to(judged: Judgement, column: Target, left: Target, migration: str) -> str:
    """A column whose type is to change, and to which something that waits still has a foreign key."""
    return (
        f"{judged.what}. {left} stays for old code since {migration} and has a foreign key to {column}, which this "
        f"database does not change beside it; `manage.py guard why {shlex.quote(str(left))}` says what it waits for."
    )


def nulls(
    judged: Judgement, target: Target, number: int, field: models.Field[Any, Any], *, by_function: bool = False
) -> str:
    """NULLs that stand in the way of a NOT NULL, and that the database has nothing to put in the place of."""
    rows_have = "row has" if number == 1 else "rows have"
    if by_function:
        why = "its default is a function, which only Django can call: it fills them when no old code writes more"
    elif field.unique and field.has_default():
        why = "the field is unique, so that one default cannot fill them: fill them first"
    else:
        why = "the field has no default: fill them first"
    return f"{judged.what}. {number:,} {rows_have} NULL in {target}, and {why}."


def differs(judged: Judgement, step: rows.Step) -> str:
    """A new column that has the name of a leftover but is another one."""
    kind = "column" if step.column else "table"
    if slating.stays(step):
        return (
            f"{judged.what}. The name {step.target} is taken by the {kind} that {step.app}.{step.migration} removed: "
            "that was withdrawn, so it stays, and this one is different. Rename or drop the old one."
        )
    return (
        f"{judged.what}. The name {step.target} is still taken by the {kind} that {step.app}.{step.migration} removed, "
        f"and this one is different. `manage.py migrate` sets the old one aside as soon as nobody uses it."
    )


def renames_pending(judgement: MigrationJudgement, judged: Judgement, step: rows.Step) -> str:
    """A rename of something that has a pending step."""
    return (
        f"{judgement.app}.{judgement.name}: {judged.what}. {step.app}.{step.migration} has left something of "
        f"{step.target} in place for old code, and a rename would lose track of it. Finish that first with `{TAKE}`, "
        "then run `manage.py migrate` again."
    )


def renames_split(judgement: MigrationJudgement, judged: Judgement) -> str:
    """A rename, declared to be safe, of a table that the same plan takes something from."""
    return (
        f"{judgement.app}.{judgement.name}: {judged.what}. The same plan takes something from that table, which has to "
        "wait for deployed code, and a rename would lose it. Apply what comes before it first: "
        "`manage.py migrate APP MIGRATION`, then `manage.py guard contract --wait`."
    )


def unsafe(judgement: MigrationJudgement, decided: verdict.Verdict, now: float) -> str:
    """A migration that no order of deploy and migrate makes work."""
    name = f"{judgement.app}.{judgement.name}"
    lines = [f"{name} cannot work while old and new code run side by side, whichever order you deploy in."]
    for operation in judgement.operations:
        if operation.disposition.value == "refuse":
            lines.append(f"{INDENT}{effect(operation)}")
            if operation.recipe:
                lines.append(f"{INDENT}What works instead:")
                lines += [f"{INDENT}  {line}" for line in operation.recipe.splitlines()]
    lines.append(
        f"{INDENT}Or stop every instance (servers, workers) and run `manage.py migrate` again: then it runs as it is. "
        "What may run still:"
    )
    lines += [f"{INDENT}  {blocker.sentence(now)}" for blocker in decided.blockers[:TOP]]
    if len(decided.blockers) > TOP:
        lines.append(f"{INDENT}  … and {count(len(decided.blockers) - TOP, 'more reason')}.")
    return "\n".join(lines)


def refused(reasons: Sequence[str]) -> str:
    """Why nothing was applied."""
    return "guard refuses this plan; nothing was applied.\n" + "\n".join(reasons)


def backwards_in_use(judgement: MigrationJudgement, target: Target, users: Sequence[rows.Instance], now: float) -> str:
    """Unapplying would take away what live code uses."""
    return (
        f"{judgement.app}.{judgement.name}: unapplying it drops {target}, which is in use by "
        f"{_list(still_used(users, now))}. Stop or replace these first."
    )


def given_back_too_early(step: rows.Step, newer: Sequence[rows.Instance], now: float) -> str:
    """Unapplying would make the column NOT NULL again under code that does not know it."""
    return (
        f"{step.app}.{step.migration}: unapplying it makes {step.target} NOT NULL again, and inserts would fail in "
        f"{_list(still_used(newer, now))}. Stop or replace these first."
    )


def being_taken(steps: Sequence[rows.Step]) -> str:
    """A step of the migration is sealed by another process."""
    return f"{_list(s.target for s in steps)}: another process is taking it away right now. Try again in a few seconds."


def meets_seal(judged: Judgement, step: rows.Step) -> str:
    """What an operation is about is being changed by another process."""
    return (
        f"{judged.what}. Another process is at work on {step.target} right now: run `migrate` again in a few seconds."
    )


def overtaken(error: Exception) -> str:
    """Another process has written a step that this plan was about to write."""
    return f"{error} Another process is at work on the same: run `manage.py migrate` again."


def cannot_unapply_guard(steps: Sequence[rows.Step]) -> str:
    """guard's own tables hold the only record of contract work that is not finished."""
    words = {
        rows.StepKind.DEFAULT: "its kept default",
        rows.StepKind.KEY: "its loose foreign key",
        rows.StepKind.NULLABLE: "still nullable",
        rows.StepKind.MIGRATION: "held",
    }
    states = {rows.StepState.ASIDE: "set aside", rows.StepState.SEALED: "being taken"}
    listed = _list(f"{s.target} ({words.get(s.kind) or states.get(s.state) or s.state.value})" for s in steps)
    return (
        f"guard's own migrations cannot be unapplied while something waits of which only its tables know: {listed}. "
        "Finish that with "
        f"`{TAKE}` (with KEEP_FOR and ROLLBACK_WINDOW at 0 nothing is kept for a roll-back), or unapply the migrations "
        "that began it."
    )


def being_run(migration: tuple[str, str]) -> str:
    """A held migration that another process is running."""
    return f"Another process is applying {migration[0]}.{migration[1]} right now."


def not_any_more(step: rows.Step, error: Exception) -> str:
    """A held migration that was clear when its plan began, and could not be begun."""
    return (
        f"{step.target} was free to be applied when this migrate began, but is not any more: {error} "
        "What came before it is applied; run `manage.py migrate` again later."
    )


def seal_lost(step: rows.Step) -> str:
    """A migration that ran while its seal was taken for one that had been left behind."""
    return (
        f"{step.target} was undone at its end: while it ran, its process was taken for one that had ended, and old "
        "code may have come back. What came before it is applied; run `manage.py migrate` again later."
    )


def restore_first(judgement: MigrationJudgement, judged: Judgement, step: rows.Step) -> str:
    """A column that is added again while it is set aside, and that old code could not insert without."""
    return (
        f"{judgement.app}.{judgement.name}: {judged.what}. {step.target} was set aside when "
        f"{step.app}.{step.migration} removed it. Bring it back with `manage.py guard restore {step.pasted}`, then run "
        "`manage.py migrate` again: it takes the column over, with its data."
    )


def held_back(named: Sequence[Held], needed: Sequence[tuple[Held, Target]]) -> str:
    """Why `migrate` ends with exit code 3."""

    def waits(held: Held) -> str:
        return f"waits behind {held.behind[0]}.{held.behind[1]}" if held.behind else "waits"

    lines = [f"{held.migration[0]}.{held.migration[1]} was asked for, but {waits(held)}." for held in named]
    lines += [
        f"This release's models need {target}, but {'.'.join(held.migration)}, which makes it, {waits(held)}."
        for held, target in needed
    ]
    if needed:
        lines.append("Do not start this release before that is applied: it would fail.")
    lines.append("What stands in the way is said above; when it is over, run the command again.")
    return "\n".join(dict.fromkeys(lines))


def observed(would: Sequence[MigrationJudgement]) -> list[str]:
    """What guard would have done, in observe mode."""
    return [
        f'guard (observing): {j.app}.{j.name} ran whole; under MODE "enforce" guard would have '
        f"{_WOULD.get(j.disposition.value, j.disposition.value)}."
        for j in would
    ]


_WOULD = {
    "split": "run it in two steps",
    "hold": "held it until no old code is deployed",
    "refuse": "refused it (`manage.py guard lint` says why)",
}


def shown_held(reasons: Sequence[str]) -> list[str]:
    """What `sqlmigrate` says above a migration that waits."""
    return [
        "--",
        "-- guard: `migrate` waits with this migration until no deployed code needs what it takes; then it runs this.",
        *(f"-- {line}" for reason in reasons for line in reason.splitlines()),
        "--",
    ]


def shown_refused(reasons: Sequence[str]) -> list[str]:
    """What `sqlmigrate` says above a migration that needs a stopped fleet."""
    return [
        "--",
        "-- guard: `migrate` refuses this migration while instances run.",
        *(f"-- {line}" for line in reasons),
        "--",
    ]


def shown_joined() -> str:
    """What `sqlmigrate` shows of the removal of an index or constraint over something that is removed too."""
    return "guard: stays for old code, and goes with what it is on"


def shown_in_batches() -> str:
    """What `sqlmigrate` says of an UPDATE of many rows."""
    return "guard: in batches, by primary key"


def shown_aside(target: str) -> str:
    """What `sqlmigrate` says above the contract step of a removal."""
    return f"guard: LATER, when no deployed code uses {target} any more: it is set aside by"


def shown_erased(keep_for: float) -> str:
    """What `sqlmigrate` says above the erasing."""
    when = f"{span(keep_for)} after that" if keep_for else "and at once"
    return f"guard: LATER, {when}: it is erased by"


def shown_tidied(target: str) -> str:
    """What `sqlmigrate` says above the dropping of a default that is kept for old code."""
    return f"guard: LATER, when no deployed code inserts without {target} any more: its default is dropped by"


def shown_required(target: str) -> str:
    """What `sqlmigrate` says above NOT NULL."""
    return f"guard: LATER, when no deployed code writes NULL to {target} any more: it is filled and required by"


class Filling:
    """Says how far a long fill has come, every ten seconds."""

    def __init__(self, step: rows.Step, say: Callable[[str], None]) -> None:
        self._step = step
        self._say = say
        self._said = 0.0

    def __call__(self, progress: fill.Progress) -> None:
        if progress.seconds - self._said >= 10:
            self._said = progress.seconds
            left = "" if progress.left is None else f", about {span(progress.left)} left"
            self._say(f"  guard: {self._step.target}: {count(progress.filled, 'row')} filled{left}")


def not_filled(step: rows.Step, why: str) -> str:
    """A fill behind a migration that could not be ended."""
    return (
        f"{step.app}.{step.migration} is applied, but rows with NULL in {step.target} could not all be filled: {why}. "
        "NOT NULL does not follow before they are. Put right what stopped it, or fill the rows yourself, then run "
        "`manage.py migrate` again: it goes on where this ended."
    )
