"""What the trainer says about itself."""

import asyncio

import pytest
from structlog.testing import capture_logs

from broker.memory import MemoryBroker, MemoryServer
from learner.trainer.heartbeats import Heartbeats
from learner.trainer.portal import Portal
from schemas.errors import StoreUnavailable
from schemas.heartbeat import State


@pytest.mark.parametrize("num_ticks", range(8))
def test_it_can_be_ended_in_every_instant_of_a_change(num_ticks: int) -> None:
    async def change_and_cancel() -> bool:
        beating = asyncio.create_task(heartbeats.beat())
        await asyncio.sleep(0.01)  # until it waits for a change
        heartbeats.say(State.TRAINING)
        for _ in range(num_ticks):
            await asyncio.sleep(0)
        beating.cancel()
        done, _ = await asyncio.wait({beating}, timeout=0.5)
        return bool(done)

    with Portal() as portal:
        heartbeats = Heartbeats(portal, MemoryBroker(MemoryServer()), "r", "trainer-1")
        assert portal.call(change_and_cancel())


def test_a_storage_that_is_away_is_logged_once_when_it_goes_and_once_when_it_is_back() -> None:
    def ask(heartbeats: Heartbeats, *, away: bool) -> None:
        with heartbeats.asking_store():
            if away:
                raise StoreUnavailable("no answer")

    with Portal() as portal, capture_logs() as logs:
        heartbeats = Heartbeats(portal, MemoryBroker(MemoryServer()), "r", "trainer-1")
        ask(heartbeats, away=False)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                ask(heartbeats, away=True)
        ask(heartbeats, away=False)
        ask(heartbeats, away=False)
    assert [line["event"] for line in logs] == ["storage-away", "storage-back"]
