"""The workers: a pool of judging processes.

Messages are handed to a process in bundles: it reads one after the other and answers one after the
other, so the first that has no answer is the one that the process died of. The limits hold for each
message by itself.
"""

import asyncio
from collections.abc import Iterator, Sequence

import structlog

from broker.parallel import run_all
from learner.coordinator.finding import Finding
from learner.coordinator.job import WorkerJob, WorkerSetup
from learner.coordinator.worker_process import WorkerProcess

logger = structlog.get_logger()

_MAX_BUNDLE_MESSAGES = 16
_MAX_BUNDLE_BYTES = 1 << 20


class WorkerPool:
    """Examines messages side by side in processes of their own."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.workers = [WorkerProcess(setup) for _ in range(setup.intake.num_workers)]
        self._idle: asyncio.Queue[WorkerProcess] = asyncio.Queue()
        self._collecting = asyncio.Lock()

    async def start(self) -> None:
        """Start all processes.

        Raises:
            UserError: one does not come up; the others are ended then.
        """
        try:
            await run_all([worker.start for worker in self.workers], at_once=len(self.workers))
        except BaseException:
            await self.close()
            raise
        for worker in self.workers:
            self._idle.put_nowait(worker)

    async def examine(self, jobs: Sequence[WorkerJob]) -> list[Finding | None]:
        """Examine messages side by side, and stop with those of a sender at the first limit hit.

        None: a process died of it, or of an earlier one of the same sender; see `examine_alone`.
        """
        suspects: set[str] = set()
        bundles = [self._examine_bundle(bundle, suspects) for bundle in _bundles(jobs)]
        return [finding for part in await asyncio.gather(*bundles) for finding in part]

    async def _examine_bundle(
        self, jobs: Sequence[WorkerJob], suspects: set[str]
    ) -> list[Finding | None]:
        """`suspects` are shared by all bundles of a call: their senders are left out."""
        found: list[Finding | None] = [None] * len(jobs)
        worker = await self._idle.get()
        try:
            left = list(range(len(jobs)))
            while left := [index for index in left if jobs[index].subject.actor not in suspects]:
                findings, hit = await worker.examine([jobs[index] for index in left])
                for finding in findings:
                    found[left.pop(0)] = finding
                if hit:
                    actor = jobs[left[0]].subject.actor
                    logger.info("limit-hit", reason=hit.reason, actor=actor)
                    suspects.add(actor)
        finally:
            self._idle.put_nowait(worker)
        return found

    async def examine_alone(self, job: WorkerJob, *, stop_others: bool) -> Finding:
        """Examine one message by itself; a limit hit is the finding.

        With `stop_others` nothing runs beside it, so that no neighbour can be the cause.
        """
        async with self._collecting:
            num_workers = len(self.workers) if stop_others else 1
            workers = [await self._idle.get() for _ in range(num_workers)]
        try:
            findings, hit = await workers[0].examine([job])
            return hit or findings[0]
        finally:
            for worker in workers:
                self._idle.put_nowait(worker)

    async def close(self) -> None:
        await asyncio.gather(*(worker.close() for worker in self.workers))


def _bundles(jobs: Sequence[WorkerJob]) -> Iterator[Sequence[WorkerJob]]:
    """Cut into pieces bounded in messages and, save for a larger single one, in bytes."""
    begin, num_bytes = 0, 0
    for index, job in enumerate(jobs):
        num_bytes += len(job.data)
        if index > begin and (
            index - begin == _MAX_BUNDLE_MESSAGES or num_bytes > _MAX_BUNDLE_BYTES
        ):
            yield jobs[begin:index]
            begin, num_bytes = index, len(job.data)
    if begin < len(jobs):
        yield jobs[begin:]
