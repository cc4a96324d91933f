"""Says on `heartbeat.<run>.<actor>` what the daemon does.

consumes    status
produces    heartbeats, every `every_s` and at each change of state; lost ones are not missed
waits for   a change of state, or the time to be over
"""

import asyncio
from contextlib import suppress
from typing import Final

from actors.status import Status
from broker.interface import Broker
from schemas import wire
from schemas.errors import BrokerError
from schemas.heartbeat import Heartbeat
from schemas.names import heartbeat_subject

_SPACING_S: Final = 0.25
"""The state may flicker between generating and publishing; the broker need not see each change."""


class Heartbeats:
    """The heartbeats of one process."""

    def __init__(
        self, broker: Broker, *, run: str, actor: str, instance: str, status: Status, every_s: float
    ) -> None:
        self._broker = broker
        self._run = run
        self._actor = actor
        self._instance = instance
        self._status = status
        self._every_s = every_s

    async def beat(self) -> None:
        """Send heartbeats for ever."""
        while True:
            state = self._status.state
            await self.send()
            await asyncio.sleep(_SPACING_S)
            await self._status.another_state(state, timeout_s=self._every_s)

    async def send(self) -> None:
        """Send one."""
        heartbeat = Heartbeat(
            run=self._run,
            who=self._actor,
            instance=self._instance,
            state=self._status.state,
            policy=self._status.policy,
            tokens_per_s=self._status.tokens.per_s(),
            groups_published=self._status.groups_published,
            waiting_for=self._status.waiting_for,
        )
        with suppress(BrokerError):
            await self._broker.notify(
                heartbeat_subject(self._run, self._actor), wire.encode(heartbeat)
            )
