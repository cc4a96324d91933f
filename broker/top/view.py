"""What `broker top` shows, as values; `broker top --json` prints a `TopView`."""

from typing import Final, NamedTuple

from msgspec import Struct

from schemas.heartbeat import State
from schemas.policy import PolicyId

WINDOW_S: Final = 60.0
"""Rates are over the last so many seconds."""
RECENT: Final = 32
"""Staleness and latency of an actor are over his last so many groups, however old they are."""


class Badge(NamedTuple):
    """What the accounts know of an actor."""

    name: str
    tier: str


class ReasonCount(Struct, frozen=True, kw_only=True):
    reason: str
    """`late`, `stale`, `duplicate`, or why a message was rejected."""
    count: int


class Rates(Struct, frozen=True, kw_only=True):
    """Over the last `WINDOW_S` seconds, or since the first of these groups if that is less."""

    groups_per_min: float = 0.0
    """All that were judged, refused ones too."""
    tokens_per_s: float = 0.0
    """Of accepted groups, prompts included."""
    bytes_per_s: float = 0.0
    """Of accepted groups, on the wire."""


class ActorView(Struct, frozen=True, kw_only=True):
    """One actor."""

    actor: str
    name: str
    """As it was invited; empty where no account says one."""
    tier: str
    """Likewise."""
    state: State | None
    """None when it has said nothing for a while: it is gone, or cannot reach the broker."""
    waiting_for: str
    """In its own words."""
    policy: PolicyId | None
    """The one that it says it holds."""
    rates: Rates
    num_bytes: int
    """Of all its accepted groups, on the wire."""
    num_accepted: int
    num_refused: int
    reasons: tuple[ReasonCount, ...]
    """Of the refusals, the most frequent first."""
    num_purged: int
    """Removed from a queue without a verdict."""
    num_open_leases: int
    staleness: float | None
    """Mean over its last rows in batches; None before the first."""
    latency_s: float | None
    """From a lease's issue to the verdict on its group: median of the last accepted ones."""
    last_verdict_s: float | None
    """Seconds since its last verdict."""


class Judged(Struct, frozen=True, kw_only=True):
    """A verdict on a message of an actor."""

    time: float
    """Unix seconds on the server's clock, when it was stored."""
    verdict: str
    """`accepted`, `late`, `rejected(reward-mismatch)`, ..."""
    message: str
    """Shard and sequence: `s0:12`, as `broker why` takes it."""
    lease_id: int | None
    policy: PolicyId | None
    """Of an accepted group."""
    rewards: tuple[float, ...]
    latency_s: float | None
    """Since the lease was issued; None when it names no open lease of the run."""
    detail: str
    """Why it was refused, in the coordinator's words."""


class QueueView(Struct, frozen=True, kw_only=True):
    """All queues of the run together."""

    num_messages: int
    """Stored, without a verdict."""
    num_bytes: int
    max_bytes: int
    """-1: unbounded."""
    num_in_hand: int
    """Of the messages, those that the coordinator has taken."""
    oldest_time: float | None
    """When the oldest was stored, in Unix seconds on the server's clock; None: there is none."""


class DaemonView(Struct, frozen=True, kw_only=True):
    """What the coordinator, or the trainer, says of itself."""

    state: State | None
    """None when it has said nothing for a while."""
    waiting_for: str


class HeadView(Struct, frozen=True, kw_only=True):
    """The run as a whole."""

    run: str
    step: int
    """Of the last batch that was cut; 0 before the first."""
    num_steps: int
    """0 while no coordinator has opened the log."""
    policy: PolicyId | None
    """The last one announced."""
    reward: float | None
    """Mean over all rollouts that were recomputed between the last two batches."""
    rewards: tuple[float, ...]
    """The same of the last batches, the newest last."""
    staleness_mean: float | None
    """Of the rows of the last batch."""
    staleness_max: int | None
    staleness_limit: int
    num_waiting: int
    """Groups that wait for a batch."""
    num_open_leases: int
    queue: QueueView | None
    """None before it was asked for the first time."""
    who_waits: str
    """For whom, told from the logs."""
    coordinator: DaemonView
    trainer: DaemonView
    rates: Rates
    """Of all actors together."""
    num_purged: int
    """Of all, those of purges that name no actor too."""


class TopView(Struct, frozen=True, kw_only=True):
    """One look at the run."""

    time: float
    """Unix seconds on the server's clock."""
    connected: bool
    """False while the server is away: everything is as it was last known."""
    share_read: float
    """Of LOG as it was at the start: below 1 the counts are not complete yet."""
    head: HeadView
    actors: tuple[ActorView, ...]
    """Sorted as it was asked for."""
    num_unlisted: int
    """Messages by who has no row, since too many have one that never had a lease."""
