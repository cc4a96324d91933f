"""The trainer's pen: every write to POLICIES goes through here, fenced by its last sequence.

A write happens, is folded into the history, and only then returns.
"""

import os
import socket

import structlog

from broker import retry
from broker.interface import Broker, Record
from broker.logbook import PolicyContent, Unreadable, counted, decode_policy
from learner.trainer.history import History
from schemas.errors import Fenced
from schemas.names import policies_stream, policy_subject, trainer_subject
from schemas.policy import PolicyAnnouncement
from schemas.trainer_events import (
    IncarnationStarted,
    StepSkipped,
    TrainerEntry,
    TrainerStarted,
)
from schemas.wire import encode

logger = structlog.get_logger()


class PolicyLog:
    """Holds the history and the right to add to it."""

    def __init__(self, broker: Broker, run: str, run_key: str, instance: str) -> None:
        self._broker = broker
        self._run = run
        self._run_key = run_key
        self._stream = policies_stream(run)
        self.instance = instance
        self.history = History()

    async def take_over(self) -> None:
        """Fold the log, and write TrainerStarted.

        A conflict here means that the trainer before this one wrote its last word in the meantime:
        that is folded too, and the write is repeated.
        """
        started = TrainerStarted(instance=self.instance, host=socket.gethostname(), pid=os.getpid())
        while True:
            await retry.until_available()(self._fold)
            try:
                await self.write(started)
            except Fenced as conflict:
                logger.info("log-moved-at-start", expected=conflict.expected)
            else:
                return

    async def write(self, event: TrainerStarted | IncarnationStarted | StepSkipped) -> None:
        """Write one event.

        Raises:
            Fenced: another trainer has taken over.
        """
        entry = TrainerEntry(event=event)
        await self._append(trainer_subject(self._run), encode(entry))
        self.history.apply(entry)

    async def announce(self, announcement: PolicyAnnouncement) -> None:
        """Write one announcement.

        Raises:
            Fenced: another trainer has taken over.
        """
        await self._append(policy_subject(self._run), encode(announcement))
        self.history.apply(announcement)

    async def check_held(self) -> None:
        """Called before a write to object storage, which has no fence.

        Raises:
            Fenced: another trainer has taken over.
        """
        await retry.until_available()(self._check_held)

    async def _check_held(self) -> None:
        last = (await self._broker.state(self._stream)).last_sequence
        if last != self.history.last_sequence and not await self._pass_over():
            raise Fenced(self._stream, self.history.last_sequence)

    async def _append(self, subject: str, data: bytes) -> None:
        append = retry.until_available()
        self.history.last_sequence = await append(self._append_behind, subject, data)

    async def _append_behind(self, subject: str, data: bytes) -> int:
        while True:
            try:
                return await self._broker.append(
                    self._stream, subject, data, expected_last=self.history.last_sequence
                )
            except Fenced:
                if not await self._pass_over():
                    raise

    async def _pass_over(self) -> bool:
        """Move behind what follows our last record if no trainer wrote it; False if one did.

        Nothing moves before all of it is read: half of it folded would be half a fence.
        """
        first = self.history.last_sequence + 1
        found = [record async for record in self._broker.read(self._stream, first=first)]
        if not all(isinstance(self._content(record), Unreadable) for record in found):
            return False
        for record in found:
            self._fold_in(record)
        return bool(found)

    async def _fold(self) -> None:
        first = self.history.last_sequence + 1
        async for record in self._broker.read(self._stream, first=first):
            self._fold_in(record)

    def _fold_in(self, record: Record) -> None:
        content = self._content(record)
        if isinstance(content, Unreadable):
            logger.warning("not-by-the-trainer", sequence=record.sequence, why=content.detail)
        self.history.apply(content)
        self.history.last_sequence = record.sequence

    def _content(self, record: Record) -> PolicyContent:
        return counted(decode_policy(self._run, record), self._run_key, self.history.last)
