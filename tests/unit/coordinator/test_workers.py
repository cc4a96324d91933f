"""The pool of judging processes: limits are real, a hit costs one process, and the next message is
judged."""

import asyncio
import sys
from pathlib import Path

import pytest
import zstandard

from learner.coordinator.workers import WorkerPool
from schemas import wire
from schemas.errors import UserError
from schemas.verdict import Reason
from tests.support.worker_jobs import as_job, honest_job, make_setup, most_work


async def make_pool(**limits: int) -> WorkerPool:
    pool = WorkerPool(make_setup(**limits))
    await pool.start()
    return pool


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


async def test_a_process_that_does_not_start_at_first_is_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="a judging process does not start"):
        await make_pool()
