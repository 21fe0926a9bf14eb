"""Findings as text, JSON, GitHub workflow commands and SARIF."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import guard
from guard.lint.finding import Finding, Level
from guard.lint.run import Result

FORMATS = ("text", "json", "github", "sarif")

#: Grows when a reader of the JSON must know.
JSON_VERSION = 1


def render(result: Result, form: str) -> str:
    """The whole output, without a newline at its end."""
    if form == "json":
        return json.dumps(_json(result), indent=2, sort_keys=True)
    if form == "sarif":
        return json.dumps(_sarif(result.findings), indent=2)
    if form == "github":
        return "\n".join(map(_github, result.findings))
    return "\n".join(_text(result))


def _place(found: Finding) -> str:
    """The file's path from the current directory, where it lies in it."""
    if not found.path:
        return ""
    try:
        relative = os.path.relpath(found.path)
    except ValueError:
        # Another drive.
        return found.path
    return found.path if relative.startswith("..") else relative.replace(os.sep, "/")


def _text(result: Result) -> Iterator[str]:
    for found in result.findings:
        place = f"{_place(found)}:{found.line}: " if found.path else ""
        yield f"{place}{found.level} {found.id}: {found.message}"
        yield from (f"    {line}" for line in found.hint.splitlines())
    counts = ", ".join(f"{sum(found.level is level for found in result.findings)} {level}" for level in reversed(Level))
    yield (
        f"{result.migrations} migrations, {sum(result.phases.values())} operations "
        f"({result.opaque:.1%} opaque): {counts}."
    )


def _json(result: Result) -> dict[str, Any]:
    return {
        "version": JSON_VERSION,
        "migrations": result.migrations,
        "operations": {str(phase): count for phase, count in result.phases.items()},
        "opaque": round(result.opaque, 4),
        "findings": [
            {
                "id": found.id,
                "level": str(found.level),
                "message": found.message,
                "hint": found.hint,
                "app": found.app,
                "migration": found.migration,
                "operation": None if found.operation < 0 else found.operation,
                "targets": list(found.targets),
                "phase": str(found.phase) or None,
                "disposition": str(found.disposition) or None,
                "path": _place(found) or None,
                "line": found.line or None,
            }
            for found in result.findings
        ],
    }


_GITHUB = {Level.INFO: "notice", Level.WARNING: "warning", Level.ERROR: "error"}


def _github(found: Finding) -> str:
    properties = {"file": _place(found), "line": str(found.line or 1), "title": found.id}
    listed = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items() if value)
    return f"::{_GITHUB[found.level]} {listed}::" + _escaped(f"{found.message}\n{found.hint}")


def _escaped(text: str, more: str = "") -> str:
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


_SARIF = {Level.INFO: "note", Level.WARNING: "warning", Level.ERROR: "error"}


def _sarif(findings: Iterable[Finding]) -> dict[str, Any]:
    findings = list(findings)
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "guard",
                        "version": guard.__version__,
                        "rules": [{"id": check} for check in sorted({found.id for found in findings})],
                    }
                },
                "results": [
                    {
                        "ruleId": found.id,
                        "level": _SARIF[found.level],
                        "message": {"text": f"{found.message}\n{found.hint}"},
                        **(
                            {
                                "locations": [
                                    {
                                        "physicalLocation": {
                                            "artifactLocation": {"uri": _place(found)},
                                            "region": {"startLine": max(found.line, 1)},
                                        }
                                    }
                                ]
                            }
                            if found.path
                            else {}
                        ),
                    }
                    for found in findings
                ],
            }
        ],
    }
