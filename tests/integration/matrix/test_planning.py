"""What planning itself costs where a history is long."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import migrations as m
from django.db import models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ModelState

from guard.gate.planner import Planner
from tests.integration.matrix.harness import Case, Deploy
from tests.integration.matrix.test_remove import char, item


def test_planning_renders_no_model_where_the_command_has_rendered_them_all(
    alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each alteration would render what it refers to anew, as applying it does: for long plans, the same time again."""
    rendered: list[str] = []
    planning: list[int] = []
    render, arrange = ModelState.render, Planner.arrange

    def counted(self: ModelState, *args: Any) -> Any:
        if planning:
            rendered.append(self.name)
        return render(self, *args)

    def watched(self: Planner, *args: Any) -> Any:
        planning.append(1)
        try:
            return arrange(self, *args)
        finally:
            planning.pop()

    migrate = MigrationExecutor.migrate

    def with_rendered_state(self: MigrationExecutor, targets: Any, **kwargs: Any) -> Any:
        state = self._create_project_state(with_applied_migrations=True)
        assert state.apps
        return migrate(self, targets, state=state, **kwargs)

    monkeypatch.setattr(ModelState, "render", counted)
    monkeypatch.setattr(Planner, "arrange", watched)
    monkeypatch.setattr(MigrationExecutor, "migrate", with_rendered_state)
    plain = [m.AlterField("item", "title", char(max_length=50)), m.AddField("item", "y", char(null=True))]
    held = [m.AddConstraint("item", models.CheckConstraint(condition=models.Q(id__gt=0), name="positive"))]
    deploy = Deploy(alias, Case([item()], [plain, [m.RemoveField("item", "y")], held]))
    try:
        deploy.seed()
        deploy.arrive(1, "old")
        deploy.migrate(4)
        assert deploy.applied() == 3
        assert rendered == []
    finally:
        deploy.drop()
