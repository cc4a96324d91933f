"""What the trainer says about itself."""

import asyncio

import pytest

from broker.memory import MemoryBroker, MemoryServer
from learner.trainer.portal import Portal
from learner.trainer.pulse import Pulse
from schemas.heartbeat import State


@pytest.mark.parametrize("num_ticks", range(8))
def test_it_can_be_ended_in_every_instant_of_a_change(num_ticks: int) -> None:
    async def change_and_cancel() -> bool:
        beating = asyncio.create_task(pulse.beat())
        await asyncio.sleep(0.01)  # until it waits for a change
        pulse.say(State.TRAINING)
        for _ in range(num_ticks):
            await asyncio.sleep(0)
        beating.cancel()
        done, _ = await asyncio.wait({beating}, timeout=0.5)
        return bool(done)

    with Portal() as portal:
        pulse = Pulse(portal, MemoryBroker(MemoryServer()), "r", "trainer-1")
        assert portal.call(change_and_cancel())
