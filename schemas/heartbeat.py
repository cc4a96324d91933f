"""What a daemon says about itself, for screens only: nothing is decided from it."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schemas.policy import PolicyId
from schemas.types import Count, Token


class State(StrEnum):
    """What a daemon is doing."""

    STARTING = "starting"
    CONNECTING = "connecting"
    """The broker does not answer; it keeps trying."""
    WAITING_FOR_POLICY = "waiting-for-policy"
    FETCHING = "fetching"
    """Downloading a policy."""
    LOADING = "loading"
    """Putting a policy into the engine and checking it."""
    COORDINATOR_AWAY = "coordinator-away"
    """Nobody coordinates the run, or whoever does is silent; an actor keeps asking."""
    WAITING_FOR_LEASE = "waiting-for-lease"
    GENERATING = "generating"
    PUBLISHING = "publishing"
    QUEUE_FULL = "queue-full"
    """The queue has no room; it waits and keeps its work."""
    CANNOT_CONTRIBUTE = "cannot-contribute"
    """What the run's leases ask for is not installed on this machine, or too much for it."""
    FEED_FROZEN = "feed-frozen"
    """No new policy can be had, and its own is too old for any lease."""
    WAITING_FOR_BATCH = "waiting-for-batch"
    TRAINING = "training"
    STORE_AWAY = "store-away"
    """Object storage does not answer; it keeps trying."""
    WAITING_FOR_GROUPS = "waiting-for-groups"
    """The coordinator has too few groups for the next batch."""
    NO_SIGNAL = "no-signal"
    """Too many groups in a row had equal rewards: actors get a lease only now and then."""
    TOO_FEW_ACTORS = "too-few-actors"
    """All actors together cannot fill a batch, since each may have only its hard share of it."""
    FINISHED = "finished"
    """The last batch is cut: no more work is given."""
    DRAINING = "draining"
    """Finishing what it has before it stops."""
    STOPPED = "stopped"


class Heartbeat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Published by every daemon every few seconds and at each change of state."""

    run: Token
    who: Token
    """Actor id, `coordinator` or `trainer`."""
    instance: Token
    """Reserved, for a dashboard: tells a restart from a pause."""
    state: State
    policy: PolicyId | None = None
    tokens_per_s: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    groups_published: Count = 0
    """Of an actor, since it started. Reserved, for a dashboard."""
    waiting_for: Annotated[str, Meta(max_length=200)] = ""
