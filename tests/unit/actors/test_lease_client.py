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
from schemas.lease import ANSWER_TIMEOUT_S, MAX_HOLD_S, LeaseReply, LeaseRequest, WaitReason
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
def spooled() -> list[int]:
    return [3]


@pytest.fixture
async def client(server, status, spooled):
    broker = MemoryBroker(server)
    yield LeaseClient(
        broker,
        run=RUN,
        actor=ACTOR,
        instance="i1",
        profile=PROFILE,
        spooled=lambda: spooled,
        status=status,
        answer_timeout_s=0.05,
    )
    await broker.close()


async def test_the_same_request_is_sent_until_it_is_answered(client, coordinator, spooled):
    heard = []

    async def answer(_subject: str, data: bytes) -> bytes:
        heard.append(data)
        if len(heard) == 1:
            await asyncio.sleep(10)
        if len(heard) == 2:
            return b"noise"
        return wire.encode(LeaseReply(leases=(make_lease(7),)))

    await coordinator.serve(SUBJECT, answer)
    reply = await client.ask(2, FIRST)
    assert [lease.lease_id for lease in reply.leases] == [7]
    assert len(heard) == 3
    assert len(set(heard)) == 1

    await client.ask(2, FIRST)
    first, second = (wire.decode(data, LeaseRequest) for data in heard[2:])
    assert first.request_id != second.request_id
    # What is published meanwhile is not named any more; until then it is, in every request.
    assert (first.spooled, second.spooled) == ((3,), (3,))
    spooled.clear()
    await client.ask(2, FIRST)
    assert wire.decode(heard[-1], LeaseRequest).spooled == ()
    assert (first.held, first.wanted, first.instance) == (PolicyId(1, 0), 2, "i1")


async def test_what_is_given_back_while_a_question_is_held_is_told_at_once(client, coordinator):
    heard: list[LeaseRequest] = []
    told = asyncio.Event()

    async def answer(_subject: str, data: bytes) -> bytes:
        heard.append(wire.decode(data, LeaseRequest))
        if len(heard) == 1:
            client.give_back(6)
            # Held until it is displaced, as the coordinator does where there is no capacity.
            await told.wait()
        told.set()
        return wire.encode(LeaseReply())

    await coordinator.serve(SUBJECT, answer)
    client.give_back(5)
    await client.ask(2, None)
    first, second = heard
    assert (first.abandoned, first.wanted) == ((5,), 2)
    assert (second.abandoned, second.wanted) == ((5, 6), 0)


async def test_what_is_given_back_is_named_until_an_answer_comes(client, coordinator):
    client.give_back(5)
    assert not await client.tell()
    assert client.owes_word

    async def answer(_subject: str, data: bytes) -> bytes:
        assert wire.decode(data, LeaseRequest).abandoned == (5,)
        return wire.encode(LeaseReply())

    await coordinator.serve(SUBJECT, answer)
    await client.ask(0, None)
    assert not client.owes_word


async def test_a_finished_run_whose_coordinator_is_gone_is_still_finished(
    client, coordinator, status
):
    async def answer(_subject: str, _data: bytes) -> bytes:
        return wire.encode(LeaseReply(waiting_for=WaitReason.FINISHED))

    await coordinator.serve(SUBJECT, answer)
    await client.ask(1, None)
    await coordinator.close()
    asking = asyncio.create_task(client.ask(1, None))
    await status.changes.until(lambda: status.state is State.FINISHED)
    assert status.waiting_for == "nothing: the run is finished"
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_says_who_is_away(client, server, status):
    asking = asyncio.create_task(client.ask(1, None))
    await status.changes.until(lambda: "run demo has none" in status.waiting_for)
    assert status.state is State.COORDINATOR_AWAY
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
        spooled=tuple,
        status=status,
    )
    with pytest.raises(PermissionDenied):
        await client.ask(1, None)


async def test_a_coordinator_that_keeps_a_request_waiting_is_not_away(server, coordinator, status):
    assert MAX_HOLD_S + 1.0 < ANSWER_TIMEOUT_S
    scale = 0.1

    async def hold(_subject: str, data: bytes) -> bytes:
        await asyncio.sleep(MAX_HOLD_S * scale)
        return wire.encode(LeaseReply())

    await coordinator.serve(SUBJECT, hold)
    broker = MemoryBroker(server)
    client = LeaseClient(
        broker,
        run=RUN,
        actor=ACTOR,
        instance="i1",
        profile=PROFILE,
        spooled=tuple,
        status=status,
        answer_timeout_s=ANSWER_TIMEOUT_S * scale,
    )
    away = asyncio.create_task(status.changes.until(lambda: status.away))
    await client.ask(2, FIRST)
    assert not away.done()
    away.cancel()
    await broker.close()


async def test_a_farewell_to_nobody_is_over_at_once(client):
    client.give_back(5)
    async with asyncio.timeout(0.5):
        assert not await client.tell()
    assert client.owes_word


async def test_a_farewell_does_not_wait_long_for_a_coordinator_that_hangs(
    client, coordinator, monkeypatch
):
    heard = asyncio.Event()

    async def hang(_subject: str, data: bytes) -> bytes:
        heard.set()
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(lease_client, "_TELL_TIMEOUT_S", 0.05)
    await coordinator.serve(SUBJECT, hang)
    client.give_back(5)
    async with asyncio.timeout(0.5):
        assert not await client.tell()
    assert heard.is_set()
    assert client.owes_word
