"""The rules of django.contrib.postgres.operations, imported once a migration has imported those."""

from __future__ import annotations

from dataclasses import replace

from django.contrib.postgres import operations as ops
from django.db import router
from django.db.migrations.operations.base import Operation

from guard.phases import rules
from guard.phases.words import Judgement, Phase

_ELSEWHERE = "Django does nothing on this database."


def _here(operation: Operation, context: rules.Context) -> bool:
    hints = getattr(operation, "hints", {})
    return context.connection.vendor == "postgresql" and router.allow_migrate(
        context.connection.alias, context.app_label, **hints
    )


@rules.register(ops.CreateExtension)
def _create_extension(operation: ops.CreateExtension, context: rules.Context) -> Judgement:
    what = f"Creates extension {operation.name}"
    if not _here(operation, context):
        return rules.nothing(what, _ELSEWHERE)
    return rules.verdict(Phase.EXPAND, what, breaks_new=f"what needs the extension {operation.name}")


@rules.register(ops.CreateCollation)
def _create_collation(operation: ops.CreateCollation, context: rules.Context) -> Judgement:
    what = f"Creates collation {operation.name}"
    if not _here(operation, context):
        return rules.nothing(what, _ELSEWHERE)
    return rules.verdict(Phase.EXPAND, what, breaks_new=f"what names the collation {operation.name}")


@rules.register(ops.RemoveCollation)
def _remove_collation(operation: ops.RemoveCollation, context: rules.Context) -> Judgement:
    what = f"Removes collation {operation.name}"
    if not _here(operation, context):
        return rules.nothing(what, _ELSEWHERE)
    return rules.verdict(
        Phase.CONTRACT,
        what,
        breaks_old=f"what names the collation {operation.name}",
        recipe="# First deploy code that does not name it; remove it when nothing else is deployed.",
    )


@rules.register(ops.AddIndexConcurrently)
def _add_index(operation: ops.AddIndexConcurrently, context: rules.Context) -> Judgement:
    return rules.add_index(operation, context)


@rules.register(ops.RemoveIndexConcurrently)
def _remove_index(operation: ops.RemoveIndexConcurrently, context: rules.Context) -> Judgement:
    return rules.remove_index(operation, context)


@rules.register(ops.AddConstraintNotValid)
def _add_constraint(operation: ops.AddConstraintNotValid, context: rules.Context) -> Judgement:
    judged = rules.add_constraint(operation, context)
    if judged.phase is Phase.NEUTRAL:
        return judged
    # Rows that are there are not looked at; what is written from now on is.
    return replace(judged, what=f"{judged.what}, not validated")


@rules.register(ops.ValidateConstraint)
def _validate_constraint(operation: ops.ValidateConstraint, context: rules.Context) -> Judgement:
    return rules.nothing(f"Validates constraint {operation.name} of {context.label(operation.model_name)}")
