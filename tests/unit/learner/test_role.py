"""Who holds a role, and what a starter is told."""

import asyncio

import pytest

from broker.memory import MemoryBroker, MemoryServer
from learner.role import check_free, claim
from schemas.errors import BrokerUnavailable, RoleTaken
from schemas.names import COORDINATOR, who_subject

WHO = who_subject("test", COORDINATOR)


@pytest.fixture
def server():
    return MemoryServer()


async def test_a_free_role_is_taken_and_answered_for(server):
    await claim(MemoryBroker(server), "test", COORDINATOR, "the first", take_over=False)
    assert await MemoryBroker(server).request(WHO, b"", timeout_s=1.0) == b"the first"


@pytest.mark.parametrize("take_over", [False, True])
async def test_a_holder_that_answers_is_named(server, take_over):
    await claim(MemoryBroker(server), "test", COORDINATOR, "the first", take_over=False)
    with pytest.raises(RoleTaken, match=r"coordinator .* the first; stop it first") as refused:
        await claim(MemoryBroker(server), "test", COORDINATOR, "me", take_over=take_over)
    assert ("--take-over is for one that does not answer" in str(refused.value)) == take_over


async def freeze(server: MemoryServer) -> None:
    async def never(_subject: str, _request: bytes) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    await MemoryBroker(server).serve(WHO, never)


async def test_a_frozen_holder_is_replaced_only_on_request(server, monkeypatch):
    monkeypatch.setattr("learner.role._ASK_TIMEOUT_S", 0.01)
    await freeze(server)
    with pytest.raises(RoleTaken, match="--take-over"):
        await claim(MemoryBroker(server), "test", COORDINATOR, "me", take_over=False)
    await claim(MemoryBroker(server), "test", COORDINATOR, "me", take_over=True)


@pytest.mark.parametrize("take_over", [False, True])
async def test_a_server_that_is_away_says_nothing_about_the_holder(server, take_over):
    await claim(MemoryBroker(server), "test", COORDINATOR, "the first", take_over=False)
    server.stop()
    with pytest.raises(BrokerUnavailable):
        await check_free(MemoryBroker(server), "test", COORDINATOR, take_over=take_over)
    claiming = asyncio.create_task(
        claim(MemoryBroker(server), "test", COORDINATOR, "me", take_over=take_over)
    )
    await asyncio.sleep(0.01)
    assert not claiming.done()
    server.start()
    with pytest.raises(RoleTaken, match="the first"):
        await claiming
