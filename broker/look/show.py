"""Finds one group by its id, with its bytes: for `broker show`."""

from collections.abc import Callable

from broker.interface import Broker
from broker.inventory import read_inventory
from broker.logbook import read_log
from broker.look.group import GroupShown, Spell, group_of
from broker.look.held import Holder
from broker.look.identifier import nothing_has, parse_identifier
from broker.look.message import Message, Messages, queued
from broker.look.sight import ANY_VOCABULARY
from broker.store import Store
from schemas.wire import sha256_hex

FindSpeller = Callable[[str], Spell | None]
"""By a renderer's identity: how its tokens are spelled, where that is known."""


async def show(
    broker: Broker,
    run: str,
    text: str,
    *,
    open_store: Callable[[], Store],
    find_speller: FindSpeller,
) -> GroupShown:
    """The group that `text` names, as `broker why` takes it.

    Raises:
        UserError: there is no such run, or nothing in it has this id.
    """
    messages, message = await find(broker, run, text)
    holder = Holder(broker, run, open_store)
    try:
        held = await holder.read(message)
    finally:
        await holder.close()
    opened = messages.tally.opened
    lease_id = message.lease_id
    named = messages.of_lease(lease_id) if lease_id is not None else []
    return group_of(
        message,
        held,
        vocabulary_size=opened.vocabulary_size if opened else ANY_VOCABULARY,
        spell=find_speller(opened.renderer) if opened else None,
        leases=messages.tally.leases,
        others=[other for other in named if other.id != message.id],
    )


async def find(broker: Broker, run: str, text: str) -> tuple[Messages, Message]:
    """The judged messages of a run, and the one that `text` names, judged or not.

    Raises:
        UserError: there is no such run, or nothing in it has this id.
    """
    identifier = parse_identifier(run, text)
    inventory = await read_inventory(broker)
    inventory.require(run)
    record, place = None, identifier.place
    if place is not None and place.stream in inventory.queues(run):
        record = await broker.get(*place)
    # Read after the queue: a message that has just been judged is in the log, or was in the queue.
    messages = Messages(run, [item async for item in read_log(broker, run)])
    message = messages.find(identifier)
    if message is None and record is not None:
        message = queued(run, record, sha256_hex(record.data))
    if message is None:
        raise nothing_has(run, text, messages.tally)
    return messages, message
