"""How far the reader of each queue is, in groups and in policy versions."""

from msgspec import Struct

from broker.interface import Broker, ConsumerState
from broker.inventory import read_inventory
from broker.look.backlog import Backlog, backlog
from broker.look.read_on import RunLogs
from schemas.policy import PolicyId


class ConsumerView(Struct, frozen=True, kw_only=True):
    """The consumer of a queue; `broker consumers --json` prints a list of them."""

    stream: str
    consumer: str
    num_unprocessed: int
    """Not handed to the coordinator yet."""
    num_ack_pending: int
    """In its hands, without a verdict yet."""
    max_ack_pending: int
    """With so many in its hands it gets no more."""
    num_redelivered: int
    """Of those in its hands, handed over more than once."""
    delivered_to: int
    """The highest sequence that was handed over."""
    ack_floor: int
    """Every message up to this sequence is judged."""
    ack_wait_s: float
    """So long what a coordinator had in hand stays away when that one is gone."""
    lag_groups: int
    """Without a verdict: unprocessed or in hand."""
    lag_versions: int | None
    """How far the oldest of them is behind the last announced policy; None where nothing waits, or
    nothing is announced."""


async def view_consumers(broker: Broker, logs: RunLogs) -> list[ConsumerView]:
    """The consumers of a run's queues, in the order of the queues."""
    inventory = await read_inventory(broker)
    newest = await logs.newest(broker, inventory)
    return [
        view
        for queue in inventory.queues(logs.run)
        for view in await consumers_of(broker, queue, newest)
    ]


async def consumers_of(broker: Broker, stream: str, newest: PolicyId | None) -> list[ConsumerView]:
    """The consumers of one stream."""
    waiting = backlog(await broker.subjects(stream))
    return [_view(state, waiting, newest) for state in await broker.consumers(stream)]


def _view(state: ConsumerState, waiting: Backlog, newest: PolicyId | None) -> ConsumerView:
    return ConsumerView(
        stream=state.stream,
        consumer=state.name,
        num_unprocessed=state.num_pending,
        num_ack_pending=state.num_ack_pending,
        max_ack_pending=state.max_ack_pending,
        num_redelivered=state.num_redelivered,
        delivered_to=state.delivered_to,
        ack_floor=state.ack_floor,
        ack_wait_s=state.ack_wait_s,
        lag_groups=state.num_pending + state.num_ack_pending,
        lag_versions=waiting.behind(newest.version) if newest else None,
    )
