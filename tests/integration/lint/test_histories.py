"""`guard lint` over real histories: no crash, no operation without a rule, and few that it cannot look into."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.integration.gate.harness import Zygote
from tests.integration.lint.project import Project

#: Django's own, all that have migrations.
CONTRIB = ("admin", "auth", "contenttypes", "flatpages", "redirects", "sessions", "sites")


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def project(request: pytest.FixtureRequest, tmp_path: Path, zygote: Zygote) -> Project:
    made = Project(tmp_path / "project", zygote, request.param)
    made.apps = [f"django.contrib.{name}" for name in CONTRIB]
    return made


def test_djangos_own_histories(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    done = project.lint(*CONTRIB)

    found = json.loads(done.out)
    with capsys.disabled():
        print(f"\n{found['migrations']} migrations, {found['operations']}: {found['opaque']:.1%} opaque")
    assert done.code == 0
    assert found["migrations"] >= 20
    assert found["opaque"] == 0
    assert found["operations"].keys() <= {"expand", "neutral", "contract"}
    told = {(one["migration"], one["id"].removeprefix("guard.")) for one in found["findings"]}
    dispositions = {(name, check) for name, check in told if re.fullmatch(r"I101|W102|E103", check)}
    # One removes a column, one makes a column unique; all else runs as it is.
    assert dispositions == {("0002_remove_content_type_name", "I101"), ("0002_alter_domain_unique", "W102")}
