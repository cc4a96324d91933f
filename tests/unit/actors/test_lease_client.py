"""A request for work is one question, however often it has to be asked."""

import asyncio

import pytest

from actors import lease_client
from actors.lease_client import LeaseClient
from actors.status import Status
from broker.memory import MemoryBroker, MemoryServer
from schemas import names, wire
from schemas.errors import PermissionDenied
from schemas.heartbeat import State
from schemas.lease import LeaseReply, LeaseRequest
from schemas.policy import PolicyId
from tests.support.actors import ACTOR, FIRST, PROFILE, RUN, make_lease

SUBJECT = names.lease_subject(RUN, ACTOR)


@pytest.fixture
async def server():
    return MemoryServer()


@pytest.fixture
async def coordinator(server):
    broker = MemoryBroker(server)
    yield broker
    await broker.close()


@pytest.fixture
async def status():
    return Status()


@pytest.fixture
async def client(server, status):
    broker = MemoryBroker(server)
    yield LeaseClient(
        broker,
        run=RUN,
        actor=ACTOR,
        instance="i1",
        profile=PROFILE,
        spooled=[3],
        status=status,
        answer_timeout_s=0.05,
    )
    await broker.close()


async def test_the_same_request_is_sent_until_it_is_answered(client, coordinator):
    heard = []

    async def answer(_subject: str, data: bytes) -> bytes:
        heard.append(data)
        if len(heard) == 1:
            await asyncio.sleep(10)
        if len(heard) == 2:
            return b"noise"
        return wire.encode(LeaseReply(leases=(make_lease(7),)))

    await coordinator.serve(SUBJECT, answer)
    reply = await client.ask(2, FIRST, "")
    assert [lease.lease_id for lease in reply.leases] == [7]
    assert len(heard) == 3
    assert len(set(heard)) == 1

    await client.ask(2, FIRST, "")
    first, second = (wire.decode(data, LeaseRequest) for data in heard[2:])
    assert first.request_id != second.request_id
    assert (first.spooled, second.spooled) == ((3,), ())
    assert (first.held, first.wanted, first.instance) == (PolicyId(1, 0), 2, "i1")


async def test_what_is_given_back_is_named_until_an_answer_comes(client, coordinator):
    heard: list[LeaseRequest] = []

    async def answer(_subject: str, data: bytes) -> bytes:
        heard.append(wire.decode(data, LeaseRequest))
        if len(heard) == 1:
            client.give_back(6)
        return wire.encode(LeaseReply())

    await coordinator.serve(SUBJECT, answer)
    client.give_back(5)
    await client.ask(0, None, "")
    # 6 was given back after the first request had left.
    assert client.owes_word
    await client.ask(0, None, "")
    assert not client.owes_word
    assert [request.abandoned for request in heard] == [(5,), (6,)]


async def test_says_who_is_away(client, server, status):
    asking = asyncio.create_task(client.ask(1, None, ""))
    await status.changes.until(lambda: "nobody answers" in status.waiting_for)
    assert status.state is State.WAITING_FOR_LEASE
    server.stop()
    await status.changes.until(lambda: "no answer" in status.waiting_for)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_a_denied_request_is_not_repeated(server, status):
    broker = MemoryBroker(server, may_publish=lambda _subject: False)
    client = LeaseClient(
        broker,
        run=RUN,
        actor=ACTOR,
        instance="i1",
        profile=PROFILE,
        spooled=[],
        status=status,
    )
    with pytest.raises(PermissionDenied):
        await client.ask(1, None, "")


async def test_a_farewell_to_nobody_is_over_at_once(client):
    client.give_back(5)
    async with asyncio.timeout(0.5):
        assert not await client.farewell()
    assert client.owes_word


async def test_a_farewell_does_not_wait_long_for_a_coordinator_that_hangs(
    client, coordinator, monkeypatch
):
    heard = asyncio.Event()

    async def hang(_subject: str, data: bytes) -> bytes:
        heard.set()
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(lease_client, "_FAREWELL_TIMEOUT_S", 0.05)
    await coordinator.serve(SUBJECT, hang)
    client.give_back(5)
    async with asyncio.timeout(0.5):
        assert not await client.farewell()
    assert heard.is_set()
    assert client.owes_word
