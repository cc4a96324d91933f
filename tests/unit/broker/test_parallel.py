"""Jobs side by side, threads beside the event loop, and who waits for them."""

import asyncio
import functools
import threading

import pytest

from broker.parallel import run_all, run_in_thread


@pytest.mark.parametrize("num_cancels", [1, 2])
async def test_a_cancelled_thread_is_waited_for(num_cancels):
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go_on.wait(5)
        ended.set()

    task = asyncio.create_task(run_in_thread(work))
    await asyncio.to_thread(started.wait, 5)
    for _ in range(num_cancels):
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_what_a_thread_raises_comes_through():
    def work() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        await run_in_thread(work)


async def test_jobs_that_are_cancelled_come_to_their_end():
    ended = []

    async def job(end_s: float) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(end_s)
            ended.append(end_s)

    jobs = [functools.partial(job, end_s) for end_s in (0, 0.02)]
    task = asyncio.create_task(run_all(jobs, at_once=2))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [0, 0.02]


async def test_the_first_failure_ends_the_others_and_is_raised():
    ended = []

    async def fail() -> None:
        raise OSError("full")

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    with pytest.raises(OSError, match="full"):
        await run_all([wait, fail], at_once=2)
    assert ended == [True]
