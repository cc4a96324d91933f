"""Signals: the first one drains, the second one stops at once."""

import asyncio
import os
import signal

import pytest

from actors.start import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_drains_and_the_second_stops(number):
    draining = asyncio.Event()

    async def work() -> None:
        stop = stop_on_signals()
        await stop.wait()
        draining.set()
        await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    os.kill(os.getpid(), number)
    await asyncio.wait_for(draining.wait(), 1)
    assert not working.done()
    os.kill(os.getpid(), number)
    with pytest.raises(asyncio.CancelledError):
        await working
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(each)
