"""What an operator, or whoever watches the queue for floods, asks of the coordinator: that messages
leave a queue without a look at each, that an actor is cut off, and that it is let in again."""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.policy import PolicyId
from schemas.types import Count, Detail, Subject, Token

MAX_SHOWN_SUBJECTS: Final = 20
MAX_QUEUES: Final = 1024


class PurgeReason(StrEnum):
    """Why messages are purged."""

    CUT_OFF = "cut-off"
    """Their actor is cut off: its other messages are rejected, its leases end, and it gets none."""
    PURGED = "purged"
    """An operator wanted them gone. Their actors may go on."""


class QueueMark(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a purge of one queue goes."""

    shard: Token
    through: Count
    """The last sequence that it may remove."""


class PurgeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a purge of the messages that fit all that is given here."""

    run: Token
    reason: PurgeReason
    actor: Token | None = None
    """None: of all actors; who is to be cut off must be named."""
    shard: Token | None = None
    """None: in all queues of the run."""
    policy: PolicyId | None = None
    """Incarnation and version in their subjects; None: all."""
    marks: Annotated[tuple[QueueMark, ...], Meta(max_length=MAX_QUEUES)] = ()
    """What a dry run answered: nothing that came since is removed. Empty: all that is there."""
    dry_run: bool = False
    """Only say what would go."""


class SubjectCount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages on one subject."""

    subject: Subject
    num_messages: Count


class QueuePurge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a purge removes, or would remove, from one queue."""

    shard: Token
    through: Count
    """The last sequence that it looked at: for `QueueMark`."""
    num_messages: Count
    """Removed without a verdict. Of a dry run: those that are there, some of which may have a
    verdict by the time that they would be removed."""
    num_subjects: Count = 0
    """Of a dry run: different subjects that they are on."""
    subjects: Annotated[tuple[SubjectCount, ...], Meta(max_length=MAX_SHOWN_SUBJECTS)] = ()
    """Of a dry run: those with the most messages, the most first."""


class PurgeReply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers a request for a purge when all of it is done and in the ledger."""

    queues: Annotated[tuple[QueuePurge, ...], Meta(max_length=MAX_QUEUES)] = ()
    detail: Detail = ""
    """Why nothing was done; empty when it was."""


class LetInRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks that an actor that was cut off is let in again."""

    run: Token
    actor: Token


class LetInReply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers it when it is in the ledger."""

    detail: Detail = ""
    """Why nothing was done; empty when it was."""
