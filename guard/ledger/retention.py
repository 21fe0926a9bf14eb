"""What is kept of the past: instances that ended long ago fold into totals, old sightings into days.

A total stands for all instances of one release, footprint, kind and workload that ended in the same way. It is a row
like theirs, with the last moment of each kind among them: whoever asks how long ago something was gets the answer that
the last of them would give. A verdict, and an older guard, read it as one instance that has ended.

Each batch is one short transaction, so that what is folded is counted exactly once, whatever is interrupted. Times are
seconds on the database's clock.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable

from guard.ledger import rows, store, stored
from guard.ledger.rows import Instance, InstanceState

WEEK = 7 * 86_400.0
DAY = 86_400.0

#: Seconds after which an instance that said GONE, and a sighting, is folded.
FOLD_AFTER = WEEK

#: Seconds, at least, for which one that vanished without a word stays: it may come back, and send its last batch again.
FOLD_LOST_AFTER = 4 * WEEK

#: Seconds after which totals of several releases become one: years of deploys must cost a verdict no more than weeks.
FORGET_RELEASE_AFTER = 13 * WEEK

#: The release of those.
EARLIER = "(earlier)"

#: Rows that one transaction folds.
BATCH = 200


def key(instance: Instance) -> str:
    """The id of the total in which an instance is counted."""
    return stored.identity(
        "total",
        instance.release,
        instance.digest,
        instance.project,
        instance.kind,
        instance.workload,
        instance.recurring,
        instance.refused,
        instance.state is InstanceState.GONE,
    )[:32]


def totals(instances: Iterable[Instance]) -> dict[str, Instance]:
    """Instances that ended, counted together: the totals by id."""
    found: dict[str, Instance] = {}
    for instance in instances:
        # Who was REFUSED when it vanished has not run either.
        instance = dataclasses.replace(instance, refused=instance.refused or instance.state is InstanceState.REFUSED)
        one = dataclasses.replace(
            instance,
            id=key(instance),
            # For the rest it is LOST, whatever it was before.
            state=InstanceState.GONE if instance.state is InstanceState.GONE else InstanceState.LIVE,
            pid=0,
            # Nothing proves several of them gone at once.
            process="",
            session="",
            watched_epoch=0,
            flushed_epoch=0,
            folded=instance.size,
            first_at=instance.first_registered_at,
        )
        found[one.id] = _together(found[one.id], one) if one.id in found else one
    return found


def _together(one: Instance, other: Instance) -> Instance:
    ended = [at for at in (one.ended_at, other.ended_at) if at is not None]
    return dataclasses.replace(
        one,
        registered_at=max(one.registered_at, other.registered_at),
        renewed_at=max(one.renewed_at, other.renewed_at),
        expires_at=max(one.expires_at, other.expires_at),
        ended_at=max(ended, default=None),
        host=one.host if one.host == other.host else "",
        folded=one.folded + other.folded,
        first_at=min(one.first_registered_at, other.first_registered_at),
    )


def fold(
    ledger: store.Ledger, *, lost_grace: float, seconds: float, clock: Callable[[], float] = time.monotonic
) -> int:
    """Fold what is old enough, for so many seconds at most; returns how many rows it folded.

    `lost_grace`: for how long a lost instance counts as perhaps alive. Raises the DatabaseError that it met; what was
    folded before that stays.
    """
    until = clock() + seconds
    folded = 0
    batches: tuple[Callable[[], int], ...] = (
        functools.partial(_fold_instances, ledger, lost_grace),
        functools.partial(_fold_instances, ledger, lost_grace, again=True),
        functools.partial(_fold_sightings, ledger),
    )
    for batch in batches:
        count = BATCH
        while count >= BATCH and clock() < until:
            count = batch()
            folded += count
    return folded


def _fold_instances(ledger: store.Ledger, lost_grace: float, *, again: bool = False) -> int:
    """Fold one batch of instances; with `again`, of totals whose release nobody will ask for any more."""
    now = ledger.now()
    said = now - (FORGET_RELEASE_AFTER if again else FOLD_AFTER)
    vanished = now - max(FORGET_RELEASE_AFTER if again else FOLD_LOST_AFTER, lost_grace)
    # Looked for without a lock, because a search with one would wait for, and hold up, whoever renews.
    candidates = ledger.select(
        "instance",
        ["id"],
        f"{'folded > 0' if again else 'folded = 0'} AND (folded = 0 OR release_label <> %s) AND format <= %s "
        f"AND ((state = '{InstanceState.GONE}' AND ended_at < %s) "
        f"OR (state IN ('{InstanceState.LIVE}', '{InstanceState.REFUSED}') AND expires_at < %s)) LIMIT {BATCH}",
        [EARLIER, stored.FORMAT, said, vanished],
    )
    if not candidates:
        return 0
    with ledger.transaction():
        members = [
            instance
            for instance in ledger.instances(lock=sorted(row[0] for row in candidates))
            # Folded by another process, or come back, meanwhile.
            if bool(instance.folded) is again
            and (
                instance.ended_at < said
                if instance.state is InstanceState.GONE and instance.ended_at is not None
                else instance.state is not InstanceState.GONE and instance.expires_at < vanished
            )
        ]
        if not members:
            return 0
        _add(ledger, totals(dataclasses.replace(m, release=EARLIER) if again else m for m in members))
        ledger.delete("instance", "id", [instance.id for instance in members])
    return len(members)


def _add(ledger: store.Ledger, found: dict[str, Instance]) -> None:
    least, greatest = ledger.least_greatest
    updates = ", ".join(
        (
            "host = CASE WHEN {here}.host = {new[host]} THEN {new[host]} ELSE '' END",
            "folded = {here}.folded + {new[folded]}",
            f"first_at = {least}({{here}}.first_at, {{new[first_at]}})",
            # A total that was forgotten is lost again where another instance has been lost since.
            "state = {new[state]}",
            # So is a workload that was forgotten and has run since.
            "recurring = {new[recurring]}",
            "refused = {new[refused]}",
            "ended_at = CASE WHEN {new[ended_at]} IS NULL THEN NULL ELSE "
            f"{greatest}(COALESCE({{here}}.ended_at, {{new[ended_at]}}), {{new[ended_at]}}) END",
            *(
                f"{name} = {greatest}({{here}}.{name}, {{new[{name}]}})"
                for name in ("registered_at", "renewed_at", "expires_at")
            ),
        )
    )
    # Sorted: two processes that fold at once would else deadlock.
    ledger.put_instances([found[id] for id in sorted(found)], updates)


def _fold_sightings(ledger: store.Ledger) -> int:
    before = ledger.now() - FOLD_AFTER
    where = "folded = 0 AND format <= %s AND last_at < %s"
    candidates = ledger.select("sighting", ["identity"], f"{where} LIMIT {BATCH}", [stored.FORMAT, before])
    if not candidates:
        return 0
    with ledger.transaction():
        keys = sorted(row[0] for row in candidates)
        # Read again under their locks: a flush that has counted one more meanwhile has made it young.
        old = ledger.sightings_of(keys, where, [stored.FORMAT, before])
        if not old:
            return 0
        days: dict[str, rows.Sighting] = {}
        for sighting in old.values():
            day = _day(sighting)
            days[day] = _same_day(days[day], sighting) if day in days else _same_day(None, sighting)
        ledger.add_sightings(days)
        ledger.delete("sighting", "identity", list(old))
    return len(old)


def _day(s: rows.Sighting) -> str:
    return stored.identity(
        "day", int(s.last_at // DAY), s.table, s.column, s.access, s.release, s.digest, s.workload, s.star
    )


def _same_day(day: rows.Sighting | None, s: rows.Sighting) -> rows.Sighting:
    if day is None:
        return dataclasses.replace(s, call_site="", route="", shape="", reason="", folded=1)
    return dataclasses.replace(
        day,
        count=day.count + s.count,
        first_at=min(day.first_at, s.first_at),
        last_at=max(day.last_at, s.last_at),
        folded=day.folded + 1,
    )
