"""Work asked of an actor, and what an actor is granted on the way."""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.types import Count, Index, Sha256, Token

Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_./-]{1,256}\Z")]
MAX_LEASES_PER_REPLY = 64
MAX_NAMED_LEASES = 1024
MAX_KEYS_PER_GRANT = 64
MAX_GROUP_SIZE = 256
MAX_NEW_TOKENS = 1 << 17
ANSWER_TIMEOUT_S = 8.0
"""A coordinator that answers a request for leases no sooner counts as away."""
MAX_HOLD_S = 6.0
"""So long it may keep one waiting for capacity: it takes a moment more to answer."""


class EngineProfile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What generates an actor's tokens."""

    engine: Token
    version: Annotated[str, Meta(max_length=64)]
    dtype: Token
    """Reserved, for audits: thresholds on log-probabilities depend on the numbers computed with."""
    track: Token
    """Numeric format of the policy that it loads: f32, bf16, fp8, int4."""
    max_context: Index
    """Tokens."""


class EnvironmentRef(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pins an environment: enough to open it, and to know that it is the one meant."""

    id: Annotated[str, Meta(min_length=1, max_length=128)]
    smallest: Annotated[int, Meta(ge=1, le=64)]
    largest: Annotated[int, Meta(ge=1, le=64)]
    train_on: Literal["exact", "partial"]
    """These three are the parameters, see `EnvironmentSettings`."""
    version: Annotated[str, Meta(min_length=1, max_length=64)]
    digest: Sha256
    """Over its version, all its settings, and the bytes of its source files (`environments.pin`);
    both sides build the environment and compare. A comment in one of the files makes it another."""


class Sampling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tokens are drawn: always the model's own distribution, by seeded Gumbel noise."""

    temperature: Annotated[float, Meta(ge=1.0, le=1.0)] = 1.0
    """Reserved: at any other value, log-probabilities would not be the model's own."""
    top_p: Annotated[float, Meta(ge=1.0, le=1.0)] = 1.0
    """Reserved, likewise."""
    max_new_tokens: Annotated[int, Meta(ge=1, le=MAX_NEW_TOKENS)]
    """Per completion: a rollout of several turns has several."""
    stop_ids: Annotated[tuple[Index, ...], Meta(min_length=1, max_length=16)]


class Lease(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks one actor for one group: `group_size` rollouts of one task."""

    lease_id: Count
    """Counts the run's leases from 0."""
    run: Token
    actor: Token
    environment: EnvironmentRef
    task: Count
    """Index of the task in the environment."""
    group_size: Annotated[int, Meta(ge=2, le=MAX_GROUP_SIZE)]
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    sampling: Sampling
    renderer: Sha256
    """Of the environment: where prompts are rendered otherwise, the lease cannot be fulfilled."""
    shard: Token
    least_policy: PolicyId
    """Of the policy that it is made with, incarnation and version must both be at least these."""
    deadline: float
    """Unix seconds on the coordinator's clock; what is stored in the queue by then is in time."""


class LeaseRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for work. The same request id always gets the same leases."""

    run: Token
    actor: Token
    request_id: Token
    instance: Token
    """Of the actor's process: a new instance gives up the leases of the one before it."""
    wanted: Annotated[int, Meta(ge=0, le=MAX_LEASES_PER_REPLY)]
    """0 only asks for the last announcement."""
    held: PolicyId | None
    """The policy that it has loaded. Reserved, for leases that prefer what an actor holds."""
    profile: EngineProfile
    """Reserved, for runs with several tracks: which leases its engine can fulfil."""
    spooled: Annotated[tuple[Count, ...], Meta(max_length=MAX_NAMED_LEASES)] = ()
    """Leases of an earlier instance whose groups are on its disk and will be published: the others
    of that instance end."""
    abandoned: Annotated[tuple[Count, ...], Meta(max_length=MAX_NAMED_LEASES)] = ()
    """Leases that it gives back, for instance when it drains."""


class WaitReason(StrEnum):
    """Why a reply has no lease, or fewer than were wanted."""

    NONE = ""
    NO_POLICY = "no-policy"
    """No policy has been announced yet."""
    CAPACITY = "capacity"
    """Enough groups are under way for the staleness limit."""
    ACTOR_LIMIT = "actor-limit"
    """This actor has as many open leases as it may have."""
    TOO_FEW_ACTORS = "too-few-actors"
    """This actor has reached its hard share, and too few others fill the rest."""
    NO_SIGNAL = "no-signal"
    """No group had different rewards for too long, many of this actor's among them: it gets a lease
    now and then, until some group has signal again."""
    UNANSWERED = "unanswered"
    """This actor gives back, or lets expire, many more leases than it answers: it gets one now and
    then, until it has answered some."""
    DISPLACED = "displaced"
    """This actor has asked again, and only its newest request waits."""
    CUT_OFF = "cut-off"
    """This actor is cut off, and gets no lease until it is let in again."""
    FINISHED = "finished"
    """The run has cut its last batch."""
    REFUSED = "refused"
    """The request is not valid; `detail` says why."""


class LeaseReply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers a lease request."""

    leases: Annotated[tuple[Lease, ...], Meta(max_length=MAX_LEASES_PER_REPLY)] = ()
    announcement: PolicyAnnouncement | None = None
    """The last one, for late joiners."""
    time: Annotated[float, Meta(ge=0, le=1e12)] = 0.0
    """Unix seconds on the coordinator's clock: actors count deadlines from here, whatever their own
    clocks say. 0: not said, and no lease is given up for its deadline."""
    waiting_for: WaitReason = WaitReason.NONE
    detail: Annotated[str, Meta(max_length=500)] = ""


class GrantRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for presigned URLs of policy objects."""

    run: Token
    actor: Token
    keys: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=MAX_KEYS_PER_GRANT)]


class GrantReply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """URLs in the order of the keys; empty with a detail when refused."""

    urls: Annotated[tuple[str, ...], Meta(max_length=MAX_KEYS_PER_GRANT)] = ()
    detail: Annotated[str, Meta(max_length=500)] = ""
