"""Judging processes: limits are real, a hit costs one process, and the next message is judged."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from environments.catalogue import open_environment
from learner.coordinator.draw import draw_lease
from learner.coordinator.job import WorkerJob, WorkerSetup
from learner.coordinator.workers import WorkerPool
from schemas import wire
from schemas.names import RolloutsSubject
from schemas.policy import PolicyId
from schemas.rollout import MAX_SPANS, VersionSpan
from schemas.settings import IntakeSettings
from schemas.verdict import Reason
from tests.support.coordinators import SETTINGS, make_opening, make_request, manifest_of
from tests.support.groups import make_group

POLICY = PolicyId(1, 4)
SUBJECT = RolloutsSubject("test", "s0", 1, 4, "ALICE")
ENVIRONMENT = open_environment(SETTINGS.environment)
LEASE = draw_lease(
    make_opening(), 7, make_request("ALICE", "r1"), PolicyId(1, 3), 0.0, ENVIRONMENT.stop_ids
)


async def make_pool(**limits: int) -> WorkerPool:
    intake = IntakeSettings(max_message_bytes=1 << 21, **limits)  # type: ignore[arg-type]
    pool = WorkerPool(WorkerSetup(environment=ENVIRONMENT.ref, intake=intake))
    await pool.start()
    return pool


async def honest_job() -> WorkerJob:
    group = await make_group(ENVIRONMENT, LEASE, POLICY, manifest_of(POLICY), right=(True, False))
    return WorkerJob(subject=SUBJECT, data=wire.encode(group), leases=(LEASE,))


async def most_work() -> WorkerJob:
    """The most objects that the bounds let into one legal group: 256 rollouts of 128 spans."""
    group = await make_group(ENVIRONMENT, LEASE, POLICY, manifest_of(POLICY), right=(True, False))
    spans = (VersionSpan(num_tokens=1, policy=POLICY),) * MAX_SPANS
    rollout = msgspec.structs.replace(group.rollouts[0], spans=spans)
    data = wire.encode(msgspec.structs.replace(group, rollouts=(rollout,) * 256))
    return WorkerJob(subject=SUBJECT, data=data, leases=(LEASE,))


async def test_an_honest_group_is_judged():
    pool = await make_pool()
    try:
        judgement = await pool.judge(await honest_job())
        assert judgement.rewards == (1.0, 0.0)
    finally:
        await pool.close()


async def test_many_at_once_over_several_processes():
    pool = await make_pool(num_workers=2)
    try:
        job = await honest_job()
        judgements = await asyncio.gather(*(pool.judge(job) for _ in range(40)))
        assert {judgement.rewards for judgement in judgements} == {(1.0, 0.0)}
    finally:
        await pool.close()


async def test_hard_work_within_the_limits_is_an_ordinary_refusal():
    pool = await make_pool()
    try:
        assert (await pool.judge(await most_work())).reason is Reason.LEASE_TERMS
    finally:
        await pool.close()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"max_cpu_ms": 1}, Reason.CPU), ({"max_memory_mib": 2}, Reason.MEMORY)],
    ids=["cpu", "memory"],
)
async def test_a_limit_hit_twice_is_the_verdict_and_the_pool_goes_on(limits, reason):
    pool = await make_pool(num_workers=2, **limits)
    try:
        async with asyncio.timeout(60):
            assert (await pool.judge(await most_work())).reason is reason
            # Nothing of the limit is left behind for the next message.
            noise = WorkerJob(subject=SUBJECT, data=b"noise", leases=())
            assert (await pool.judge(noise)).reason is Reason.ENVELOPE
    finally:
        await pool.close()


async def test_an_honest_message_survives_a_neighbour_that_hits_a_limit():
    pool = await make_pool(num_workers=2, max_cpu_ms=10)
    try:
        job = await honest_job()
        hits, *honest = await asyncio.gather(
            pool.judge(await most_work()), *(pool.judge(job) for _ in range(10))
        )
        assert hits.reason in (Reason.CPU, Reason.LEASE_TERMS)
        assert {judgement.rewards for judgement in honest} == {(1.0, 0.0)}
    finally:
        await pool.close()


async def test_workers_end_with_their_pool():
    pool = await make_pool(num_workers=2)
    processes = [worker.process for worker in pool.workers]
    await pool.close()
    assert all(process.returncode is not None for process in processes)


async def test_bytes_of_any_kind_cost_a_worker_little():
    """Promise 5, measured on the message that the bounds let cost most."""
    pool = await make_pool()
    try:
        (worker,) = pool.workers
        idle = peak_kib(worker.process.pid)
        await pool.judge(await most_work())
        assert peak_kib(worker.process.pid) - idle < 64 << 10
    finally:
        await pool.close()


def peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def test_setup_and_job_survive_the_pipe():
    setup = WorkerSetup(environment=ENVIRONMENT.ref, intake=IntakeSettings())
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(setup), type=WorkerSetup) == setup
