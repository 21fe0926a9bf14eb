"""What the expand steps of one `migrate` did, for the lines that it prints."""

from __future__ import annotations

from dataclasses import dataclass, field

from guard.ledger import rows


@dataclass(slots=True)
class Report:
    """Filled while a plan runs; read when it has run."""

    #: Steps that now wait, with whether old code may read NULL from now on.
    slated: list[tuple[rows.Step, bool]] = field(default_factory=list)
    #: Targets that an AddField or an unapplied removal gave back to use, with rows whose NULL could not be undone.
    given_back: list[tuple[rows.Step, int]] = field(default_factory=list)
    #: Of these, the ids of steps whose foreign keys forbid at once that code without them deletes what they refer to.
    forbidding: list[int] = field(default_factory=list)
    #: Columns whose database default stays for old code.
    kept_defaults: list[rows.Step] = field(default_factory=list)
    #: Columns that stay nullable for old code, with how many rows have NULL.
    nullable: list[tuple[rows.Step, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: (table, column) pairs whose foreign keys are to be validated after their migration has committed.
    to_validate: list[tuple[str, str]] = field(default_factory=list)
    #: Names of foreign keys of tables that have been given back, which the same plan may rename.
    made_again: list[str] = field(default_factory=list)
    #: Whether a step's rows are to be filled when the migration has committed.
    unfilled: bool = False
