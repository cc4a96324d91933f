"""One stream: what it is for, how it was made, what is in it, and who reads it."""

from msgspec import Struct

from broker.interface import Broker, StreamSpec
from broker.inventory import Inventory, read_inventory
from broker.look.backlog import backlog
from broker.look.consumers import ConsumerView, consumers_of
from broker.look.listing import StreamView, view_stream
from broker.look.read_on import RunLogs
from schemas.errors import UserError
from schemas.nearest import instead


class StreamInfo(Struct, frozen=True, kw_only=True):
    """What `broker info --json` prints."""

    stream: StreamView
    created: float
    """Unix seconds on the server's clock."""
    num_subjects: int
    """That have messages in it now."""
    spec: StreamSpec
    """How it was made."""
    consumers: tuple[ConsumerView, ...]
    """That it keeps; followers are only counted, in `stream`."""


async def stream_info(broker: Broker, name: str, run: str = "") -> StreamInfo:
    """Look at one stream, named as `ls` does or, within a run, by its shard, LOG or POLICIES.

    Raises:
        UserError: there is no such stream; says which one may be meant.
    """
    inventory = await read_inventory(broker)
    name = _find(inventory, run, name)
    owner = inventory.run_of(name)
    newest = await RunLogs(owner).newest(broker, inventory) if owner else None
    is_queue = owner is not None and name in inventory.queues(owner)
    subjects = await broker.subjects(name)
    waiting = backlog(subjects) if is_queue else None
    state = await broker.state(name)
    announced = {owner: newest} if owner else {}
    return StreamInfo(
        stream=view_stream(inventory, state, waiting, announced),
        created=state.created,
        num_subjects=len(subjects),
        spec=await broker.spec(name),
        consumers=tuple(await consumers_of(broker, name, newest)),
    )


def _find(inventory: Inventory, run: str, name: str) -> str:
    if run:
        inventory.require(run)
        return inventory.find(run, name)
    if name in inventory.streams:
        return name
    if len(inventory.runs) == 1:
        return inventory.find(inventory.runs[0], name)
    for one in inventory.runs:
        if name in inventory.short_names(one):
            raise UserError(f"several runs have a stream {name}: name one of them with --run")
    raise UserError(f"the server has no stream {name[:80]}; {instead(name, inventory.streams)}")
