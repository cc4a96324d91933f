"""The coordinator's heartbeat: what it is doing and what it waits for."""

import asyncio

from broker.interface import Broker
from learner.coordinator import cut
from learner.coordinator.desk import paused
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import LogWriter
from schemas.heartbeat import Heartbeat, State
from schemas.lease import WaitReason
from schemas.names import COORDINATOR, heartbeat_subject
from schemas.wire import encode

_EVERY_S = 1.0

_PAUSES = {
    WaitReason.FINISHED: State.FINISHED,
    WaitReason.NO_POLICY: State.WAITING_FOR_POLICY,
    WaitReason.NO_SIGNAL: State.NO_SIGNAL,
}


class Pulse:
    """Publishes a heartbeat every second."""

    def __init__(self, broker: Broker, log: LogWriter, known: KnownPolicies) -> None:
        self._broker = broker
        self._log = log
        self._known = known

    async def run(self) -> None:
        while True:
            heartbeat = self.heartbeat()
            await self._broker.notify(
                heartbeat_subject(heartbeat.run, COORDINATOR), encode(heartbeat)
            )
            await asyncio.sleep(_EVERY_S)

    def heartbeat(self) -> Heartbeat:
        """What there is to say at this moment."""
        log = self._log.state
        assert log.opened is not None
        settings = log.opened.settings
        policy = self._known.last.policy if self._known.last else None
        pause = paused(log, policy)
        if pause:
            state, waiting_for = _PAUSES[pause], pause.value
        elif not cut.may_cut(log, policy.version if policy else None):
            state = State.WAITING_FOR_POLICY
            waiting_for = f"version {log.next_step - 2}"
        else:
            state = State.WAITING_FOR_GROUPS
            waiting_for = f"{len(log.waiting)} of {settings.batch.num_groups} groups"
        return Heartbeat(
            run=settings.name,
            who=COORDINATOR,
            instance=self._log.instance,
            state=state,
            policy=policy,
            groups_published=log.num_accepted,
            waiting_for=waiting_for,
        )
