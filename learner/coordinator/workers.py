"""The pool of judging processes, and what it means when one dies.

A message on which a worker hits a limit may have been unlucky in its neighbours, so it is judged
once more while no other message is. A second hit is the verdict.
"""

import asyncio
import signal
import sys

import msgspec
import structlog

from learner.coordinator.job import LENGTH, WorkerJob, WorkerSetup
from learner.coordinator.judge import Judgement
from schemas.errors import TributaryError
from schemas.verdict import Reason

logger = structlog.get_logger()

_WALL_TIMEOUT_S = 10.0
"""For a job that neither computes nor ends; far above the CPU limit on any busy machine."""
_START_TIMEOUT_S = 60.0


class _LimitHit(TributaryError):
    """Raised when a worker died of a message, or reports that it ran out of memory."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.judgement = Judgement(reason=reason, detail=detail)


class WorkerPool:
    """Judges messages side by side in processes of their own."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.workers = [Worker(setup) for _ in range(setup.intake.num_workers)]
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        self._alone = asyncio.Lock()

    async def start(self) -> None:
        await asyncio.gather(*(worker.start() for worker in self.workers))
        for worker in self.workers:
            self._idle.put_nowait(worker)

    async def judge(self, job: WorkerJob) -> Judgement:
        """Judge one message; hitting a limit twice is a judgement too."""
        try:
            return await self._judge_once(job)
        except _LimitHit as hit:
            logger.info("limit-hit", reason=hit.judgement.reason, actor=job.subject.actor)
        async with self._alone:
            # Holding every worker means that nothing else runs beside this one.
            workers = [await self._idle.get() for _ in self.workers]
            try:
                return await workers[0].judge(job)
            except _LimitHit as hit:
                return hit.judgement
            finally:
                for worker in workers:
                    self._idle.put_nowait(worker)

    async def _judge_once(self, job: WorkerJob) -> Judgement:
        worker = await self._idle.get()
        try:
            return await worker.judge(job)
        finally:
            self._idle.put_nowait(worker)

    async def close(self) -> None:
        await asyncio.gather(*(worker.close() for worker in self.workers))


class Worker:
    """One process; started again after it died."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "learner.coordinator.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._send(msgspec.msgpack.encode(self._setup))
        async with asyncio.timeout(_START_TIMEOUT_S):
            await self._receive()

    async def judge(self, job: WorkerJob) -> Judgement:
        """Raises _LimitHit when the process does not survive the message."""
        if self.process is None or self.process.returncode is not None:
            await self.start()
        try:
            async with asyncio.timeout(_WALL_TIMEOUT_S):
                self._send(msgspec.msgpack.encode(job))
                answer = await self._receive()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
            raise await self._post_mortem(error) from None
        judgement = msgspec.msgpack.decode(answer, type=Judgement)
        if judgement.reason is Reason.MEMORY:
            await self.close()  # Whatever the allocator still holds goes with it.
            raise _LimitHit(judgement.reason, judgement.detail)
        return judgement

    async def _post_mortem(self, error: Exception) -> _LimitHit:
        assert self.process is not None
        timed_out = isinstance(error, TimeoutError)
        await self.close()
        status = self.process.returncode
        if timed_out or status == -signal.SIGPROF:
            limit_ms = self._setup.intake.max_cpu_ms
            return _LimitHit(Reason.CPU, f"judging it took more than {limit_ms} ms of CPU time")
        return _LimitHit(Reason.MEMORY, f"the judging process ended with status {status}")

    def _send(self, data: bytes) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(LENGTH.pack(len(data)) + data)

    async def _receive(self) -> bytes:
        assert self.process is not None
        assert self.process.stdout is not None
        header = await self.process.stdout.readexactly(LENGTH.size)
        return await self.process.stdout.readexactly(LENGTH.unpack(header)[0])

    async def close(self) -> None:
        if self.process is None:
            return
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
