"""What can be seen of a run from outside: a fold of its logs and heartbeats.

consumes   steps and records of both logs (`learner.metrics_file`), heartbeats
produces   the view that the screen shows, and a wake-up after every change
waits for  nothing; others wait on it with `until`
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from broker.changes import Changes
from broker.heard import Heard, Seen
from broker.interface import Broker
from broker.logbook import LogItem, PolicyItem
from learner.deeds import Deeds
from learner.metrics import StepFigures
from schemas import ledger, names
from schemas.heartbeat import State
from schemas.verdict import Outcome

_MAX_SENDERS: Final = 64
"""Of heartbeats: more than there are daemons in any demo."""


class Watch:
    """The run as it is known here at this moment."""

    def __init__(self, num_steps: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.num_steps = num_steps
        self.steps: list[StepFigures] = []
        self.heard = Heard(max_senders=_MAX_SENDERS, clock=clock)
        self.accepted: Counter[str] = Counter()
        """Groups by actor."""
        self.refused: dict[str, Counter[str]] = {}
        """By actor: messages by reason."""
        self.deeds = Deeds()
        self._changes = Changes()

    @property
    def step(self) -> int:
        """The last step that has a policy."""
        return self.steps[-1].step if self.steps else 0

    @property
    def seen(self) -> dict[str, Seen]:
        """The last heartbeats, by sender."""
        return self.heard.seen

    def state_of(self, who: str) -> State | None:
        """What somebody says it does; None when it has said nothing for a while."""
        return self.heard.state_of(who)

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
        if self.heard.take(subject, data):
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
