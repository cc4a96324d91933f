"""The trainer's pen: every write to POLICIES goes through here, fenced by its last sequence.

A write happens, is folded into the history, and only then returns.
"""

import os
import socket

import structlog

from broker.fenced_log import FencedLog
from broker.interface import Broker, Record
from broker.logbook import PolicyContent, Unreadable, counted, decode_policy
from learner.trainer.history import History
from schemas.names import policies_stream, policy_subject, trainer_subject
from schemas.policy import PolicyAnnouncement
from schemas.trainer_events import (
    IncarnationStarted,
    StepSkipped,
    TrainerEntry,
    TrainerStarted,
)
from schemas.wire import encode, encode_own

logger = structlog.get_logger()


class PolicyLog:
    """Holds the history and the right to add to it."""

    def __init__(self, broker: Broker, run: str, run_key: str, instance: str) -> None:
        self._run = run
        self._run_key = run_key
        self._log = FencedLog(
            broker, policies_stream(run), fold=self._fold, is_foreign=self._is_foreign
        )
        self.instance = instance
        self.history = History()

    async def take_over(self) -> None:
        """Fold the log, and write TrainerStarted."""
        started = TrainerStarted(instance=self.instance, host=socket.gethostname(), pid=os.getpid())
        await self._log.take_over(lambda: self.write(started))

    async def write(self, event: TrainerStarted | IncarnationStarted | StepSkipped) -> None:
        """Write one event.

        Raises:
            Fenced: another trainer has taken over.
        """
        entry = TrainerEntry(event=event)
        await self._log.append(trainer_subject(self._run), encode_own(entry))
        self.history.apply(entry)

    async def announce(self, announcement: PolicyAnnouncement) -> None:
        """Write one announcement.

        Raises:
            Fenced: another trainer has taken over.
        """
        await self._log.append(policy_subject(self._run), encode(announcement))
        self.history.apply(announcement)

    async def check_held(self) -> None:
        """Called before a write to object storage, which has no fence.

        Raises:
            Fenced: another trainer has taken over.
        """
        await self._log.check_held()

    def _is_foreign(self, record: Record) -> bool:
        return isinstance(self._content(record), Unreadable)

    def _fold(self, record: Record) -> None:
        content = self._content(record)
        if isinstance(content, Unreadable):
            logger.warning("not-by-the-trainer", sequence=record.sequence, why=content.detail)
        self.history.apply(content)

    def _content(self, record: Record) -> PolicyContent:
        return counted(decode_policy(self._run, record), self._run_key, self.history.last)
