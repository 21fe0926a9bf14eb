"""Whatever is typed, and whatever is wrong: one clear line and the exit code of the table, never a traceback."""

from __future__ import annotations

import argparse
import random
import re
import shlex

import pytest

from guard.commands.exits import Exit
from guard.commands.verbs import VERBS
from guard.ledger import connecting
from guard.management.commands.guard import Command
from guard.schema.footprint import Column, Footprint
from tests.integration.commands.calling import Said, call
from tests.integration.ledger.harness import LEASE, OLD, Place, registration, step

#: Tables that a project may well have.
ODD = ('or"der; --', "per cent %s", "ünï cödé", "it's", "tab\tle", "back\\slash", "dot.ted")

REASON = ("--reason", "because")


def one_line(said: Said) -> str:
    """What it says of the mistake. Raises AssertionError where that is more than one line, or none."""
    (line,) = said.err.splitlines()
    assert line.strip().endswith((".", "`", ")")), line
    assert "Traceback" not in line
    assert "does not know" not in line, line
    return line


#: What was typed, the exit code, and what the line says.
MISTAKES: tuple[tuple[tuple[str, ...], Exit, str], ...] = (
    (("why", "shop_item.nothing"), Exit.USAGE, "There is no contract step for shop_item.nothing. There are: "),
    (("why", ""), Exit.USAGE, "There is no contract step for . There are: "),
    (("why", "SHOP_ITEM"), Exit.USAGE, "There is no contract step for SHOP_ITEM."),
    (("restore", "shop_item.nothing"), Exit.USAGE, "There is no contract step for shop_item.nothing"),
    (("restore", "shop_item.old"), Exit.ERROR, "is still in its place: there is nothing to restore."),
    (("sightings", "shop_item.nothing"), Exit.USAGE, "There is no contract step"),
    (("sightings", "--since", "lately"), Exit.USAGE, "'lately' is no time: write 90m, 2h, 3d or 2030-01-31T18:00."),
    (("log", "--since", "9999999999d"), Exit.USAGE, "'9999999999d' is too long: at most ten years."),
    (("log", "--since", "1" * 400 + "d"), Exit.USAGE, "is too long"),
    (("withdraw", "shop_item.nothing", *REASON), Exit.USAGE, "There is no contract step for shop_item.nothing"),
    (("withdraw", "shop_item.old", "--reason", " "), Exit.USAGE, "Say why, with --reason"),
    (
        ("allow", "shop_item.old", "--waive", "old-code-never-seen", *REASON, "--expires", "2001-01-01"),
        Exit.USAGE,
        "'2001-01-01' is in the past.",
    ),
    (("allow", "shop_item.old", "--waive", "x", *REASON, "--expires", "0s"), Exit.USAGE, "'0s' is in the past."),
    (("allow", "shop_item.old", "--waive", "x", *REASON, "--expires", "9000w"), Exit.USAGE, "at most ten years"),
    (("allow", "shop_item.old", "--waive", "x", *REASON, "--expires", "9999-12-31"), Exit.USAGE, "at most ten years"),
    (
        ("allow", "shop_item.old", "--waive", "late-writes", *REASON, "--expires", "1h"),
        Exit.USAGE,
        "shop_item.old is not blocked by late-writes; it is blocked by ",
    ),
    (("allow", "shop_item.old", "--waive", "environment", *REASON, "--expires", "1h"), Exit.USAGE, "cannot be waived"),
    (("allow", "shop.0009", "--waive", "x", *REASON, "--expires", "1h"), Exit.USAGE, "no contract step and no pending"),
    (("forget", "nobody:1", *REASON), Exit.USAGE, "There is no instance 'nobody:1'"),
    (("forget", "", *REASON), Exit.USAGE, "There is no instance ''"),
    (("forget", "--all-lost", *REASON), Exit.USAGE, "No instance is lost."),
    (("forget", "--workload", "command:x", *REASON), Exit.USAGE, "No recurring workload 'command:x' is known."),
    (("forget", "host:1", *REASON), Exit.USAGE, "host:1 is not lost: it is live."),
    (("reconcile", "--alive", "/nowhere"), Exit.USAGE, "The list /nowhere cannot be read: "),
    (("reconcile", "--alive", "/"), Exit.USAGE, "The list / cannot be read: "),
    (("reconcile", "--alive", "/dev/null"), Exit.USAGE, "The list names nobody"),
    (("freeze", "--until", "yesterday", *REASON), Exit.USAGE, "'yesterday' is no time"),
    (("freeze", "--until=-2h", *REASON), Exit.USAGE, "'-2h' is no time"),
    (("freeze", "--end", *REASON), Exit.USAGE, "Nothing is frozen."),
    (("adopt", *REASON), Exit.USAGE, 'Set GUARD["ENVIRONMENT"] to this environment\'s label first.'),
    (("lint", "--since-release", "nobody's"), Exit.USAGE, 'No ledger knows a release "nobody\'s".'),
    (("lint", "no_such_app"), Exit.USAGE, "There is no app 'no_such_app'."),
    (("status", "--strict"), Exit.WAITS, "Waiting: shop_item.old. `manage.py guard why shop_item.old` says for what."),
    (("contract", "--wait", "--timeout", "0"), Exit.WAITS, "Still waiting after 0 seconds: shop_item.old."),
)


