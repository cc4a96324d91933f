"""What LOG says became of every lease, message and group: plain bookkeeping, in one pass.

Shares no code with the coordinator's own fold, because the audit checks that one by this one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, field

from broker.logbook import LogItem, Unreadable
from broker.purged import Purged
from schemas import ledger
from schemas.batch import Batch, Row
from schemas.lease import Lease
from schemas.verdict import Outcome


class LeaseEnd(StrEnum):
    """How a lease ended."""

    FULFILLED = "fulfilled"
    REFUSED = "refused"
    EXPIRED = "expired"
    ABANDONED = "abandoned"


class LoggedBatch(NamedTuple):
    """A batch and where it stands."""

    log_sequence: int
    sha256: str
    batch: Batch


class Drop(NamedTuple):
    """A waiting group that was too old for a step."""

    step: int
    lease_id: int


class Tally(Struct, kw_only=True):
    """Everything that the log says, by what it is about. An event said twice counts once."""

    opened: ledger.RunOpened | None = None
    leases: dict[int, Lease] = field(default_factory=dict)
    ends: dict[int, list[LeaseEnd]] = field(default_factory=dict)
    """By lease. A sound log has at most one each, of leases that it issued."""
    judged: dict[tuple[str, int], list[ledger.VerdictEvent]] = field(default_factory=dict)
    """By stream and sequence; several where the stream gave a sequence again after a power loss."""
    purged: Purged = field(default_factory=Purged)
    accepted: list[ledger.GroupAccepted] = field(default_factory=list)
    accepted_at: dict[int, int] = field(default_factory=dict)
    """Lease -> sequence in LOG of the (first) acceptance."""
    drops: list[Drop] = field(default_factory=list)
    batches: list[LoggedBatch] = field(default_factory=list)
    not_restored: dict[str, int] = field(default_factory=dict)
    """Queue -> the last sequence that a restore of the run left behind: a message up to it that has
    no verdict is lost."""
    last_sequence: int = 0
    """Of LOG."""
    faults: list[str] = field(default_factory=list)
    """What makes no sense whatever else the log says: contradictions, unreadable records."""
    _said: dict[tuple[object, ...], ledger.LedgerEvent] = field(default_factory=dict)
    _writer: str = ""

    @property
    def open_leases(self) -> set[int]:
        return self.leases.keys() - self.ends.keys()

    @property
    def rows(self) -> Counter[int]:
        """Lease -> rows in all batches."""
        return Counter(row.lease_id for _, row in self.placed_rows())

    @property
    def without_signal(self) -> set[int]:
        """Leases of accepted groups whose rewards are all equal, so that all advantages are 0."""
        return {group.lease_id for group in self.accepted if len(set(group.rewards)) <= 1}

    @property
    def waiting(self) -> set[int]:
        """Leases of accepted groups that nothing has become of yet."""
        dropped = {drop.lease_id for drop in self.drops}
        accepted = {group.lease_id for group in self.accepted}
        return accepted - self.rows.keys() - self.without_signal - dropped

    def is_settled(self, stream: str, sequence: int) -> bool:
        """True when a message has a verdict, or was purged without one."""
        return (stream, sequence) in self.judged or (stream, sequence) in self.purged.by

    def left_behind(self, stream: str, sequence: int) -> bool:
        """True when a message was in a queue that was not restored, and nothing is said of it."""
        return 1 <= sequence <= self.not_restored.get(stream, 0) and not self.is_settled(
            stream, sequence
        )

    def placed_rows(self) -> Iterator[tuple[LoggedBatch, Row]]:
        """Every row with its batch."""
        for logged in self.batches:
            for row in logged.batch.rows:
                yield logged, row

    def add(self, item: LogItem) -> None:
        """Enter the next record of the log."""
        if item.sequence != self.last_sequence + 1:
            self.faults.append(f"LOG goes from sequence {self.last_sequence} to {item.sequence}")
        self.last_sequence = item.sequence
        match item.content:
            case Unreadable(detail=detail):
                self.faults.append(f"entry {item.sequence} of LOG cannot be read: {detail}")
            case Batch() as batch:
                self._check_writer(item.sequence, batch.instance)
                self.batches.append(LoggedBatch(item.sequence, item.sha256, batch))
            case ledger.LedgerEntry(instance=instance, events=events):
                if any(isinstance(event, _STARTS) for event in events):
                    self._writer = instance
                self._check_writer(item.sequence, instance)
                for event in events:
                    self._add_event(event, item.sequence)

    def _check_writer(self, sequence: int, instance: str) -> None:
        if instance != self._writer:
            self.faults.append(
                f"entry {sequence} of LOG is by {instance}, after {self._writer or 'nobody'} "
                "had taken over"
            )

    def _add_event(self, event: ledger.LedgerEvent, sequence: int) -> None:
        identity = _identity(event)
        if identity in self._said:
            if self._said[identity] != event:
                name = " ".join(str(part) for part in identity)
                self.faults.append(f"entry {sequence} of LOG contradicts an earlier one on {name}")
            return
        self._said[identity] = event
        self._enter(event, sequence)

    def _enter(self, event: ledger.LedgerEvent, sequence: int) -> None:
        match event:
            case ledger.RunOpened():
                self.opened = event
            case ledger.PurgeBegun() | ledger.MessagesPurged():
                self.faults.extend(self.purged.enter(event, self.judged))
            case ledger.RunRestored(queues=queues):
                self.not_restored |= {queue.stream: queue.last_sequence for queue in queues}
            case ledger.LeaseIssued(lease=lease):
                self.leases[lease.lease_id] = lease
            case ledger.LeaseExpired(lease_id=lease_id):
                self._end(lease_id, LeaseEnd.EXPIRED)
            case ledger.LeaseAbandoned(lease_id=lease_id):
                self._end(lease_id, LeaseEnd.ABANDONED)
            case ledger.GroupAccepted():
                self._judge(event)
                self.accepted.append(event)
                self.accepted_at.setdefault(event.lease_id, sequence)
                self._end(event.lease_id, LeaseEnd.FULFILLED)
            case ledger.GroupRefused():
                self._judge(event)
                if event.closes_lease and event.lease_id is not None:
                    self._end(event.lease_id, LeaseEnd.REFUSED)
            case ledger.GroupsDropped(step=step, lease_ids=lease_ids):
                self.drops.extend(Drop(step, lease_id) for lease_id in lease_ids)

    def _end(self, lease_id: int, end: LeaseEnd) -> None:
        self.ends.setdefault(lease_id, []).append(end)

    def _judge(self, event: ledger.VerdictEvent) -> None:
        self.judged.setdefault((event.stream, event.sequence), []).append(event)


def tally(items: Iterable[LogItem]) -> Tally:
    """Enter a whole log."""
    result = Tally()
    for item in items:
        result.add(item)
    return result


def verdict_name(event: ledger.VerdictEvent) -> str:
    """`accepted`, `late`, ...; a rejection by its reason."""
    if isinstance(event, ledger.GroupAccepted):
        return str(Outcome.ACCEPTED)
    return f"rejected({event.reason})" if event.outcome is Outcome.REJECTED else str(event.outcome)


def fates(log: Tally) -> Counter[str]:
    """All messages by what became of them: by verdict, or purged without one."""
    counts = log.purged.counts()
    counts.update(verdict_name(event) for events in log.judged.values() for event in events)
    return counts


_STARTS = (ledger.RunOpened, ledger.CoordinatorStarted, ledger.RunRestored)


def _identity(event: ledger.LedgerEvent) -> tuple[object, ...]:
    """What an event is about; two different events about the same thing contradict each other."""
    match event:
        case ledger.RunOpened():
            return ("the opening of the run",)
        case ledger.CoordinatorStarted(instance=instance):
            return ("the start of coordinator", instance)
        case ledger.RunRestored(instance=instance):
            return ("the restore", instance)
        case ledger.LeaseIssued(lease=lease):
            return ("the issue of lease", lease.lease_id)
        case ledger.LeaseExpired(lease_id=lease_id):
            return ("the expiry of lease", lease_id)
        case ledger.LeaseAbandoned(lease_id=lease_id):
            return ("the return of lease", lease_id)
        case ledger.GroupAccepted() | ledger.GroupRefused():
            return ("the verdict on", event.stream, event.sequence, event.sha256)
        case ledger.ActorCutOff() | ledger.ActorLetIn():
            return ("whether an actor is cut off:", event.actor, event.change)
        case ledger.PurgeBegun() | ledger.MessagesPurged():
            return ("purge", event.purge, type(event).__name__)
        case ledger.GroupsDropped(step=step, lease_ids=lease_ids):
            return ("the groups dropped at step", step, lease_ids)
