"""What the trainer says about itself, for screens. A word that is lost is lost."""

import asyncio
import contextlib
from collections.abc import Iterator

import msgspec
import structlog

from broker.interface import Broker
from learner.trainer.portal import Portal
from schemas.errors import BrokerError, StoreUnavailable
from schemas.heartbeat import Heartbeat, State
from schemas.names import TRAINER, heartbeat_subject
from schemas.policy import PolicyId
from schemas.wire import encode

_EVERY_S = 2.0

logger = structlog.get_logger()


class Heartbeats:
    """Publishes the last state at each change, and every few seconds. Any thread may speak."""

    def __init__(self, portal: Portal, broker: Broker, run: str, instance: str) -> None:
        self._portal = portal
        self._broker = broker
        self._subject = heartbeat_subject(run, TRAINER)
        self._heartbeat = Heartbeat(run=run, who=TRAINER, instance=instance, state=State.STARTING)
        self._store_away = False
        self._changed = asyncio.Event()

    def say(
        self,
        state: State,
        *,
        waiting_for: str = "",
        policy: PolicyId | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        """Change the state; what is None stays as it was."""
        said = self._heartbeat
        self._heartbeat = msgspec.structs.replace(
            said,
            state=state,
            waiting_for=waiting_for,
            policy=said.policy if policy is None else policy,
            tokens_per_s=said.tokens_per_s if tokens_per_s is None else tokens_per_s,
        )
        self._portal.soon(self._changed.set)

    def store_away(self, away: bool) -> None:
        """Object storage does not answer, or answers again; shown instead of the state."""
        if away == self._store_away:
            return
        self._store_away = away
        if away:
            logger.warning("storage-away", detail="object storage does not answer; it is retried")
        else:
            logger.info("storage-back")
        self._portal.soon(self._changed.set)

    @contextlib.contextmanager
    def asking_store(self) -> Iterator[None]:
        """Say of what is asked in the block whether object storage answers it."""
        try:
            yield
        except StoreUnavailable:
            self.store_away(True)
            raise
        self.store_away(False)

    async def beat(self) -> None:
        """Publish until cancelled."""
        while True:
            self._changed.clear()
            await self.beat_once()
            with contextlib.suppress(TimeoutError):
                # Not wait_for: in Python 3.11 it loses a cancellation that comes with the change.
                async with asyncio.timeout(_EVERY_S):
                    await self._changed.wait()

    async def beat_once(self) -> None:
        """Publish what is so."""
        with contextlib.suppress(BrokerError):
            await self._broker.notify(self._subject, encode(self._shown()))

    def _shown(self) -> Heartbeat:
        if not self._store_away:
            return self._heartbeat
        return msgspec.structs.replace(
            self._heartbeat, state=State.STORE_AWAY, waiting_for="object storage"
        )
