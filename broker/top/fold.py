"""What the two logs say, by actor: a fold. Pure.

consumes   records of LOG and POLICIES, each log in its order; what heartbeats were heard; the
           states of the queues
produces   a view, as of any moment
waits for  nothing
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from broker.heard import Heard
from broker.interface import StreamState
from broker.logbook import LogItem, PolicyItem
from broker.removed import Removals
from broker.top.actor import NO_BADGE, Actor
from broker.top.course import Course
from broker.top.view import ActorView, Badge, HeadView, Judged, QueueView
from schemas import ledger, names
from schemas.batch import Batch, staleness
from schemas.policy import PolicyAnnouncement

_MAX_STRANGERS: Final = 1000
"""Rows for who had no lease: in the subject of a message anybody may write any name."""


class _Issued(NamedTuple):
    """A lease that is open."""

    time: float
    actor: str


class Fold:
    """The run as the log knows it."""

    def __init__(self, run: str) -> None:
        self.course = Course(run)
        self.last_log = 0
        """Sequence of the last record of LOG that was folded."""
        self.last_policies = 0
        self._actors: dict[str, Actor] = {}
        self._open: dict[int, _Issued] = {}
        self._waiting: set[int] = set()
        """Leases of accepted groups with signal that no batch has taken."""
        self._removals = Removals()
        self._num_strangers = 0
        """Rows of who had no lease when they were made."""
        self.num_unlisted = 0
        """Messages by who has no row, since too many such have one."""

    def add_log(self, item: LogItem) -> None:
        """Fold the next record of LOG; one that was folded before changes nothing."""
        if item.sequence <= self.last_log:
            return
        self.last_log = item.sequence
        match item.content:
            case ledger.LedgerEntry(events=events):
                for event in events:
                    self._add_event(item.time, event)
            case Batch() as batch:
                self._cut(batch)

    def add_policy(self, item: PolicyItem) -> None:
        """Fold the next record of POLICIES; one that was folded before changes nothing."""
        if item.sequence <= self.last_policies:
            return
        self.last_policies = item.sequence
        if isinstance(item.content, PolicyAnnouncement):
            self.course.policy = item.content.policy

    def count_queues(self, states: Sequence[StreamState]) -> None:
        """Take what the run's queues hold."""
        bounds = [state.max_bytes for state in states]
        self.course.queue = QueueView(
            num_messages=sum(state.num_messages for state in states),
            num_bytes=sum(state.num_bytes for state in states),
            max_bytes=-1 if min(bounds, default=-1) < 0 else sum(bounds),
            num_in_hand=sum(state.num_ack_pending for state in states),
            oldest_time=min(
                (state.first_time for state in states if state.first_time is not None), default=None
            ),
        )

    def head(self, heard: Heard, now: float) -> HeadView:
        """The run as a whole."""
        return self.course.view(
            heard, now, num_waiting=len(self._waiting), num_open_leases=len(self._open)
        )

    def actors(self, heard: Heard, badges: Mapping[str, Badge], now: float) -> list[ActorView]:
        """Everybody that the log or a heartbeat names, in no order."""
        rowless = heard.seen.keys() - self._actors.keys() - {names.COORDINATOR, names.TRAINER}
        return [
            actor.view(heard, badges.get(actor.actor, NO_BADGE), now)
            for actor in (*self._actors.values(), *map(Actor, rowless))
        ]

    @property
    def holders(self) -> set[str]:
        """Actors that have an open lease."""
        return {issued.actor for issued in self._open.values()}

    def judged(self, actor: str) -> list[Judged]:
        """The last verdicts on an actor's messages, the newest first."""
        found = self._actors.get(actor)
        return found.judged(self.course.run) if found else []

    def _add_event(self, time: float, event: ledger.LedgerEvent) -> None:
        match event:
            case ledger.RunOpened():
                self.course.opened = event
            case ledger.LeaseIssued(lease=lease):
                self._open[lease.lease_id] = _Issued(time, lease.actor)
                if lease.actor not in self._actors:
                    self._actors[lease.actor] = Actor(lease.actor)
                self._actors[lease.actor].num_open_leases += 1
            case ledger.LeaseExpired(lease_id=lease_id) | ledger.LeaseAbandoned(lease_id=lease_id):
                self._close(lease_id)
            case ledger.GroupAccepted() | ledger.GroupRefused():
                self._judge(time, event)
            case ledger.GroupsDropped(lease_ids=lease_ids):
                self._waiting.difference_update(lease_ids)
            case ledger.PurgeBegun() | ledger.MessagesPurged():
                self._purge(event)

    def _purge(self, event: ledger.PurgeBegun | ledger.MessagesPurged) -> None:
        if removed := self._removals.enter(event):
            self.course.num_purged += removed.num_messages
            if removed.actor and (actor := self._row_of(removed.actor, removed.num_messages)):
                actor.num_purged += removed.num_messages

    def _judge(self, time: float, event: ledger.VerdictEvent) -> None:
        self.course.judge(time, event)
        issued = None if event.lease_id is None else self._open.get(event.lease_id)
        if isinstance(event, ledger.GroupAccepted):
            self._close(event.lease_id)
            if len(set(event.rewards)) > 1:
                self._waiting.add(event.lease_id)
        elif event.closes_lease and event.lease_id is not None:
            self._close(event.lease_id)
        is_own = issued is not None and issued.actor == event.actor
        if actor := self._row_of(event.actor):
            actor.judge(time, event, issued.time if issued and is_own else None)

    def _row_of(self, sender: str, num_messages: int = 1) -> Actor | None:
        """The row of who sent messages, which may be anybody."""
        if sender not in self._actors:
            if self._num_strangers == _MAX_STRANGERS:
                self.num_unlisted += num_messages
                return None
            self._num_strangers += 1
            self._actors[sender] = Actor(sender)
        return self._actors[sender]

    def _close(self, lease_id: int) -> None:
        if issued := self._open.pop(lease_id, None):
            self._actors[issued.actor].num_open_leases -= 1

    def _cut(self, batch: Batch) -> None:
        self.course.cut(batch)
        for row in batch.rows:
            self._waiting.discard(row.lease_id)
            if actor := self._actors.get(row.actor):
                actor.staleness.append(staleness(batch.step, row.policy.version))
