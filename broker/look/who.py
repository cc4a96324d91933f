"""Which actor is meant: by his id, by a beginning of it that nobody else's has, or by the name that
he was invited by. One rule for all verbs.

>>> the_actor("UAL", {"UALICE", "UBOB"}), the_actor("bob", {"UALICE"}, {"bob": "UBOB"})
('UALICE', 'UBOB')
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from broker.interface import Broker
from broker.inventory import read_inventory
from broker.logbook import read_log
from broker.look.short_keys import KEY
from schemas import ledger, names
from schemas.errors import Rejected, UserError
from schemas.listed import listed
from schemas.nearest import instead

_MOST_LISTED: Final = 8
_SHORTENED: Final = "…"
"""Ends an actor's id on our screens."""
NOBODY: Final[Mapping[str, str]] = {}


def the_actor(typed: str, known: Collection[str], called: Mapping[str, str] = NOBODY) -> str:
    """The whole id of the actor that is meant; `called` has ids by name.

    A whole key is taken as it is: its owner may not have done anything yet.

    Raises:
        UserError: there is none, or several; says which may be meant.
    """
    typed = typed.removesuffix(_SHORTENED)
    if typed in known or KEY.fullmatch(typed):
        return typed
    if typed in called:
        return called[typed]
    match sorted(actor for actor in {*known, *called.values()} if actor.startswith(typed)):
        case [only]:
            return only
        case []:
            near = instead(typed, {*known, *called})
            raise UserError(f"the run has no actor {typed[:80]}; {near}")
        case several:
            shown = several[:_MOST_LISTED]
            shown += [f"{len(several) - len(shown)} others"] if several[_MOST_LISTED:] else []
            raise UserError(
                f"{len(several)} actors begin with {typed[:80]}: {listed(shown, 'and')}; "
                "type more of it"
            )


def called_in(accounts: str) -> dict[str, str]:
    """The ids of contributors by their names, as the operator's roster has them; none without it.

    Raises:
        UserError: a file of it is damaged or cannot be read.
    """
    from broker.accounts.roster import Roster

    if not accounts:
        return {}
    return {one.name: one.actor for one in Roster(Path(accounts) / "contributors").all()}


async def actors_of(broker: Broker, run: str) -> set[str]:
    """Everybody whom LOG names, or who has a message in a queue of the run."""
    found: set[str] = set()
    for queue in (await read_inventory(broker)).queues(run):
        for subject in await broker.subjects(queue):
            try:
                found.add(names.parse_rollouts_subject(subject).actor)
            except Rejected:
                continue  # A stranger's, whose word for himself names nobody.
    async for item in read_log(broker, run):
        if isinstance(item.content, ledger.LedgerEntry):
            found |= {who for event in item.content.events if (who := _actor_in(event))}
    return found


def _actor_in(event: ledger.LedgerEvent) -> str | None:
    match event:
        case ledger.LeaseIssued(lease=lease):
            return lease.actor
        case (
            ledger.GroupAccepted(actor=actor)
            | ledger.GroupRefused(actor=actor)
            | ledger.ActorCutOff(actor=actor)
        ):
            return actor
        case _:
            return None
