"""The actor: lease -> rollouts -> queue, until it is told to stop.

    part         consumes                      produces                 waits for
    leases       replies of the coordinator    leases to start on       a free place, a lease
    policies     announcements, weights        a policy that serves     a newer policy
    fulfilment   a lease                       one group in the queue   a policy, the engine,
                                                                        room in the queue
    verdicts     the coordinator's word        counts for the screen    verdicts
    heartbeats   status                        heartbeats               a change of state

The parts run side by side. Groups of several leases are generated at once, so that they share the
engine's batches; publishing and asking for work go on meanwhile. No server that is away ends the
daemon. What ends it is a bug, a key that is not allowed, or a request to stop.
"""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from actors.fulfilment import Fulfilment
from actors.heartbeats import Heartbeats
from actors.leases import HeldLease, Leases
from actors.policies import Policies
from actors.report import Report, Reports
from actors.spool import Spool
from actors.status import Status
from actors.verdicts import Verdicts
from schemas.heartbeat import State

_log = structlog.get_logger(__name__)


class Daemon:
    """One actor process, its parts wired by `actors.wiring`."""

    def __init__(
        self,
        *,
        leases: Leases,
        policies: Policies,
        fulfilment: Fulfilment,
        spool: Spool,
        verdicts: Verdicts,
        heartbeats: Heartbeats,
        reports: Reports,
        status: Status,
        drain_s: float,
    ) -> None:
        self._leases = leases
        self._policies = policies
        self._fulfilment = fulfilment
        self._spool = spool
        self._verdicts = verdicts
        self._heartbeats = heartbeats
        self._reports = reports
        self._status = status
        self._drain_s = drain_s
        self._jobs: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event, show: Callable[[Report], None]) -> None:
        """Work until `stop` is set, then drain. Cancelled, it stops at once.

        Raises:
            ExceptionGroup: of what one of the parts raised.
        """
        async with asyncio.TaskGroup() as tasks:

            def begin(job: Coroutine[None, None, None]) -> None:
                task = tasks.create_task(job)
                self._jobs.add(task)
                task.add_done_callback(self._jobs.discard)

            def start(held: HeldLease) -> None:
                begin(self._fulfilment.fulfil(held))

            for spooled in self._spool.groups():
                begin(self._fulfilment.deliver(spooled))
            asking = tasks.create_task(self._leases.keep(start))
            loops = [
                tasks.create_task(self._policies.listen()),
                tasks.create_task(self._policies.follow()),
                tasks.create_task(self._verdicts.listen()),
                tasks.create_task(self._heartbeats.beat()),
                tasks.create_task(self._reports.keep_showing(show)),
            ]
            await stop.wait()
            self._leases.close()
            with self._status.doing(State.DRAINING):
                await self._drain()
                await self._leases.farewell(asking)
            for loop in loops:
                loop.cancel()
        with self._status.doing(State.STOPPED):
            await self._heartbeats.send()
            show(self._reports.now())

    async def _drain(self) -> None:
        """Finish what is under way, as far as time allows; let go of the rest."""
        self._fulfilment.cancel_not_begun()
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=self._drain_s)
        unfinished = set(self._jobs)
        for job in unfinished:
            job.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        if self._spool.groups():
            _log.warning("groups kept on disk for the next start", count=len(self._spool.groups()))