#: The words are the same on every database; what is stored is tried on each below.
@pytest.mark.parametrize("each", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("args", "code", "says"), MISTAKES, ids=[shlex.join(args)[:60] for args, *_ in MISTAKES])
def test_a_mistake_is_one_line_and_its_exit_code(table: Place, args: tuple[str, ...], code: Exit, says: str) -> None:
    with table.ledger() as ledger:
        ledger.register(registration("old"), OLD, lease=LEASE)

    said = call(table, *args)

    assert (said.code, says in one_line(said)) == (code, True), said


#: Wrong before any database is looked at: argparse says so.
UNREADABLE = (
    ("contract", "--timeout", "-1"),
    ("contract", "--timeout", "nan"),
    ("contract", "--timeout", "inf"),
    ("contract", "--timeout", "soon"),
    ("instances", "--limit", "0"),
    ("instances", "--limit", "1e3"),
    ("instances", "--page", "-1"),
    ("instances", "--state", "dead"),
    ("sightings", "--access", "both"),
    ("forget",),
    ("forget", "a:1", "--all-lost", *REASON),
    ("freeze", "--until", "2h", "--end", *REASON),
    ("withdraw", "shop_item.old"),
    ("why",),
    ("why", "a.b", "c.d"),
    ("nothing",),
    (),
)


