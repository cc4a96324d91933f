"""The coordinator's events. Folding them in order gives the coordinator's state.

Each event has an identity of its own (a lease id, a stream sequence, a step), so that folding it
twice is folding it once. The events of one round of decisions travel in one entry, or in several
where one would be too large: each event stands for itself.
"""

from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct

from schemas.lease import EnvironmentRef, Lease
from schemas.policy import PolicyId
from schemas.purge import PurgeReason
from schemas.settings import RunSettings
from schemas.types import Count, Detail, Reward, SegmentName, Sha256, Subject, Token
from schemas.verdict import Outcome, Reason

Rewards = Annotated[tuple[Reward, ...], Meta(max_length=256)]


class RewardPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named figure of each rollout of a group, such as exact match or partial credit."""

    name: Token
    values: Rewards


RewardParts = Annotated[tuple[RewardPart, ...], Meta(max_length=16)]


class _Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    pass


class RunOpened(_Event, frozen=True):
    """The first event of every run: all that decides what the model learns."""

    settings: RunSettings
    environment: EnvironmentRef
    renderer: Sha256
    vocabulary_size: Annotated[int, Meta(ge=1, le=1 << 22)]
    initial_policy: PolicyId
    initial_manifest_sha256: Sha256
    run_key: Sha256
    """Public half of the run's Ed25519 key, in hex (it has the form of a digest)."""
    code_sha256: Sha256
    """Over the source files of the learner's packages."""


class CoordinatorStarted(_Event, frozen=True):
    """A coordinator took over the log. Identity: its instance."""

    instance: Token
    host: Annotated[str, Meta(max_length=255)]
    pid: Count
    """For a person who looks for the process."""


class QueueEnd(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a queue ended when a backup was taken."""

    stream: Token
    last_sequence: Count
    """The queue that is made in its place begins behind it. A message up to here that has no
    verdict is lost."""


class RunRestored(_Event, frozen=True):
    """Everything before this entry comes from a backup, and the queues were made anew. Written by
    `broker restore`, before any coordinator. Identity: its instance."""

    instance: Token
    """Of the restore."""
    backup_sha256: Sha256
    """Of the backup's manifest."""
    taken: Annotated[float, Meta(ge=0, le=1e12)]
    """When the backup was taken, in Unix seconds on the clock of who took it."""
    queues: Annotated[tuple[QueueEnd, ...], Meta(min_length=1, max_length=64)]


class LeaseIssued(_Event, frozen=True):
    """Identity: the lease's id."""

    lease: Lease
    request_id: Token
    instance: Token
    """Of the actor's process."""


class LeaseExpired(_Event, frozen=True):
    """Its deadline has passed, or lies further ahead than that of any lease can, since a clock was
    wrong; and everything stored by then has been judged."""

    lease_id: Count


class LeaseAbandoned(_Event, frozen=True):
    """The actor gave it back, a new instance of the actor did not name it, or the actor was cut
    off."""

    lease_id: Count


class GroupAccepted(_Event, frozen=True):
    """Identity: stream and sequence. Fulfils its lease."""

    stream: Token
    sequence: Count
    sha256: Sha256
    lease_id: Count
    actor: Token
    policy: PolicyId
    segment: SegmentName
    offset: Count
    length: Count
    rewards: Rewards
    """What is trained on, one per rollout."""
    parts: RewardParts
    num_tokens: Annotated[tuple[Count, ...], Meta(max_length=256)]
    """Tokens of each rollout, prompt included."""


class GroupRefused(_Event, frozen=True):
    """Identity: stream and sequence."""

    stream: Token
    sequence: Count
    sha256: Sha256
    actor: Token
    """From the subject; `unknown` when the subject is not that of a group."""
    lease_id: Count | None
    closes_lease: bool
    """True when the sender holds this open lease: a refused answer ends it."""
    outcome: Outcome
    reason: Reason
    detail: Detail = ""
    rewards: Rewards = ()
    """The recomputed ones, where the message got that far."""
    parts: RewardParts = ()
    sample_kept: bool = False
    """Its bytes are kept in object storage for inspection."""


MAX_DROPPED: Final = 65_536


class GroupsDropped(_Event, frozen=True):
    """Groups that waited, and are too old for step `step`. Identity: their leases."""

    step: Count
    lease_ids: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=MAX_DROPPED)]


class ActorCutOff(_Event, frozen=True):
    """What the actor publishes is rejected unseen from here on, and it gets no lease. Identity: the
    actor and the change."""

    actor: Token
    change: Count
    """Counts the actor's cuts and returns from 0, so a cut has an even number, a return an odd."""


class ActorLetIn(_Event, frozen=True):
    """It is an actor like others again. Identity: the actor and the change."""

    actor: Token
    change: Count


MAX_PURGED_AT_ONCE: Final = 65_536


class PurgeBegun(_Event, frozen=True):
    """Messages of one queue are removed unjudged from here on; what of them goes without a verdict
    is told by `MessagesPurged`, even if another coordinator has to finish. Identity: its number."""

    purge: Count
    """Counts the run's purges from 0."""
    stream: Token
    subject: Subject
    """A pattern: the messages under it."""
    first: Count
    through: Count
    """Sequences between which it looks, both included: at most MAX_PURGED_AT_ONCE of them."""
    num_messages: Count
    """Under the pattern, in the whole queue, as it began: no more can go by it."""
    reason: PurgeReason


class Span(NamedTuple):
    """Sequences from first to last."""

    first: Count
    last: Count


class MessagesPurged(_Event, frozen=True):
    """What a purge has removed: those, and no others, have no verdict and get none. Identity: the
    purge's number."""

    purge: Count
    stream: Token
    reason: PurgeReason
    spans: Annotated[tuple[Span, ...], Meta(max_length=MAX_PURGED_AT_ONCE)]
    """In their order; none overlap."""

    @property
    def num_messages(self) -> int:
        return sum(last - first + 1 for first, last in self.spans)


VerdictEvent = GroupAccepted | GroupRefused
"""The verdict on a message, as the ledger has it. `schemas.verdict.Verdict` tells the actor."""

LedgerEvent = (
    RunOpened
    | CoordinatorStarted
    | RunRestored
    | LeaseIssued
    | LeaseExpired
    | LeaseAbandoned
    | GroupAccepted
    | GroupRefused
    | GroupsDropped
    | ActorCutOff
    | ActorLetIn
    | PurgeBegun
    | MessagesPurged
)


MAX_ENTRY_EVENTS: Final = 65_536


class LedgerEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One write to the log: the events of one round of decisions, or as many as one entry holds."""

    instance: Token
    """Of the coordinator that wrote it."""
    events: Annotated[tuple[LedgerEvent, ...], Meta(min_length=1, max_length=MAX_ENTRY_EVENTS)]
