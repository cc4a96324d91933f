"""Groups in, verdicts out: the loops of one shard.

    consumes   deliveries of one shard's queue
    produces   archive segment, ledger entry, ack, word to the actor; in this order
    waits for  messages, the workers, object storage, the log

| loop | takes | gives |
|---|---|---|
| `_judge` | what one pull brings: a round | the round, judged side by side |
| `_archive` | a judged round | its segment |
| `_enter` | an archived round | verdicts, acks, word to the actors |
| `_judge_aside` | one message of a suspect | all of the above, for it alone |
| `hand.keep` | all that is in hand | a restart of its ack wait |

The loops run side by side, so that one round is pulled while others are judged, archived and
entered; rounds stay in order. What is in hand at once is bounded by the queue's `max_ack_pending`.
Nothing leaves the queue without a verdict in the ledger.
"""

import asyncio
from collections.abc import Coroutine

from broker.interface import Broker
from broker.objects.archive import Archive
from learner.coordinator.bell import Bell
from learner.coordinator.case import Case
from learner.coordinator.hand import Hand
from learner.coordinator.judging import Judging, Workers
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import RunLog
from learner.coordinator.round_writer import Archived, RoundWriter
from learner.coordinator.suspects import Suspects
from schemas import names

_BETWEEN = 1
"""Rounds between one loop and the next."""


class Intake:
    """Judges one shard."""

    def __init__(
        self,
        broker: Broker,
        archive: Archive,
        log: RunLog,
        known: KnownPolicies,
        workers: Workers,
        shard: str,
        bell: Bell,
    ) -> None:
        assert log.state.opened is not None
        settings = log.state.opened.settings
        stream = names.rollouts_stream(settings.name, shard)
        max_messages = settings.intake.fetch_groups
        self.hand = Hand(broker, stream, names.intake_consumer(shard), max_messages)
        self._suspects = Suspects()
        self.judging = Judging(log, known, workers, self._suspects)
        self.writer = RoundWriter(broker, archive, log, known, self.hand, bell)

        self._judged: asyncio.Queue[list[Case]] = asyncio.Queue(_BETWEEN)
        self._archived: asyncio.Queue[Archived] = asyncio.Queue(_BETWEEN)

    def loops(self) -> list[Coroutine[None, None, None]]:
        """What is to run, for ever and side by side."""
        return [
            self._judge(),
            self._archive(),
            self._enter(),
            self._judge_aside(),
            self.hand.keep(),
        ]

    async def _judge(self) -> None:
        pulling = asyncio.create_task(self.hand.pull())
        try:
            while True:
                deliveries = await pulling
                pulling = asyncio.create_task(self.hand.pull())
                await self._suspects.room()
                await self._judged.put(await self.judging.judge(deliveries))
        finally:
            pulling.cancel()

    async def _archive(self) -> None:
        while True:
            await self._archived.put(await self.writer.archive(await self._judged.get()))

    async def _enter(self) -> None:
        while True:
            await self.writer.enter(await self._archived.get())

    async def _judge_aside(self) -> None:
        while True:
            await self.judge_suspect()

    async def judge_suspect(self) -> None:
        """Judge and write one message that was set aside; waits for one.

        Raises:
            StoreDenied, Fenced: as `RoundWriter.write`.
        """
        actor, delivery = await self._suspects.take()
        case = await self.judging.judge_alone(delivery)
        await self.writer.write([case])
        self._suspects.settle(actor, delivery, case.finding)
