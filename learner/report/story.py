"""Everything that the report shows, gathered in one pass over both logs. Pure.

The bookkeeping is `broker.tally`'s, the rows are `learner.metrics`'s; what is added here is who did
something when.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct, field

from broker.logbook import LogItem, PolicyItem
from broker.tally import Judged, Tally, verdict_name
from learner.events import ActorNamed, Killed, RunEvent
from learner.metrics import MetricsFold, StepRow
from schemas import ledger, names
from schemas.batch import Batch
from schemas.policy import PolicyAnnouncement
from schemas.trainer_events import TrainerEntry, TrainerStarted


class Mark(NamedTuple):
    """Something that happened at a moment."""

    time: float
    """Unix seconds on the broker's clock."""
    who: str
    """Actor id, coordinator or trainer."""
    what: str
    """`start`, `batch`, `policy`, or a verdict by its name."""


class Story(Struct, kw_only=True):
    """One run, as its logs and the events from outside tell it."""

    tally: Tally = field(default_factory=Tally)
    rows: list[StepRow] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    """In the order of each log."""
    opened_time: float = 0.0
    events: Sequence[RunEvent] = ()

    @property
    def opened(self) -> ledger.RunOpened:
        assert self.tally.opened is not None, "a story is told of an opened run"
        return self.tally.opened

    @property
    def actors(self) -> list[str]:
        """Everybody who was given a lease or sent a message; those that were named come first."""
        named = [each.actor for each in self.events if isinstance(each, ActorNamed)]
        seen = sorted(
            {lease.actor for lease in self.tally.leases.values()}
            | {event.actor for judged in self.tally.judged.values() for event in judged}
        )
        return [actor for actor in named if actor in seen] + [a for a in seen if a not in named]

    def name(self, actor: str) -> str:
        """What people call an actor: its name, or the end of its id."""
        for each in self.events:
            if isinstance(each, ActorNamed) and each.actor == actor:
                return each.name
        return actor if len(actor) <= 12 else f"…{actor[-8:]}"

    def is_liar(self, actor: str) -> bool:
        """It was made to lie by whoever ran it."""
        return any(
            isinstance(each, ActorNamed) and each.actor == actor and not each.honest
            for each in self.events
        )

    def back_at_work(self, kill: Killed) -> float | None:
        """When the next life of whom it struck had its first effect; None when it had none.

        For a process that writes no log of its own that is the next effect of anybody.
        """
        own = [mark for mark in self.marks if self.name(mark.who) == kill.who]
        starts = [mark.time for mark in own if mark.what == "start" and mark.time > kill.time]
        if own and not starts:
            return None
        since = min(starts) if own else kill.time
        effects = [mark.time for mark in own or self.marks if mark.what != "start"]
        return min((time for time in effects if time > since), default=None)

    def seconds(self, time: float) -> float:
        """Since the run was opened."""
        return time - self.opened_time

    def step_at(self, time: float) -> float:
        """The last step whose batch was cut by then; 0 before the first."""
        return max((row.step for row in self.rows if row.cut_time <= time), default=0)


def tell(
    log: Iterable[LogItem], policies: Iterable[PolicyItem], outside: Sequence[RunEvent] = ()
) -> Story:
    """The story of two whole logs."""
    story, fold, instances = Story(events=outside), MetricsFold(), {}
    for item in log:
        story.tally.add(item)
        story.rows += fold.add_log(item)
        story.opened_time = story.opened_time or item.time
        match item.content:
            case Batch():
                story.marks.append(Mark(item.time, names.COORDINATOR, "batch"))
            case ledger.LedgerEntry(events=entries):
                for event in entries:
                    story.marks += _marks(event, item.time, instances)
    for item in policies:
        story.rows += fold.add_policy(item)
        match item.content:
            case PolicyAnnouncement():
                story.marks.append(Mark(item.time, names.TRAINER, "policy"))
            case TrainerEntry(event=TrainerStarted()):
                story.marks.append(Mark(item.time, names.TRAINER, "start"))
    return story


def _marks(event: ledger.LedgerEvent, time: float, instances: dict[str, str]) -> list[Mark]:
    match event:
        case ledger.CoordinatorStarted():
            return [Mark(time, names.COORDINATOR, "start")]
        case ledger.LeaseIssued(lease=lease, instance=instance):
            # An actor is seen to start when a process of it that was not there gets a lease.
            if instances.get(lease.actor) != instance:
                instances[lease.actor] = instance
                return [Mark(time, lease.actor, "start")]
        case ledger.GroupAccepted() | ledger.GroupRefused():
            return [Mark(time, event.actor, verdict_name(event))]
    return []


def verdicts_of(story: Story, actor: str) -> list[Judged]:
    """All verdicts on an actor's messages, in the order of the log's streams."""
    judged = story.tally.judged.values()
    return [event for verdicts in judged for event in verdicts if event.actor == actor]
