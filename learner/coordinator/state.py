"""The coordinator's state: a fold of LOG, and nothing else.

`RunState.apply` takes ledger entries and batches in the order of the log. Two coordinators that
have folded the same log are in the same state, so a restart loses nothing. Applying an event twice
changes nothing the second time.
"""

from collections import Counter, defaultdict
from typing import NamedTuple

import msgspec

from broker.interface import Record
from learner.coordinator.advantages import has_signal
from learner.coordinator.ended import EndedLeases, LeaseEnd
from learner.coordinator.purges import Purges
from learner.coordinator.sequences import Sequences
from schemas import ledger
from schemas.batch import Batch
from schemas.verdict import Outcome

REMEMBERED_VERDICTS = 65_536
"""A redelivered message is one of the last `max_ack_pending` that were judged, far fewer."""


class LastRequest(NamedTuple):
    """The last request of an actor that was given leases."""

    request_id: str
    lease_ids: tuple[int, ...]
    """Those that were open when the last of them was issued."""
    deadline: float
    """Of the last of them, in Unix seconds."""


class RunState(msgspec.Struct, kw_only=True):
    """Everything that the coordinator decides from, save what is announced and the clock."""

    opened: ledger.RunOpened | None = None

    open_leases: dict[int, ledger.LeaseIssued] = {}
    ended_leases: EndedLeases = msgspec.field(default_factory=EndedLeases)
    num_issued: int = 0
    last_requests: dict[str, LastRequest] = {}
    """By actor: the same request gets the same leases."""
    answered: Counter[str] = msgspec.field(default_factory=Counter)
    """By actor: leases that ended by an answer, whether it was accepted or refused."""
    unanswered: Counter[str] = msgspec.field(default_factory=Counter)
    """By actor: leases that expired or were given back, less those fulfilled since; at least 0."""

    verdicts: dict[tuple[str, int], str] = {}
    """(stream, sequence) -> sha256 of the latest judged messages."""
    judged: defaultdict[str, Sequences] = msgspec.field(
        default_factory=lambda: defaultdict(Sequences)
    )
    """By stream: what has a verdict."""
    purges: Purges = msgspec.field(default_factory=Purges)
    num_judged: Counter[str] = msgspec.field(default_factory=Counter)
    """By outcome, or reason of a rejection."""
    num_samples: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """Kept refused messages by (actor, reason)."""

    changes: Counter[str] = msgspec.field(default_factory=Counter)
    """By actor: how often it was cut off and let in again, both counted."""

    waiting: dict[int, ledger.GroupAccepted] = {}
    """Accepted groups with signal that no batch has taken, by lease, in order of acceptance."""
    without_signal: Counter[str] = msgspec.field(default_factory=Counter)
    """By actor: accepted groups without signal since anybody's last one with signal."""

    last_step: int = 0
    last_batch_sha256: str | None = None
    num_rows: int = 0
    """In all cut batches."""

    @property
    def next_step(self) -> int:
        return self.last_step + 1

    def is_cut_off(self, actor: str) -> bool:
        return self.changes[actor] % 2 == 1

    def is_settled(self, record: Record, sha256: str) -> bool:
        """True when a message has its verdict or was purged: it gets no verdict any more."""
        judged = self.verdicts.get((record.stream, record.sequence)) == sha256
        return judged or self.purges.took(record)

    def apply_entry(self, entry: ledger.LedgerEntry) -> None:
        """Fold one ledger entry."""
        for event in entry.events:
            self._apply(event)

    def apply_batch(self, batch: Batch, sha256: str) -> None:
        """Fold one batch; `sha256` is of its wire bytes."""
        if batch.step > self.last_step:
            for row in batch.rows:
                del self.waiting[row.lease_id]
            self.num_rows += len(batch.rows)
            self.last_step = batch.step
            self.last_batch_sha256 = sha256

    def _apply(self, event: ledger.LedgerEvent) -> None:
        match event:
            case ledger.RunOpened():
                self.opened = self.opened or event
            case ledger.CoordinatorStarted():
                pass
            case ledger.LeaseIssued(lease=lease):
                self._issue(event, lease.lease_id, lease.actor)
            case ledger.LeaseExpired(lease_id=lease_id):
                self._end(lease_id, LeaseEnd.EXPIRED)
            case ledger.LeaseAbandoned(lease_id=lease_id):
                self._end(lease_id, LeaseEnd.ABANDONED)
            case ledger.GroupAccepted():
                self._accept(event)
            case ledger.GroupRefused():
                self._refuse(event)
            case ledger.GroupsDropped(lease_ids=lease_ids):
                for lease_id in lease_ids:
                    self.waiting.pop(lease_id, None)
            case ledger.ActorCutOff() | ledger.ActorLetIn():
                self._change(event.actor, event.change)
            case ledger.PurgeBegun() | ledger.MessagesPurged() | ledger.RunRestored():
                self.purges.apply(event)

    def _change(self, actor: str, change: int) -> None:
        if change == self.changes[actor]:
            self.changes[actor] += 1

    def _issue(self, event: ledger.LeaseIssued, lease_id: int, actor: str) -> None:
        if lease_id < self.num_issued:
            return
        self.open_leases[lease_id] = event
        self.num_issued += 1
        last = self.last_requests.get(actor)
        same = last is not None and last.request_id == event.request_id
        earlier = last.lease_ids if last is not None and same else ()
        still_open = (one for one in (*earlier, lease_id) if one in self.open_leases)
        self.last_requests[actor] = LastRequest(
            event.request_id, tuple(still_open), event.lease.deadline
        )

    def _end(self, lease_id: int, end: LeaseEnd) -> None:
        issued = self.open_leases.pop(lease_id, None)
        if issued is None:
            return
        actor = issued.lease.actor
        self.ended_leases.add(lease_id, end, actor)
        if end in (LeaseEnd.EXPIRED, LeaseEnd.ABANDONED):
            self.unanswered[actor] += 1
            return
        self.answered[actor] += 1
        # A refused answer costs nothing to make, so it makes up for nothing.
        if end is LeaseEnd.FULFILLED and self.unanswered[actor]:
            self.unanswered[actor] -= 1

    def _accept(self, event: ledger.GroupAccepted) -> None:
        if not self._judge(event.stream, event.sequence, event.sha256, Outcome.ACCEPTED):
            return
        self._end(event.lease_id, LeaseEnd.FULFILLED)
        if has_signal(event.rewards):
            self.waiting[event.lease_id] = event
            self.without_signal.clear()
        else:
            self.without_signal[event.actor] += 1

    def _refuse(self, event: ledger.GroupRefused) -> None:
        what = event.reason or event.outcome
        if not self._judge(event.stream, event.sequence, event.sha256, what):
            return
        if event.closes_lease and event.lease_id is not None:
            self._end(event.lease_id, LeaseEnd.REFUSED)
        if event.sample_kept:
            self.num_samples[event.actor, what] += 1

    def _judge(self, stream: str, sequence: int, sha256: str, what: str) -> bool:
        """Remember a verdict; False when this very message has one already."""
        if self.verdicts.get((stream, sequence)) == sha256:
            return False
        self.verdicts[stream, sequence] = sha256
        if len(self.verdicts) > REMEMBERED_VERDICTS:
            del self.verdicts[next(iter(self.verdicts))]
        self.judged[stream].add(sequence)
        self.num_judged[what] += 1
        return True
