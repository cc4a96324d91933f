"""Judging processes: limits are real, a hit costs one process, and the next message is judged."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest
import zstandard

from environments.catalogue import open_environment
from learner.coordinator import worker_process
from learner.coordinator.draw import draw_lease
from learner.coordinator.job import WorkerJob, WorkerSetup, pack_leases
from learner.coordinator.worker_process import WorkerProcess
from learner.coordinator.workers import WorkerPool
from schemas import wire
from schemas.errors import UserError
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


def as_job(data: bytes, actor: str = "ALICE") -> WorkerJob:
    leases = pack_leases([LEASE]) if actor == LEASE.actor else {}
    return WorkerJob(subject=SUBJECT._replace(actor=actor), data=data, leases=leases)


async def honest_job() -> WorkerJob:
    group = await make_group(ENVIRONMENT, LEASE, POLICY, manifest_of(POLICY), right=(True, False))
    return as_job(wire.encode(group))


async def most_work(actor: str = "EVE") -> WorkerJob:
    """The most objects that the bounds let into one legal group: 256 rollouts of 128 spans."""
    group = await make_group(ENVIRONMENT, LEASE, POLICY, manifest_of(POLICY), right=(True, False))
    spans = (VersionSpan(num_tokens=1, policy=POLICY),) * MAX_SPANS
    rollout = msgspec.structs.replace(group.rollouts[0], spans=spans)
    group = msgspec.structs.replace(group, actor=actor, rollouts=(rollout,) * 256)
    return as_job(wire.encode(group), actor)


async def test_an_honest_group_is_judged():
    pool = await make_pool()
    try:
        (finding,) = await pool.examine([await honest_job()])
        assert finding.rewards == (1.0, 0.0)
        finding = await pool.examine_alone(await honest_job(), stop_others=True)
        assert finding.rewards == (1.0, 0.0)
    finally:
        await pool.close()


async def test_many_at_once_over_several_processes():
    pool = await make_pool()
    try:
        noise = as_job(b"noise")
        jobs = [noise if index % 7 == 0 else await honest_job() for index in range(100)]
        for index, finding in enumerate(await pool.examine(jobs)):
            assert finding.rewards == (() if index % 7 == 0 else (1.0, 0.0))
    finally:
        await pool.close()


async def test_nothing_to_judge():
    pool = await make_pool(num_workers=1)
    try:
        assert await pool.examine([]) == []
    finally:
        await pool.close()


async def test_hard_work_within_the_limits_is_an_ordinary_refusal():
    pool = await make_pool(num_workers=1)
    try:
        (finding,) = await pool.examine([await most_work("ALICE")])
        assert finding.reason is Reason.LEASE_TERMS
    finally:
        await pool.close()


HITS = pytest.mark.parametrize(
    ("limits", "reason"),
    [({"max_cpu_ms": 1}, Reason.CPU), ({"max_memory_mib": 2}, Reason.MEMORY)],
    ids=["cpu", "memory"],
)


@HITS
async def test_a_limit_hit_alone_is_the_verdict_and_the_pool_goes_on(limits, reason):
    pool = await make_pool(**limits)
    try:
        async with asyncio.timeout(60):
            for stop_others in (True, False):
                finding = await pool.examine_alone(await most_work(), stop_others=stop_others)
                assert finding.reason is reason
            # Nothing of the limit is left behind for the next message.
            (finding,) = await pool.examine([as_job(b"noise")])
            assert finding.reason is Reason.ENVELOPE
    finally:
        await pool.close()


@HITS
async def test_at_a_limit_hit_the_neighbours_are_judged_and_the_sender_is_not(limits, reason):
    pool = await make_pool(num_workers=1, **limits)
    try:
        bad, noise = await most_work(), as_job(b"noise")
        before, hit, between, after, last = await pool.examine([noise, bad, noise, bad, noise])
        assert (hit, after) == (None, None)
        assert {one.reason for one in (before, between, last)} == {Reason.ENVELOPE}
    finally:
        await pool.close()


async def test_an_honest_message_survives_a_neighbour_that_hits_a_limit():
    pool = await make_pool(max_cpu_ms=10)
    try:
        _, *honest = await pool.examine([await most_work(), *[await honest_job()] * 40])
        assert {finding.rewards for finding in honest} == {(1.0, 0.0)}
    finally:
        await pool.close()


@pytest.fixture
def broken(monkeypatch, tmp_path):
    """Makes the environment of new workers do what a line of Python says."""

    def break_with(line: str) -> None:
        text = "import environments.scoring, os, signal\ndef broken(*_, **__):\n    " + line
        text += "\nenvironments.scoring.finished = broken\n"
        (tmp_path / "sitecustomize.py").write_text(text, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return break_with


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("raise KeyError('no such word')", Reason.JUDGING_FAILED),
        ("os._exit(3)", Reason.JUDGING_FAILED),
        ("os.kill(os.getpid(), signal.SIGTERM)", Reason.JUDGING_FAILED),
        ("os.kill(os.getpid(), signal.SIGKILL)", Reason.MEMORY),
        ("os.kill(os.getpid(), signal.SIGSEGV)", Reason.MEMORY),
        ("os.abort()", Reason.MEMORY),
        ("raise MemoryError", Reason.MEMORY),
        ("os.kill(os.getpid(), signal.SIGPROF)", Reason.CPU),
    ],
)
async def test_a_failing_environment_is_not_the_actors_fault(broken, line, reason):
    broken(line)
    pool = await make_pool(num_workers=1)
    try:
        finding = await pool.examine_alone(await honest_job(), stop_others=True)
        assert finding.reason is reason
    finally:
        await pool.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(worker_process, "_IDLE_S", 0.25)
    monkeypatch.setattr(worker_process, "_LEAST_SHARE", 1.0)


async def test_a_process_that_neither_computes_nor_ends_hit_no_limit_of_cpu_time(broken, impatient):
    broken("__import__('time').sleep(60)")
    pool = await make_pool(num_workers=1, max_cpu_ms=250)
    try:
        finding = await pool.examine_alone(await honest_job(), stop_others=True)
        assert finding.reason is Reason.JUDGING_FAILED
        assert finding.detail == "judging it neither computed nor ended for 0.5 s"
        (finding,) = await pool.examine([as_job(b"noise")])
        assert finding is not None
        assert finding.reason is Reason.ENVELOPE
    finally:
        await pool.close()


@pytest.mark.parametrize("max_cpu_ms", [1, 250, 60_000])
def test_what_may_compute_so_long_is_not_silent_before(max_cpu_ms):
    intake = IntakeSettings(max_cpu_ms=max_cpu_ms)
    worker = WorkerProcess(WorkerSetup(environment=ENVIRONMENT.ref, intake=intake))
    assert worker.silence_s > 9.0 * max_cpu_ms / 1000


async def test_what_the_environment_raises_is_told_and_its_lease_closed(broken):
    broken("raise KeyError('x' * 10_000)")
    pool = await make_pool(num_workers=1)
    try:
        (finding,) = await pool.examine([await honest_job()])
        assert finding.detail.startswith("KeyError: 'xxx")
        assert len(finding.detail) == 500
        assert "in broken" in finding.traceback or len(finding.traceback) == 4000
        assert finding.lease_is_open
        assert finding.claim.lease_id == LEASE.lease_id
    finally:
        await pool.close()


async def test_workers_end_with_their_pool():
    pool = await make_pool()
    processes = [worker.process for worker in pool.workers]
    await pool.close()
    assert all(process.returncode is not None for process in processes)


async def test_bytes_of_any_kind_cost_a_worker_little():
    """Promise 5, measured on the message that the bounds let cost most."""
    pool = await make_pool(num_workers=1)
    try:
        (worker,) = pool.workers
        idle = peak_kib(worker.process.pid)
        await pool.examine([await most_work("ALICE")])
        assert peak_kib(worker.process.pid) - idle < 64 << 10
    finally:
        await pool.close()


async def test_the_longest_text_is_an_ordinary_refusal():
    """A key of ASCII and one character beyond: four bytes each once decoded, and in the error."""
    text = b"a" * (wire.MAX_DECODED_BYTES - 64) + "\U0001f600".encode()
    document = b"\x81\xdb" + len(text).to_bytes(4, "big") + text + b"\xc0"
    compressed = zstandard.ZstdCompressor(write_content_size=True).compress(document)
    pool = await make_pool(num_workers=1)
    try:
        (finding,) = await pool.examine([as_job(b"TRIB\x01" + compressed)])
        assert finding.reason is Reason.SCHEMA
    finally:
        await pool.close()


def peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def test_setup_and_job_survive_the_pipe():
    setup = WorkerSetup(environment=ENVIRONMENT.ref, intake=IntakeSettings())
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(setup), type=WorkerSetup) == setup


async def test_a_machine_that_starts_no_process_is_waited_for(monkeypatch):
    pool = await make_pool()
    try:
        process = pool.workers[0].process
        assert process is not None
        process.kill()
        await process.wait()
        monkeypatch.setattr(sys, "executable", "/bin/false")
        examining = asyncio.create_task(pool.examine([await honest_job()]))
        await asyncio.sleep(0.5)
        assert not examining.done()
        monkeypatch.undo()
        (finding,) = await examining
        assert finding is not None
        assert finding.rewards == (1.0, 0.0)
    finally:
        await pool.close()


async def test_a_process_that_does_not_start_at_first_is_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="a judging process does not start"):
        await make_pool()
