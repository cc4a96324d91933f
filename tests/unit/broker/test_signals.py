"""Signals: the first one asks to end, the second one ends at once."""

import asyncio
import os
import signal

import pytest

from broker.program.signals import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_is_told_and_the_second_cancels(number):
    said, ending = [], asyncio.Event()

    async def work() -> None:
        stop = stop_on_signals(lambda: said.append("ends"))
        await stop.wait()
        ending.set()
        await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    os.kill(os.getpid(), number)
    await asyncio.wait_for(ending.wait(), 1)
    assert not working.done()
    os.kill(os.getpid(), number)
    with pytest.raises(asyncio.CancelledError):
        await working
    assert said == ["ends"]
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(each)
