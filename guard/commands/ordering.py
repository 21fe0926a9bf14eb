"""What the verbs that give an order to the gate share."""

from __future__ import annotations

from collections.abc import Callable

from django.core.management.base import CommandError

from guard.commands.call import Call
from guard.commands.exits import Exit
from guard.gate.orders import Desk, Done, Refused
from guard.ledger import protocol
from guard.ledger.tables import Conflict

REASON = "Why: it is kept in the log, with who said so."


def give(call: Call, order: Callable[[Desk], Done]) -> None:
    """Give an order to each database, and say what came of it. Raises CommandError where no desk takes it."""
    refusals: list[str] = []
    done: list[tuple[str, Done]] = []
    for gate in call.gates():
        try:
            done.append((gate.connection.alias, order(Desk(gate))))
        except Refused as refused:
            refusals.append(str(refused))
        except (protocol.ProtocolError, Conflict) as error:
            raise CommandError(str(error), returncode=Exit.ERROR) from None
    if not done:
        raise CommandError(" ".join(dict.fromkeys(refusals)), returncode=Exit.USAGE)
    if call.json:
        call.answer({"orders": [{"database": alias, "target": d.target, "says": d.says} for alias, d in done]})
        return
    for _alias, answer in done:
        call.say(answer.says)
