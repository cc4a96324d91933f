"""Everything that the report shows, gathered in one pass over both logs. Pure.

The bookkeeping is `broker.tally`'s, the figures of the steps are `learner.metrics`'s, who did what
when is `learner.deeds`'s.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from broker.logbook import LogItem, PolicyItem
from broker.purged import purge_name
from broker.tally import Tally
from learner.deeds import Deeds
from learner.events import ActorNamed, Killed, RunEvent
from learner.metrics import MetricsFold, StepFigures
from schemas import ledger, names
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.trainer_events import IncarnationStarted, TrainerEntry, TrainerStarted


class Story(Struct, kw_only=True):
    """One run, as its logs and the events from outside tell it."""

    tally: Tally = field(default_factory=Tally)
    steps: list[StepFigures] = field(default_factory=list)
    deeds: Deeds = field(default_factory=Deeds)
    incarnations: list[IncarnationStarted] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    """Of coordinators and trainers, each once."""
    last_policy: PolicyId | None = None
    """What the last step made; None without one."""
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
            | {event.actor for event in self.verdicts}
            | self.purged.keys()
        )
        return [actor for actor in named if actor in seen] + [a for a in seen if a not in named]

    @property
    def verdicts(self) -> list[ledger.VerdictEvent]:
        """On all messages, in the order of the log's streams."""
        return [event for judged in self.tally.judged.values() for event in judged]

    @property
    def purged(self) -> dict[str, Counter[str]]:
        """Messages by reason that were purged of one actor, where a purge was of one."""
        found: dict[str, Counter[str]] = {}
        for number, event in self.tally.purged.told.items():
            begun = self.tally.purged.begun.get(number)
            actor = names.last_token(begun.subject) if begun else "*"
            if actor != "*" and event.num_messages:
                counts = found.setdefault(actor, Counter())
                counts[purge_name(event.reason)] += event.num_messages
        return found

    @property
    def kills(self) -> list[Killed]:
        """In their order: their numbers in the pictures are places in this list, from 1."""
        return [each for each in self.events if isinstance(each, Killed)]

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
        """When whom it struck was back, as `learner.deeds` defines it; None when he never was."""
        ids = {self.name(actor): actor for actor in self.actors}
        return self.deeds.back_at_work(ids.get(kill.who, kill.who), kill.time)

    def seconds(self, time: float) -> float:
        """Since the run was opened."""
        return time - self.opened_time


def tell(
    log: Iterable[LogItem], policies: Iterable[PolicyItem], outside: Sequence[RunEvent] = ()
) -> Story:
    """The story of two whole logs."""
    story, fold = Story(events=outside), MetricsFold()
    for item in log:
        story.tally.add(item)
        story.deeds.add(item)
        story.steps += fold.add_log(item)
        story.opened_time = story.opened_time or item.time
        if isinstance(item.content, ledger.LedgerEntry):
            for event in item.content.events:
                if isinstance(event, ledger.CoordinatorStarted):
                    _add_host(story, event.host)
    for item in policies:
        story.deeds.add(item)
        completed = fold.add_policy(item)
        story.steps += completed
        match item.content:
            case TrainerEntry(event=IncarnationStarted() as started):
                story.incarnations.append(started)
            case TrainerEntry(event=TrainerStarted(host=host)):
                _add_host(story, host)
            case PolicyAnnouncement(policy=policy) if completed:
                story.last_policy = policy
    return story


def _add_host(story: Story, host: str) -> None:
    if host not in story.hosts:
        story.hosts.append(host)
