"""Reads a run's two logs, LOG and POLICIES, into decoded items in the order of the log."""

from collections.abc import AsyncIterator
from typing import TypeVar

from msgspec import Struct

from broker.interface import Broker, Record
from schemas import names
from schemas.batch import Batch
from schemas.errors import BrokerError, Rejected
from schemas.ledger import LedgerEntry, RunOpened
from schemas.policy import PolicyAnnouncement
from schemas.trainer_events import TrainerEntry
from schemas.wire import decode_own, sha256_hex

T = TypeVar("T")


class Unreadable(Struct, frozen=True, kw_only=True):
    """A record that is not what its subject says."""

    detail: str


class LogItem(Struct, frozen=True, kw_only=True):
    """One record of LOG."""

    sequence: int
    time: float
    """Unix seconds, when it was stored."""
    sha256: str
    """Of its wire bytes."""
    content: LedgerEntry | Batch | Unreadable


class PolicyItem(Struct, frozen=True, kw_only=True):
    """One record of POLICIES."""

    sequence: int
    time: float
    content: PolicyAnnouncement | TrainerEntry | Unreadable


def log_item(run: str, record: Record) -> LogItem:
    """Decode one record of LOG."""
    content = _decode(record, LedgerEntry, Batch, is_first=names.ledger_subject(run))
    if isinstance(content, Batch) and record.subject != names.batch_subject(run, content.step):
        content = Unreadable(detail=f"batch of step {content.step} lies under {record.subject}")
    return LogItem(
        sequence=record.sequence,
        time=record.time,
        sha256=sha256_hex(record.data),
        content=content,
    )


def policy_item(run: str, record: Record) -> PolicyItem:
    """Decode one record of POLICIES."""
    content = _decode(record, PolicyAnnouncement, TrainerEntry, is_first=names.policy_subject(run))
    return PolicyItem(sequence=record.sequence, time=record.time, content=content)


async def read_log(broker: Broker, run: str, *, first: int = 1) -> AsyncIterator[LogItem]:
    """LOG from `first` to its end as of the call.

    Raises:
        BrokerError: there is no such stream.
    """
    async for record in broker.read(names.log_stream(run), first=first):
        yield log_item(run, record)


async def read_policies(broker: Broker, run: str) -> AsyncIterator[PolicyItem]:
    """POLICIES to its end as of the call.

    Raises:
        BrokerError: there is no such stream.
    """
    async for record in broker.read(names.policies_stream(run)):
        yield policy_item(run, record)


async def first_event(broker: Broker, run: str) -> RunOpened | None:
    """How the run was opened; None when its LOG is empty.

    Raises:
        BrokerError: there is no such stream, or it begins with something else.
    """
    record = await broker.get(names.log_stream(run), 1)
    return opening_of(record) if record else None


def opening_of(record: Record) -> RunOpened:
    """How a run was opened, from the first record of its LOG.

    Raises:
        BrokerError: it is something else.
    """
    try:
        opened = decode_own(record.data, LedgerEntry).events[0]
    except Rejected:
        opened = None
    if isinstance(opened, RunOpened):
        return opened
    raise BrokerError(f"{record.stream} does not begin with RunOpened")


def _decode(record: Record, first: type[T], second: type[T], *, is_first: str) -> T | Unreadable:
    kind = first if record.subject == is_first else second
    try:
        return decode_own(record.data, kind)
    except Rejected as refusal:
        return Unreadable(detail=refusal.detail)
