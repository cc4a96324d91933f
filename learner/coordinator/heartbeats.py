"""The coordinator's heartbeats: what it is doing and what it waits for."""

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from broker.interface import Broker
from learner.coordinator import cut
from learner.coordinator.desk import closed_for_all
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import RunLog
from learner.coordinator.probation import lacks_signal
from learner.coordinator.round_writer import RoundWriter
from learner.coordinator.state import RunState
from schemas.errors import BrokerUnavailable
from schemas.heartbeat import Heartbeat, State
from schemas.lease import WaitReason
from schemas.names import COORDINATOR, heartbeat_subject
from schemas.settings import BatchSettings, RunSettings
from schemas.wire import encode

_EVERY_S = 1.0

logger = structlog.get_logger()

_CLOSED = {
    WaitReason.FINISHED: State.FINISHED,
    WaitReason.NO_POLICY: State.WAITING_FOR_POLICY,
}


class Heartbeats:
    """Publishes a heartbeat every second."""

    def __init__(
        self, broker: Broker, log: RunLog, known: KnownPolicies, writers: Sequence[RoundWriter]
    ) -> None:
        self._broker = broker
        self._log = log
        self._known = known
        self._writers = writers
        self._store_was_away = False
        self._finished = False
        """It is logged that the last policy is announced."""

    async def run(self) -> None:
        while True:
            self._log_changes()
            heartbeat = self.heartbeat()
            subject = heartbeat_subject(heartbeat.run, COORDINATOR)
            with contextlib.suppress(BrokerUnavailable):  # Then nobody could hear it.
                await self._broker.notify(subject, encode(heartbeat))
            await asyncio.sleep(_EVERY_S)

    @property
    def _store_is_away(self) -> bool:
        return any(writer.store_is_away for writer in self._writers)

    def _log_changes(self) -> None:
        """A line when object storage goes away, when it is back, and when the run is over."""
        away, was_away = self._store_is_away, self._store_was_away
        self._store_was_away = away
        if away and not was_away:
            logger.warning("storage-away", detail="object storage does not answer; it is retried")
        elif was_away and not away:
            logger.info("storage-back")
        if not self._finished and self._last_is_announced():
            self._finished = True
            run, num_steps = self._settings.name, self._settings.trainer.num_steps
            logger.info("run-finished", run=run, num_steps=num_steps)

    def _last_is_announced(self) -> bool:
        last = self._known.last
        return last is not None and last.policy.version >= self._settings.trainer.num_steps

    @property
    def _settings(self) -> RunSettings:
        opened = self._log.state.opened
        assert opened is not None
        return opened.settings

    def heartbeat(self) -> Heartbeat:
        """What there is to say at this moment."""
        log, settings = self._log.state, self._settings
        policy = self._known.last.policy if self._known.last else None
        closed = closed_for_all(log, policy)
        if closed:
            state, waiting_for = _CLOSED[closed], closed.value
        elif self._store_is_away:
            state, waiting_for = State.STORE_AWAY, "object storage"
        elif lacks_signal(log, settings):
            state = State.NO_SIGNAL
            waiting_for = f"signal: the last {log.without_signal.total()} groups had none"
        elif not cut.may_cut(log, policy.version if policy else None):
            state = State.WAITING_FOR_POLICY
            waiting_for = f"version {log.next_step - 2}"
        elif _too_few_actors(log, settings.batch):
            state, waiting_for = State.TOO_FEW_ACTORS, "more actors: each has its hard share"
        else:
            state = State.WAITING_FOR_GROUPS
            waiting_for = f"{len(log.waiting)} of {settings.batch.num_groups} groups"
        return Heartbeat(
            run=settings.name,
            who=COORDINATOR,
            instance=self._log.instance,
            state=state,
            policy=policy,
            waiting_for=waiting_for,
        )


def _too_few_actors(state: RunState, settings: BatchSettings) -> bool:
    """True when all who have work or groups in line cannot fill a batch under the hard cap."""
    actors = {issued.lease.actor for issued in state.open_leases.values()}
    actors |= {group.actor for group in state.waiting.values()}
    return 0 < len(actors) * cut.hard_cap(settings) < settings.num_groups
