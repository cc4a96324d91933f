"""Reads a run's two logs, LOG and POLICIES, into decoded items in the order of the log.

An announcement counts when the run's key signed it and its policy comes after every one that
counted before it, as a trainer's announcements do. The log keeps for ever whatever else somebody
puts there, a copy of an old announcement too: that announces nothing.
"""

from collections.abc import AsyncIterator
from typing import TypeVar

from msgspec import Struct

from broker.interface import Broker, Record
from broker.policies.signing import verify_announcement
from schemas import names
from schemas.batch import Batch
from schemas.errors import BrokerError, Rejected, SignatureInvalid
from schemas.ledger import LedgerEntry, RunOpened
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.trainer_events import TrainerEntry
from schemas.wire import decode_own, sha256_hex

T = TypeVar("T")


class Unreadable(Struct, frozen=True, kw_only=True):
    """A record that is not what its subject says."""

    detail: str


PolicyContent = PolicyAnnouncement | TrainerEntry | Unreadable


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
    """Unix seconds, when it was stored."""
    content: PolicyContent


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


def decode_policy(run: str, record: Record) -> PolicyContent:
    """Decode one record of POLICIES, whether it counts or not."""
    return _decode(record, PolicyAnnouncement, TrainerEntry, is_first=names.policy_subject(run))


def counted(content: PolicyContent, run_key: str, last: PolicyId | None) -> PolicyContent:
    """What a record says when `last` is the last policy announced before it."""
    if not isinstance(content, PolicyAnnouncement):
        return content
    try:
        verify_announcement(run_key, content)
    except SignatureInvalid as error:
        return Unreadable(detail=str(error))
    if last is not None and content.policy <= last:
        return Unreadable(detail=f"policy {content.policy} is announced behind policy {last}")
    return content


class PolicyReader:
    """Reads POLICIES record by record, in the order of the log."""

    def __init__(self, run: str, run_key: str) -> None:
        self._run = run
        self._run_key = run_key
        self.last: PolicyAnnouncement | None = None
        """The last announcement that counts."""

    def read(self, record: Record) -> PolicyItem:
        """What the next record says."""
        last = self.last.policy if self.last else None
        content = counted(decode_policy(self._run, record), self._run_key, last)
        if isinstance(content, PolicyAnnouncement):
            self.last = content
        return PolicyItem(sequence=record.sequence, time=record.time, content=content)


async def read_log(
    broker: Broker, run: str, *, first: int = 1, last: int | None = None
) -> AsyncIterator[LogItem]:
    """LOG from `first` to `last` (None: to its end as of the call).

    Raises:
        BrokerError: there is no such stream.
    """
    async for record in broker.read(names.log_stream(run), first=first, last=last):
        yield log_item(run, record)


async def read_policies(
    broker: Broker, run: str, run_key: str, *, last: int | None = None
) -> AsyncIterator[PolicyItem]:
    """POLICIES to `last` (None: to its end as of the call).

    Raises:
        BrokerError: there is no such stream.
    """
    reader = PolicyReader(run, run_key)
    async for record in broker.read(names.policies_stream(run), last=last):
        yield reader.read(record)


async def follow_policies(broker: Broker, run: str, run_key: str) -> AsyncIterator[PolicyItem]:
    """POLICIES from its first record on, for ever.

    Raises:
        BrokerError: there is no such stream.
    """
    reader = PolicyReader(run, run_key)
    async for record in broker.follow(names.policies_stream(run)):
        yield reader.read(record)


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
