"""Who did what when, as the two logs say it, and who is back at work after a kill. A fold; pure.

One definition of being back at work, for the screen and the report:

    actor           the first verdict on a group that a process of it started since was leased
    coordinator     the first lease, verdict or batch by an instance of it started since
    trainer         the first policy announced by an instance of it started since
    nats-server     the first record stored since in either log
    object storage  the first thing since that cannot be had without it: an accepted group, a policy
"""

import bisect
from typing import Final, NamedTuple

from broker.logbook import LogItem, PolicyItem
from broker.tally import verdict_name
from schemas import ledger, names
from schemas.batch import Batch
from schemas.policy import PolicyAnnouncement
from schemas.trainer_events import TrainerEntry, TrainerStarted
from schemas.verdict import Outcome

NATS: Final = "nats-server"
S3: Final = "seaweedfs"
START: Final = "start"
LEASE: Final = "lease"
BATCH: Final = "batch"
POLICY: Final = "policy"
_STORED: Final = (POLICY, Outcome.ACCEPTED)
"""What has bytes in object storage."""

_LAST_BREATH_S = 0.1
"""A killed server may still have stored what it had in hand; none starts as fast."""


class Mark(NamedTuple):
    """Something that happened at a moment."""

    time: float
    """Unix seconds on the broker's clock."""
    who: str
    """Actor id, coordinator or trainer."""
    what: str
    """START, LEASE, BATCH, POLICY, or a verdict by its name."""
    instance: str
    """Of the process whose work it is: for a verdict, the one that its lease was given to."""


class Deeds:
    """Takes items of both logs, each log in its order."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []
        """In the order of their times."""
        self._instances: dict[str, str] = {}
        """By actor: of the process that was last given a lease."""
        self._holders: dict[int, str] = {}
        """By lease: the process that it was given to."""

    def add(self, item: LogItem | PolicyItem) -> None:
        """Enter the next record of one of the logs."""
        time = item.time
        match item.content:
            case Batch(instance=instance):
                self._add(Mark(time, names.COORDINATOR, BATCH, instance))
            case ledger.LedgerEntry(events=events):
                for event in events:
                    self._add_event(time, event)
            case PolicyAnnouncement(instance=instance):
                self._add(Mark(time, names.TRAINER, POLICY, instance))
            case TrainerEntry(event=TrainerStarted(instance=instance)):
                self._add(Mark(time, names.TRAINER, START, instance))

    def back_at_work(self, who: str, killed: float) -> float | None:
        """When somebody was back who was killed at that time; None while he is not."""
        if who in (NATS, S3):
            after = self._after(killed + _LAST_BREATH_S)
            return next((mark.time for mark in after if who == NATS or mark.what in _STORED), None)
        after = self._after(killed)
        lives: set[str] = set()
        for mark in after:
            if mark.who == who and mark.what == START:
                lives.add(mark.instance)
            elif lives and _is_work_of(who, mark, lives):
                return mark.time
        return None

    def _add_event(self, time: float, event: ledger.LedgerEvent) -> None:
        match event:
            case ledger.CoordinatorStarted(instance=instance):
                self._add(Mark(time, names.COORDINATOR, START, instance))
            case ledger.LeaseIssued(lease=lease, instance=instance):
                # An actor is seen to start when a process of it that was not there gets a lease.
                if self._instances.get(lease.actor) != instance:
                    self._instances[lease.actor] = instance
                    self._add(Mark(time, lease.actor, START, instance))
                self._holders[lease.lease_id] = instance
                self._add(Mark(time, lease.actor, LEASE, instance))
            case ledger.GroupAccepted() | ledger.GroupRefused():
                holder = "" if event.lease_id is None else self._holders.get(event.lease_id, "")
                self._add(Mark(time, event.actor, verdict_name(event), holder))

    def _after(self, time: float) -> list[Mark]:
        return self.marks[bisect.bisect_right(self.marks, time, key=_time) :]

    def _add(self, mark: Mark) -> None:
        # Nearly always the end: only where one log is read after the other is there work to do.
        bisect.insort(self.marks, mark, key=_time)


def _time(mark: Mark) -> float:
    return mark.time


def _is_work_of(who: str, mark: Mark, lives: set[str]) -> bool:
    """The mark is work of somebody, `lives` being his processes since he was killed."""
    if who == names.COORDINATOR:
        # Since its start the log is its own: every lease, verdict and batch in it.
        return mark.what not in (START, POLICY)
    if who == names.TRAINER:
        return mark.what == POLICY
    return mark.who == who and mark.instance in lives and mark.what not in (START, LEASE)
