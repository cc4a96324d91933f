"""The pool of judging processes: limits are real, a hit costs one process, and the next message is
judged."""

import asyncio
import random
import sys
from pathlib import Path

import msgspec
import pytest
import zstandard

from learner.coordinator.workers import WorkerPool
from schemas import wire
from schemas.errors import UserError
from schemas.rollout import RolloutGroup, VersionSpan
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


def enveloped(document: bytes) -> bytes:
    return b"TRIB\x01" + zstandard.ZstdCompressor(write_content_size=True).compress(document)


def text_of(num_bytes: int) -> bytes:
    """A text of ASCII and one character beyond: four bytes each once decoded, and in an error."""
    text = b"a" * (num_bytes - 4) + "\U0001f600".encode()
    return b"\xdb" + num_bytes.to_bytes(4, "big") + text


def listed(element: bytes) -> bytes:
    """As many of these as a message holds, where the rollouts should be."""
    count = (wire.MAX_DECODED_BYTES - 64) // len(element)
    return b"\x81\xa8rollouts\xdd" + count.to_bytes(4, "big") + element * count


async def longest_rollouts() -> bytes:
    """As many tokens as a message holds, in answer to an open lease."""
    group = wire.decode((await honest_job()).data, RolloutGroup)
    num_tokens = wire.MAX_DECODED_BYTES // 9 // len(group.rollouts) - 1000
    rollout = msgspec.structs.replace(
        group.rollouts[0],
        token_ids=bytes(4 * num_tokens),
        loss_mask=b"\0" + b"\1" * (num_tokens - 1),
        logprobs=bytes(4 * (num_tokens - 1)),
        spans=(VersionSpan(num_tokens=num_tokens - 1, policy=group.policy),),
    )
    rollouts = (rollout,) * len(group.rollouts)
    return wire.encode(msgspec.structs.replace(group, rollouts=rollouts))


LONGEST_TEXT = text_of(wire.MAX_DECODED_BYTES - 64)
KINDS = {
    "nothing": b"",
    "noise": random.Random(0).randbytes(1 << 21),
    "zeros": enveloped(bytes(wire.MAX_DECODED_BYTES)),
    "declares too much": enveloped(bytes(wire.MAX_DECODED_BYTES + 1)),
    "a text as key": enveloped(b"\x81" + LONGEST_TEXT + b"\xc0"),
    "a text as run": enveloped(b"\x81\xa3run" + LONGEST_TEXT),
    "many rollouts": enveloped(listed(b"\x80")),
    "nested": enveloped(listed(b"\x91")),
    "many keys": enveloped(b"\xdf" + (1 << 20).to_bytes(4, "big") + b"\xa1r\xc0" * (1 << 20)),
}


async def test_bytes_of_any_kind_cost_a_worker_little():
    """Promise 5 without the kernel's help: no limit binds here, and still nothing costs so much."""
    jobs = {kind: as_job(data) for kind, data in KINDS.items()}
    jobs["long rollouts"] = as_job(await longest_rollouts())
    jobs["most objects"] = await most_work("ALICE")
    pool = await make_pool(num_workers=1, max_memory_mib=1 << 12, max_cpu_ms=60_000)
    try:
        (worker,) = pool.workers
        assert worker.process is not None
        pid = worker.process.pid
        await pool.examine([await honest_job()])
        idle, cost_mib = memory_kib(pid, "VmRSS"), dict[str, float]()
        for kind, job in jobs.items():
            reset_peak(pid)
            (finding,) = await pool.examine([job])
            assert finding is not None, kind
            assert finding.reason not in ("", Reason.MEMORY, Reason.JUDGING_FAILED), kind
            cost_mib[kind] = (memory_kib(pid, "VmHWM") - idle) / 1024
        assert worker.process.pid == pid
        assert max(cost_mib.values()) < 64, cost_mib
        assert max(cost_mib.values()) > 16, cost_mib  # It is measured.
    finally:
        await pool.close()


async def test_the_longest_text_is_an_ordinary_refusal():
    pool = await make_pool(num_workers=1)
    try:
        (finding,) = await pool.examine([as_job(KINDS["a text as key"])])
        assert finding.reason is Reason.SCHEMA
    finally:
        await pool.close()


def reset_peak(pid: int) -> None:
    """Until now it was that of the start, imports included."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def memory_kib(pid: int, which: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition(f"{which}:")[2].split()[0])


async def test_a_process_that_does_not_start_at_first_is_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="a judging process does not start"):
        await make_pool()
