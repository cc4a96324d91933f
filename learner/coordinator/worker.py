"""A process that examines hostile bytes, under limits that the kernel enforces.

    takes: WorkerSetup, then WorkerJobs      gives: an empty frame when ready, then Findings

Memory is bounded by RLIMIT_AS, CPU time by a profiling timer whose signal ends the process even in
the middle of C code. What exceeds a limit therefore ends this process and nothing else; the parent
sees how it died (`learner.coordinator.workers`).
"""

import asyncio
import resource
import signal
import traceback
from typing import BinaryIO

import msgspec

from environments.catalogue import open_pinned
from environments.interface import Environment
from learner.coordinator.examination import Answer, read, recompute
from learner.coordinator.finding import Finding
from learner.coordinator.job import LENGTH, WorkerJob, WorkerSetup, frame
from schemas.settings import IntakeSettings
from schemas.verdict import Reason

_MAX_DETAIL = 500
_MAX_TRACEBACK = 4000
"""In characters, from its end."""


def serve(jobs: BinaryIO, findings: BinaryIO) -> None:
    """Examine one message after the other until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business.
    setup_data = _read(jobs)
    if setup_data is None:
        return
    setup = msgspec.msgpack.decode(setup_data, type=WorkerSetup)
    environment = open_pinned(setup.environment)
    _limit_memory(setup.intake.max_memory_mib << 20)
    _write(findings, b"")
    asyncio.run(_serve(setup.intake, environment, jobs, findings))


async def _serve(
    settings: IntakeSettings, environment: Environment, jobs: BinaryIO, findings: BinaryIO
) -> None:
    """Nothing else runs on this loop, so reading may block it."""
    decoder = msgspec.msgpack.Decoder(WorkerJob)
    while (job_data := _read(jobs)) is not None:
        job = decoder.decode(job_data)
        # SIGPROF's default action ends the process; an examined message disarms it in time.
        signal.setitimer(signal.ITIMER_PROF, settings.max_cpu_ms / 1000)
        finding = await examine(job, environment, max_wire_bytes=settings.max_message_bytes)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(findings, msgspec.msgpack.encode(finding))


async def examine(job: WorkerJob, environment: Environment, *, max_wire_bytes: int) -> Finding:
    """Examine one message; a finding in any case: what an environment raises is for the operator to
    mend."""
    found = None
    try:
        found = read(job.subject, job.data, job.leases, max_wire_bytes=max_wire_bytes)
        if isinstance(found, Answer):
            return _checked(await recompute(job.subject, found, environment))
        return found
    except MemoryError:
        return Finding(reason=Reason.MEMORY, detail="ran out of its memory limit")
    except Exception as error:
        return Finding(
            reason=Reason.JUDGING_FAILED,
            detail=f"{type(error).__name__}: {error}"[:_MAX_DETAIL],
            claim=found.claim if found else None,
            lease_is_open=isinstance(found, Answer),
            traceback=traceback.format_exc()[-_MAX_TRACEBACK:],
        )


def _checked(finding: Finding) -> Finding:
    """Raises msgspec.ValidationError where an environment's figures are none of the ledger's."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(finding), type=Finding)


def _limit_memory(above_idle: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        idle = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (idle + above_idle, idle + above_idle))


def _read(stream: BinaryIO) -> bytes | None:
    header = stream.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    return stream.read(LENGTH.unpack(header)[0])


def _write(stream: BinaryIO, data: bytes) -> None:
    stream.write(frame(data))
    stream.flush()
