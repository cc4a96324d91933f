"""A worker: one judging process as its parent sees it, and what it means when it dies.

| it ended by | verdict on the message | whose fault |
|---|---|---|
| SIGPROF | cpu-limit | the message's |
| SIGKILL, SIGSEGV, SIGABRT; or it said that memory ran out | memory-limit | the message's |
| another signal, any status, silence, no finding | judging-failed | the learner's, the machine's |
"""

import asyncio
import contextlib
import fcntl
import itertools
import signal
import sys
from collections.abc import Sequence

import msgspec
import structlog

from broker.retry import full_jitter_s
from learner.coordinator.finding import Finding
from learner.coordinator.job import LENGTH, WorkerJob, WorkerSetup, frame
from schemas.errors import UserError
from schemas.verdict import Reason

logger = structlog.get_logger()

_IDLE_S = 10.0
"""So long one message may keep its process waiting beside its CPU time: a process that neither
computes nor ends is silent."""
_LEAST_SHARE = 0.1
"""Of a core, that a process gets on a busy machine: its CPU limit may take so much longer."""
_START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 5.0
"""From the last word of a process to its end."""
_PIPE_BYTES = 1 << 20
"""The most that anybody may ask for."""
_MAX_FINDING_BYTES = 1 << 20
"""Far more than 256 rewards and 16 named parts of each."""
_OUT_OF_MEMORY = (-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT)
"""How C code, or the kernel on its behalf, ends where memory runs out."""


class WorkerProcess:
    """One process; started again after it died."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self.silence_s = _IDLE_S + setup.intake.max_cpu_ms / 1000 / _LEAST_SHARE
        """Without an answer to the next message, after which the process is ended."""
        self.process: asyncio.subprocess.Process | None = None
        self._decoder = msgspec.msgpack.Decoder(Finding)

    async def start(self) -> None:
        """Start the process, and wait until it is ready.

        Raises:
            UserError: it does not come up; what it said about it is on stderr.
        """
        try:
            await self._start()
        except (asyncio.IncompleteReadError, OSError, msgspec.MsgspecError) as error:
            await self.close()
            why = "no answer" if isinstance(error, TimeoutError) else error
            raise UserError(f"a judging process does not start ({why})") from None

    async def _start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "learner.coordinator.worker_entry",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._widen_pipe()
        self._send(frame(msgspec.msgpack.encode(self._setup)))
        async with asyncio.timeout(_START_TIMEOUT_S):
            await self._receive()

    async def examine(self, jobs: Sequence[WorkerJob]) -> tuple[list[Finding], Finding | None]:
        """Examine messages in order, up to the first that the process does not survive.

        Returns the findings of those before, and that of this one; None when there is none.
        """
        if self.process is None or self.process.returncode is not None:
            await self._start_again()
        findings: list[Finding] = []
        try:
            self._send(b"".join([frame(msgspec.msgpack.encode(job)) for job in jobs]))
            while len(findings) < len(jobs):
                async with asyncio.timeout(self.silence_s):
                    finding = self._decoder.decode(await self._receive())
                if finding.reason is Reason.MEMORY:
                    await self.close()  # Whatever the allocator still holds goes with it.
                    return findings, finding
                findings.append(finding)
        except TimeoutError:
            await self.close()
            detail = f"judging it neither computed nor ended for {self.silence_s:g} s"
            return findings, Finding(reason=Reason.JUDGING_FAILED, detail=detail)
        except msgspec.MsgspecError as error:
            await self.close()  # Where its next answer would begin is not known any more.
            detail = f"the judging process answered what is no finding: {error}"[:500]
            return findings, Finding(reason=Reason.JUDGING_FAILED, detail=detail)
        except (asyncio.IncompleteReadError, ConnectionError):
            return findings, await self._post_mortem()
        return findings, None

    async def _start_again(self) -> None:
        """Try until it starts: that it does not says nothing about a message."""
        for attempt in itertools.count(1):
            try:
                return await self.start()
            except UserError as error:
                logger.error("judging-process-missing", why=str(error))
                await asyncio.sleep(full_jitter_s(attempt))

    async def _post_mortem(self) -> Finding:
        assert self.process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT_S):
                await self.process.wait()
        await self.close()
        status = self.process.returncode
        if status == -signal.SIGPROF:
            detail = f"judging it took more than {self._setup.intake.max_cpu_ms} ms of CPU time"
            return Finding(reason=Reason.CPU, detail=detail)
        detail = f"the judging process ended with status {status}"
        reason = Reason.MEMORY if status in _OUT_OF_MEMORY else Reason.JUDGING_FAILED
        return Finding(reason=reason, detail=detail)

    def _widen_pipe(self) -> None:
        """Let a bundle through in one write, where the kernel grants it."""
        assert self.process is not None
        assert self.process.stdin is not None
        pipe = self.process.stdin.get_extra_info("pipe")
        with contextlib.suppress(PermissionError, ValueError):  # The latter: it has ended already.
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def _send(self, data: bytes) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    async def _receive(self) -> bytes:
        assert self.process is not None
        assert self.process.stdout is not None
        (length,) = LENGTH.unpack(await self.process.stdout.readexactly(LENGTH.size))
        if length > _MAX_FINDING_BYTES:
            raise msgspec.DecodeError(f"it would have {length} bytes")
        return await self.process.stdout.readexactly(length)

    async def close(self) -> None:
        if self.process is None:
            return
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        # The event loop keeps what belongs to the process until both pipes have ended.
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        with contextlib.suppress(ConnectionError):
            await self.process.stdin.wait_closed()
        await self.process.stdout.read()
