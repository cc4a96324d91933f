"""What can be seen of a run from outside: a fold of its logs and heartbeats.

consumes   steps and records of both logs (`learner.metrics_file`), heartbeats
produces   the view that the screen shows, and a wake-up after every change
waits for  nothing; others wait on it with `until`
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from broker.changes import Changes
from broker.interface import Broker
from broker.logbook import LogItem, PolicyItem
from learner.deeds import Deeds
from learner.metrics import StepFigures
from schemas import ledger, names
from schemas.errors import Rejected
from schemas.heartbeat import Heartbeat, State
from schemas.verdict import Outcome
from schemas.wire import decode

_MAX_HEARTBEAT_BYTES: Final = 4 << 10
_MAX_SENDERS: Final = 64
"""Heartbeats are words of strangers: more senders than this are not looked at."""
_SILENT_S: Final = 5.0


class Seen(Struct, frozen=True, kw_only=True):
    """The last heartbeat of somebody."""

    heartbeat: Heartbeat
    at: float
    """Monotonic seconds."""


class Watch:
    """The run as it is known here at this moment."""

    def __init__(self, num_steps: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.num_steps = num_steps
        self.steps: list[StepFigures] = []
        self.seen: dict[str, Seen] = {}
        self.accepted: Counter[str] = Counter()
        """Groups by actor."""
        self.refused: dict[str, Counter[str]] = {}
        """By actor: messages by reason."""
        self.deeds = Deeds()
        self._clock = clock
        self._changes = Changes()

    @property
    def step(self) -> int:
        """The last step that has a policy."""
        return self.steps[-1].step if self.steps else 0

    def state_of(self, who: str) -> State | None:
        """What somebody says it does; None when it has said nothing for a while."""
        seen = self.seen.get(who)
        if seen is None or self._clock() - seen.at > _SILENT_S:
            return None
        return seen.heartbeat.state

    def take_step(self, figures: StepFigures) -> None:
        self.steps.append(figures)
        self._changes.notify()

    def take_item(self, item: LogItem | PolicyItem) -> None:
        """Enter a record of one of the logs, and count verdicts per actor."""
        self.deeds.add(item)
        if isinstance(item.content, ledger.LedgerEntry):
            for event in item.content.events:
                self._count(event)
        self._changes.notify()

    def _count(self, event: ledger.LedgerEvent) -> None:
        match event:
            case ledger.GroupAccepted(actor=actor):
                self.accepted[actor] += 1
            case ledger.GroupRefused(actor=actor, outcome=outcome, reason=reason):
                why = reason if outcome is Outcome.REJECTED else outcome
                self.refused.setdefault(actor, Counter())[str(why)] += 1

    def take_heartbeat(self, subject: str, data: bytes) -> None:
        """Take a heartbeat, if it is one and is of whom its subject says."""
        try:
            heartbeat = decode(data, Heartbeat, max_wire_bytes=_MAX_HEARTBEAT_BYTES)
        except Rejected:
            return
        who = names.last_token(subject)
        if heartbeat.who != who or (who not in self.seen and len(self.seen) >= _MAX_SENDERS):
            return
        self.seen[who] = Seen(heartbeat=heartbeat, at=self._clock())
        self._changes.notify()

    async def listen(self, broker: Broker, run: str) -> None:
        """Take every heartbeat of the run, until the connection closes."""
        async for subject, data in broker.listen(names.heartbeats_filter(run)):
            self.take_heartbeat(subject, data)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; it is looked at after every change."""
        await self._changes.until(condition)

    async def change(self, *, timeout_s: float) -> None:
        """Wait for the next change, or until the time is over."""
        await self._changes.next(timeout_s=timeout_s)


def who_waits(watch: Watch) -> str:
    """Who waits for whom, in words."""
    trainer, coordinator = watch.state_of(names.TRAINER), watch.state_of(names.COORDINATOR)
    if trainer is None or coordinator is None:
        away = [
            who
            for who, state in ((names.COORDINATOR, coordinator), (names.TRAINER, trainer))
            if state is None
        ]
        return f"no word of the {' and the '.join(away)}"
    if coordinator is State.FINISHED:
        return "nobody: the last batch is cut"
    if trainer is State.WAITING_FOR_BATCH and coordinator is State.WAITING_FOR_GROUPS:
        groups = watch.seen[names.COORDINATOR].heartbeat.waiting_for
        return f"trainer and coordinator wait for the actors: {groups}"
    if coordinator is State.WAITING_FOR_GROUPS:
        return "trainer trains; coordinator waits for the actors"
    if coordinator is State.WAITING_FOR_POLICY:
        return "batches are ready; coordinator and actors wait for the trainer"
    return f"trainer: {trainer}; coordinator: {coordinator}"