@pytest.mark.parametrize("args", UNREADABLE, ids=[shlex.join(args) or "nothing at all" for args in UNREADABLE])
def test_what_cannot_be_read_is_a_usage_error(args: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    command = Command()
    # As on the command line, where argparse itself ends the process.
    command._called_from_command_line = True  # type: ignore[attr-defined]

    with pytest.raises(SystemExit) as ended:
        command.create_parser("manage.py", "guard").parse_args(list(args))

    assert ended.value.code == Exit.USAGE
    assert re.search(r"manage\.py guard.*: error: .+", capsys.readouterr().err)


def test_tables_may_be_called_anything(each: Place) -> None:
    with each.ledger() as ledger:
        for name in ODD:
            ledger.slate(step("a column", table=name))
        ledger.register(registration("old"), OLD, lease=LEASE)
    for name in ODD:
        target = f"{name}.a column"
        said = call(each, "why", target)
        assert said.code == Exit.OK, said
        assert call(each, "sightings", target).code == Exit.OK
        assert call(each, "restore", target).code == Exit.ERROR
        assert call(each, "withdraw", target, "--reason", "it's odd: %s").code == Exit.OK
    assert call(each, "status").code == Exit.OK
    assert call(each, "log").code == Exit.OK


def test_commands_to_paste_can_be_pasted(sqlite: Place) -> None:
    with sqlite.ledger() as ledger:
        ledger.slate(step("a column", table="it's"))
        old = Footprint({"it's": {"a column": Column("integer", True, False)}}, OLD.migrations)
        for number in range(6):
            ledger.register(registration(f"i{number}", release=f"r{number}"), old, lease=LEASE)

    said = call(sqlite, "status").out

    pasted = next(found[1] for line in said.splitlines() if (found := re.search(r"manage\.py (guard why .+)$", line)))
    words = shlex.split(pasted)
    assert words == ["guard", "why", "it's.a column"]
    assert call(sqlite, *words[1:]).code == Exit.OK


def test_bytes_that_are_no_text_are_taken_for_what_can_be_stored(each: Place) -> None:
    odd = b"caf\xe9 \xff".decode("utf-8", "surrogateescape")
    with each.ledger() as ledger:
        ledger.slate(step())

    assert call(each, "why", odd).code == Exit.USAGE
    assert call(each, "sightings", "--release", odd).code == Exit.OK
    assert call(each, "instances", "--workload", odd).code == Exit.OK
    assert call(each, "withdraw", "shop_item.old", "--reason", odd).code == Exit.OK
    assert "caf? ?" in call(each, "log").out


def test_names_that_differ_in_case_alone_have_to_be_written_out(postgres: Place) -> None:
    with postgres.ledger() as ledger:
        ledger.slate(step("Old"))
        ledger.slate(step("old"))

    for verb in (("why",), ("restore",)):
        said = call(postgres, *verb, "shop_item.OLD")
        assert said.code == Exit.USAGE
        assert one_line(said) == (
            "shop_item.OLD may be any of shop_item.Old, shop_item.old. Write the one that you mean as it is here."
        )
    assert call(postgres, "withdraw", "shop_item.OLD", *REASON).code == Exit.USAGE
    assert call(postgres, "why", "shop_item.Old").code == Exit.OK


def test_of_a_thousand_names_the_nearest_are_named(sqlite: Place) -> None:
    with sqlite.ledger() as ledger:
        for number in range(30):
            ledger.slate(step(f"c{number:02}"))

    line = one_line(call(sqlite, "why", "shop_item.c7"))

    assert "shop_item.c07" in line
    assert line.endswith("and 20 more: manage.py guard status --json.")


#: Words that an option or argument may get.
WORDS = ("", "shop_item.old", "shop.0002_remove_old", "1", "-", "2h", "0s", "9999-01-01", "%s", "a'b\"c", "é", "host:1")


def typed(random: random.Random, verb: str, sub: argparse.ArgumentParser) -> list[str]:
    """A call of a verb at random, with most of what it needs."""
    words = [verb]
    for action in sub._actions:
        if isinstance(action, argparse._HelpAction) or action.dest in ("database", "wait"):
            continue
        if not action.required and action.option_strings and random.random() < 0.6:
            continue
        if action.option_strings:
            words.append(action.option_strings[-1])
        if action.nargs != 0:
            count = random.randint(1, 2) if action.nargs in ("+", "*") else 1
            choices = [*map(str, action.choices or ()), *WORDS]
            words += [random.choice(choices) for _ in range(count)]
    return words


def test_whatever_is_typed_ends_with_an_exit_code_of_the_table(table: Place) -> None:
    chance = random.Random(f"guard {table.vendor}")
    (verbs,) = (
        a for a in Command().create_parser("manage.py", "guard")._actions if isinstance(a, argparse._SubParsersAction)
    )
    for _ in range(60):
        verb = chance.choice([name for name in VERBS if name != "lint"])
        words = typed(chance, verb, verbs.choices[verb])
        said = call(table, *words)
        assert said.code in set(Exit), (words, said)
        assert "does not know" not in said.err, (words, said)
        assert "Traceback" not in said.out + said.err, (words, said)


#: What a verb that asks a database needs.
NEEDS = {
    "why": ("shop_item.old",),
    "restore": ("shop_item.old",),
    "withdraw": ("shop_item.old", *REASON),
    "allow": ("shop_item.old", "--waive", "live-instances", *REASON, "--expires", "1h"),
    "forget": ("--all-lost", *REASON),
    "reconcile": ("--alive", "/etc/hostname"),
    "freeze": ("--until", "1h", *REASON),
    "adopt": REASON,
}
CALLS = [(name, *NEEDS.get(name, ())) for name in VERBS if name not in ("lint", "doctor")]
each_verb = pytest.mark.parametrize("args", CALLS, ids=[args[0] for args in CALLS])


@each_verb
def test_without_a_ledger_each_verb_says_so(postgres: Place, args: tuple[str, ...]) -> None:
    with connecting.private(postgres.alias) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE guard_gate RENAME TO elsewhere")
        try:
            said = call(postgres, *args, ENVIRONMENT="here")
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO guard_gate")

    assert said.code == Exit.ERROR, said
    assert "run `manage.py migrate" in one_line(said)


@each_verb
def test_where_the_database_is_away_each_verb_says_so(postgres: Place, args: tuple[str, ...]) -> None:
    with postgres.another(PORT="1") as alias:
        said = call(Place(postgres.database, alias), *args, ENVIRONMENT="here")

    assert said.code == Exit.ERROR, said
    assert one_line(said).startswith("The database refused: ")
