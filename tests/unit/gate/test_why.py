"""What `guard why` says of each of the twelve conditions: met, not met, not readable, and waived where it can be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import StringIO

import pytest
from django.core.management.base import OutputWrapper

from guard.commands.screen import Screen
from guard.commands.why import show
from guard.gate.status import judged_view
from guard.gate.verdict import NAMES, WITNESSES, Dependent, Evidence, Verdict, Waiver, decide
from guard.ledger.rows import InstanceKind, InstanceState
from tests.unit.gate.cases import DAY, EPOCH, HOUR, MINUTE, NOW, OLD, POLICY, evidence, gone, instance, lost, sighting
from tests.unit.gate.cases import spoilt as with_more


@dataclass(frozen=True)
class Row:
    """One condition."""

    name: str
    #: Where it is not met.
    not_met: Evidence
    #: What is said then, without what other conditions say of the same evidence.
    says: str
    #: The witness without which nobody knows.
    witness: str
    #: Whether an operator's word can stand for it.
    waivable: bool = True


TABLE = {
    1: Row(
        "The fleet is known",
        evidence(instances=(gone("o1", ago=2 * DAY),)),
        "No server or worker of a release that does not declare shop_book.isbn has been seen at work since this "
        "began to wait 3 days ago. Clears when the new release runs.",
        "instances",
    ),
    2: Row(
        "No live instance relies on it",
        with_more(instance("o2", "old", registered_at=NOW - 30 * HOUR)),
        "1 instance of release 1 (web) runs with models that declare shop_book.isbn; the first started 30 hours ago. "
        "Clears when it has stopped.",
        "footprints",
    ),
    3: Row(
        "No lost instance relies on it",
        with_more(lost("o2", ago=3 * MINUTE)),
        "1 instance of release 1 (web) fell silent without saying that it is gone, and may come back; the last "
        "word came 4 minutes ago. Clears when it comes back and stops, when you say that it is gone "
        "(`manage.py guard forget --all-lost --reason …`), or after 24 hours of silence, in 24 hours.",
        "footprints",
    ),
    4: Row(
        "No recurring workload last ran with code that relies on it",
        with_more(gone("o2", ago=4 * DAY, kind=InstanceKind.COMMAND, workload="command:digest", recurring=True)),
        "Workload command:digest last ran with release 1, which relies on column shop_book.isbn, 4 days ago. Clears "
        "when it has run with a release that does without, or has not run for 35 days, in 31 days.",
        "instances",
    ),
    5: Row(
        "Every live instance has reported whether it uses it",
        with_more(instance("n3", flushed_epoch=EPOCH - 1)),
        "1 instance of release 2 (web) has not reported yet whether it uses shop_book.isbn. Clears at the next "
        "heartbeat.",
        "instances",
    ),
    6: Row(
        "Nothing has touched it for the quiet period",
        evidence(sightings=(sighting(ago=4 * MINUTE),)),
        "Release 2 (web) read shop_book.isbn at shop/views.py:12 in index, last 4 minutes ago. Clears when nothing has "
        "touched it for 1 hour, in 56 minutes.",
        "sightings",
    ),
    7: Row(
        "No release that relies on it was live within the roll-back window",
        with_more(gone("o2", ago=5 * HOUR)),
        "Release 1 may be rolled back to: it was live 5 hours ago. Clears when it has not been live for 24 hours, in "
        "19 hours.",
        "footprints",
    ),
    8: Row(
        "Old code has written nothing to it that new code will miss",
        evidence(late_writes=2),
        "2 late writes went to shop_book.isbn after a data migration had copied it, and new code does not see them. "
        "Clears when the copy has been made again, or somebody has said that they do not matter "
        "(`manage.py guard allow shop_book.isbn --waive late-writes --reason … --expires 1h`).",
        "late-writes",
    ),
    9: Row(
        "Nobody is connected who does not run guard",
        evidence(strangers=("psql of user reporting",)),
        "psql of user reporting is connected and is no process that runs guard. Clears when its session has "
        "closed, or GUARD['WITNESSES']['sessions'] names it.",
        "sessions",
    ),
    10: Row(
        "Nothing else in the database depends on it",
        evidence(dependents=(Dependent("view shop_titles"),)),
        "view shop_titles depends on shop_book.isbn, and this step would break or destroy it. Clears when a migration "
        "has changed or dropped it.",
        "dependents",
        waivable=False,
    ),
    11: Row(
        "The database is this environment's own",
        evidence(environment="staging"),
        "This database belongs to environment 'staging', as guard's tables in it say, and this is 'production'. Clears "
        "when that is corrected, or, in a clone, when `manage.py guard adopt --reason …` has been run here.",
        "environment",
        waivable=False,
    ),
    12: Row(
        "The code that runs this command does without it",
        evidence(taker_footprint=OLD),
        "The code that runs this command declares shop_book.isbn itself. Clears when a newer release runs it.",
        "footprints",
        waivable=False,
    ),
}

UNREADABLE = {
    "instances": "The list of running instances",
    "footprints": "What the deployed releases declare",
    "sightings": "The counts of use",
    "late-writes": "The counts of late writes",
    "sessions": "The list of the database's sessions",
    "dependents": "What else in the database depends on it",
    "environment": "The environment that this database belongs to",
}

numbers = pytest.mark.parametrize("number", TABLE)


def judged(found: Evidence) -> Verdict:
    return decide(found, POLICY)


def why(found: Evidence) -> list[str]:
    users = [i for i in found.instances if i.digest == "old" and i.state is not InstanceState.GONE]
    view = judged_view(judged(found), users, found.sightings, found.now, keep_for=POLICY.keep_for)
    out = StringIO()
    show(Screen(OutputWrapper(out)), view, found.now)
    return out.getvalue().splitlines()


def block(found: Evidence, number: int) -> tuple[str, list[str]]:
    """The line of a condition, and those under it."""
    lines = why(found)
    (start,) = [n for n, line in enumerate(lines) if f"] {number:>2} " in line]
    end = next((n for n in range(start + 1, len(lines)) if lines[n].startswith("  [")), len(lines))
    return lines[start].strip(), [line.strip() for line in lines[start + 1 : end]]


def test_the_table_has_all_twelve() -> None:
    assert {number: row.name for number, row in TABLE.items()} == NAMES
    assert all(number in WITNESSES[row.witness] for number, row in TABLE.items())


@numbers
def test_met(number: int) -> None:
    assert judged(evidence()).clear
    assert block(evidence(), number) == (f"[yes] {number:>2} {TABLE[number].name}", [])


@numbers
def test_not_met(number: int) -> None:
    row = TABLE[number]

    assert not judged(row.not_met).clear
    head, said = block(row.not_met, number)
    assert (head, said) == (f"[NO ] {number:>2} {row.name}", [row.says])


@numbers
def test_not_readable(number: int) -> None:
    row = TABLE[number]
    blind = evidence(unreadable=(row.witness,))

    assert not judged(blind).clear
    head, (said,) = block(blind, number)
    assert head == f"[not readable] {number:>2} {row.name}"
    assert said == (
        f"{UNREADABLE[row.witness]} could not be read, and what cannot be read is no evidence. Clears when this "
        "process can read that (`manage.py guard doctor` looks for what is wrong)."
    )


@numbers
def test_waived_or_not_to_be_waived(number: int) -> None:
    row = TABLE[number]
    codes = [blocker.code for blocker in judged(row.not_met).blockers]
    waivers = tuple(Waiver(code, "The fleet is off.", NOW + 3 * HOUR, actor="ann@ops") for code in codes)
    waived = replace(row.not_met, waivers=waivers)

    assert judged(waived).clear is row.waivable
    mark = "waived" if row.waivable else "NO "
    by = " Waived by ann@ops for 3 hours more: The fleet is off." if row.waivable else ""
    assert block(waived, number) == (f"[{mark}] {number:>2} {row.name}", [row.says + by])


def test_what_comes_before_all_conditions_stands_above_them() -> None:
    frozen = evidence(applied=False, frozen_by="ann (sale)", frozen_until=NOW + HOUR)

    assert why(frozen)[1:4] == [
        "  [NO ]    ann (sale) has said that nothing is to be taken. Clears when the freeze ends "
        "(`manage.py guard freeze --end --reason …` ends it now), in 1 hour.",
        "  [NO ]    Migration shop.0002_remove_isbn is not recorded as applied. Clears when `manage.py migrate` has "
        "applied it.",
        "  [yes]  1 The fleet is known",
    ]


def test_who_relies_on_it_and_what_touched_it_stand_above_the_conditions() -> None:
    found = with_more(
        instance("o2", "old"),
        lost("o3", ago=HOUR),
        sightings=(
            sighting(ago=4 * MINUTE),
            sighting(ago=9 * DAY, call_site="", shape="", route="", folded=4, count=70),
        ),
    )

    assert why(found)[:5] == [
        "shop_book.isbn: waiting (shop.0002_remove_isbn, 3 days ago)",
        "  used by release 1, web: 2 instances, 1 of them lost, last seen 10 seconds ago",
        "  3 reads at shop/views.py:12 in index (/), release 2, last 4 minutes ago",
        "    SELECT isbn FROM shop_book",
        "  70 reads on that day, release 2, last 9 days ago",
    ]


def test_a_warning_is_no_condition() -> None:
    star = evidence(sightings=(sighting(ago=4 * MINUTE, star=True),))

    assert judged(star).clear
    assert why(star)[-1].startswith("  note: Release 2 (web) read shop_book.isbn at shop/views.py:12 in index")
