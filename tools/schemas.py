"""Writes the schemas of `manage.py guard … --json`, and docs/json.md, from guard/commands/answers.py.

python -m tools.schemas            writes them
python -m tools.schemas --check    says which are not as they would be written, and fails
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from guard.commands import answers, schema

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = ROOT / "guard" / "commands" / "schemas"
PAGE = ROOT / "docs" / "json.md"

_HEAD = """\
# JSON

Every verb of `manage.py guard` takes `--json`. What it prints then is one object, described by a JSON Schema that is
installed with guard: `guard/commands/schemas/VERB.json`.

- `version` is {version}. Within a version keys are only added, so do not refuse what you do not know; it grows when a
  key goes, or means something else.
- Times are seconds since 1970 on the database's clock; durations are seconds. What people see as "3 minutes ago" is
  exact here.
- Sentences (`says`, `detail`, `message`) are for people and change; `code`, `state`, `outcome`, `kind` and `name` are
  for programs.
- An error is a sentence on standard error and an [exit code](commands.md#exit-codes). Standard output is empty then,
  or has what could be found out.

<!-- stage: release r3 -->
<!-- stage: quietly python manage.py migrate -->

```sh
python manage.py guard status --json | jq '.databases[].steps[] | select(.state == "waiting") | .target'
```

This page is made from the source of the schemas.
"""


def wanted() -> dict[Path, str]:
    """Each file, and what it should hold."""
    found = {
        SCHEMAS / f"{verb}.json": json.dumps(schema.of(answer, title=f"manage.py guard {verb} --json"), indent=1) + "\n"
        for verb, answer in answers.ANSWERS.items()
    }
    return {**found, PAGE: "\n".join(_page())}


def _page() -> Iterator[str]:
    yield _HEAD.format(version=answers.VERSION)
    verbs: dict[type, list[str]] = {}
    for verb, answer in answers.ANSWERS.items():
        verbs.setdefault(answer, []).append(verb)
    parts: dict[str, Any] = {}
    for answer, names in verbs.items():
        yield f"## {', '.join(names)}\n"
        yield from _table(answer)
        parts |= schema.of(answer, title="").get("$defs", {})
    for name in sorted(parts):
        part = getattr(answers, name)
        yield f"## {name}\n"
        yield f"{part.__doc__.strip()}\n"
        yield from _table(part)


def _table(answer: type) -> Iterator[str]:
    yield "| key | type | |"
    yield "|---|---|---|"
    for key, hint in schema.hints(answer).items():
        said = get_args(hint)[1] if get_origin(hint) is Annotated else ""
        yield f"| `{key}` | {_type(schema.of_hint(hint))} | {said} |"
    yield ""


def _type(found: dict[str, Any]) -> str:
    if "$ref" in found:
        name = found["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in found:
        return ", ".join(f"`{json.dumps(value)}`" for value in found["enum"])
    if "anyOf" in found:
        return " or ".join(_type(each) for each in found["anyOf"])
    if found.get("type") == "array":
        return f"array of {_type(found['items'])}"
    return str(found["type"])


def main() -> int:
    """Write what is not as it should be, or say so; 1 where something is to be written and was only to be checked."""
    stale = {path: text for path, text in wanted().items() if not path.exists() or path.read_text() != text}
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not up to date: run `python -m tools.schemas`.\n")
        return 1 if stale else 0
    SCHEMAS.mkdir(exist_ok=True)
    for path, text in stale.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
