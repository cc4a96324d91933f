"""Threads beside the event loop, and who waits for them."""

import asyncio
import threading

import pytest

from broker.parallel import run_in_thread


async def test_a_cancelled_thread_is_waited_for():
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go_on.wait(5)
        ended.set()

    task = asyncio.create_task(run_in_thread(work))
    await asyncio.to_thread(started.wait, 5)
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
