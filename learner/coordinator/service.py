"""The coordinator, wired.

| loop | consumes | produces | waits for |
|---|---|---|---|
| `known` | announcements | the bell | the trainer |
| `front` | lease requests | LeaseIssued, replies | requests, capacity |
| `intake` (one per shard) | rollout groups | segments, verdicts, acks | messages, storage |
| `purging` | requests for purges | PurgeBegun, MessagesPurged, replies | requests |
| `endings` | deadlines, new instances | LeaseExpired, LeaseAbandoned | older messages judged |
| `cutter` | waiting groups | batches | groups, version s - 2 |
| `heartbeats` | all of their states | heartbeats | a second |

The loops do not know each other. They share the state behind the log's lock, and a bell that rings
when it has changed. The process can be killed at any instant: what it decided is in the log.
"""

import asyncio
import os
import signal
import socket
import uuid
from collections.abc import Coroutine, Sequence

import structlog

from broker.accounts.rights import Role
from broker.doctor.before_run import check_before_run
from broker.interface import Broker
from broker.login import login
from broker.objects.archive import Archive
from broker.objects.s3 import S3Store
from broker.store import Store
from environments.catalogue import open_pinned
from learner.coordinator.bell import Bell
from learner.coordinator.cutter import Cutter
from learner.coordinator.endings import Endings
from learner.coordinator.front import FrontDesk
from learner.coordinator.garbage import collect_garbage
from learner.coordinator.grants import Grants
from learner.coordinator.heartbeats import Heartbeats
from learner.coordinator.intake import Intake
from learner.coordinator.job import WorkerSetup
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import RunLog
from learner.coordinator.purging import Purging
from learner.coordinator.workers import WorkerPool
from learner.role import claim
from learner.run_folder import RunFolder
from schemas import ledger, names
from schemas.settings import LearnerSettings

logger = structlog.get_logger()

_CONNECT_TIMEOUT_S = 30.0
"""A server that was killed with us may take as long to be there again."""


class Coordinator:
    """One run's coordinator over any broker and store."""

    def __init__(self, broker: Broker, store: Store, opening: ledger.RunOpened) -> None:
        self._broker = broker
        self._store = store
        self._opening = opening
        self._run = opening.settings.name
        self._bell = Bell()
        self.log = RunLog(broker, self._run, f"coordinator-{uuid.uuid4().hex[:12]}")
        self.ready = asyncio.Event()
        """Set when it answers."""

    async def run(self, stop: asyncio.Event, *, take_over: bool = False) -> None:
        """Coordinate until `stop` is set; servers that are away are waited for.

        Raises:
            RoleTaken: the run has a coordinator.
            SettingsError: the run's environment is not the one that is here.
            UserError: a judging process does not start.
            StoreDenied: object storage refuses us.
            Fenced: another coordinator has taken over.
        """
        await _until_one_ends([stop.wait(), self._work(take_over=take_over)])

    async def _work(self, *, take_over: bool) -> None:
        holder = f"process {os.getpid()} on {socket.gethostname()} ({self.log.instance})"
        await claim(self._broker, self._run, names.COORDINATOR, holder, take_over=take_over)
        await self.log.start(self._opening)
        opened = self.log.state.opened
        assert opened is not None
        archive = Archive(self._store, self._run)
        await collect_garbage(self._broker, archive, self._run, self.log.term)
        known = KnownPolicies(self._broker, self._run, opened.run_key, self._bell)
        await known.catch_up()
        environment = open_pinned(opened.environment)
        intake = opened.settings.intake
        workers = WorkerPool(WorkerSetup(environment=opened.environment, intake=intake))
        await workers.start()
        try:
            endings = Endings(self._broker, self.log, self._bell)
            front = FrontDesk(self.log, known, endings, environment.stop_ids, self._bell)
            await self._broker.serve(names.leases_filter(self._run), front.answer)
            grants = Grants(self._store, self._run)
            await self._broker.serve(names.grants_filter(self._run), grants.answer)
            purging = Purging(self._broker, self.log, self._bell)
            await purging.finish()
            await self._broker.serve(names.purge_subject(self._run), purging.answer)
            await self._broker.serve(names.let_in_subject(self._run), purging.let_in)
            intakes = [
                Intake(self._broker, archive, self.log, known, workers, shard, self._bell)
                for shard in intake.shards
            ]
            for one in intakes:
                await one.hand.take_back()
            writers = [one.writer for one in intakes]
            loops = [
                known.follow(),
                front.run(),
                endings.run(),
                Cutter(self.log, known, self._bell).run(),
                Heartbeats(self._broker, self.log, known, writers).run(),
                *(loop for one in intakes for loop in one.loops()),
            ]
            self.ready.set()
            logger.info("coordinating", run=self._run, instance=self.log.instance)
            await _until_one_ends(loops)
        finally:
            await workers.close()


async def _until_one_ends(works: Sequence[Coroutine[None, None, object]]) -> None:
    """Run side by side until the first ends; cancel the others, and raise what it raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(settings: LearnerSettings, opening: ledger.RunOpened, *, take_over: bool) -> None:
    """The coordinator process: until SIGTERM or SIGINT, also while it waits for its servers.

    Raises:
        ServerMissing: no broker lets us in.
        UserError, StoreDenied: as `S3Store.open`, or the nats-server is too old.
        RoleTaken, SettingsError, Fenced: as `Coordinator.run`.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    await _until_one_ends([stop.wait(), _serve(settings, opening, stop, take_over=take_over)])


async def _serve(
    settings: LearnerSettings, opening: ledger.RunOpened, stop: asyncio.Event, *, take_over: bool
) -> None:
    store = S3Store.open(settings.connection)
    try:
        broker = await login(
            settings.connection,
            Role.COORDINATOR,
            run=settings.name,
            name=names.COORDINATOR,
            connect_timeout_s=_CONNECT_TIMEOUT_S,
        )
        try:
            runs = RunFolder(settings).path.parent
            await check_before_run(settings.connection, opening.settings, runs)
            await Coordinator(broker, store, opening).run(stop, take_over=take_over)
        finally:
            await broker.close()
    finally:
        await store.close()
