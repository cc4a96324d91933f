"""Requests, replies and notices that need not last: the twin in memory and NATS alike."""

import asyncio
from contextlib import aclosing

import pytest

from broker.interface import Broker
from broker.turnstile import MAX_INSIDE
from schemas.errors import BrokerError, BrokerUnavailable, NoResponders


async def test_request_and_reply(connect, broker: Broker, unique):
    server, word = await connect(), unique("lease")

    async def answer(subject: str, data: bytes) -> bytes:
        return subject.encode() + b" " + data

    await server.serve(f"{word}.demo.*", answer)
    assert await broker.request(f"{word}.demo.ALICE", b"?", timeout_s=5) == (
        f"{word}.demo.ALICE ?".encode()
    )


async def test_nobody_answers_at_once(broker, unique):
    async with asyncio.timeout(2):
        with pytest.raises(NoResponders):
            await broker.request(unique("who"), b"?", timeout_s=30)


async def test_a_server_that_left_is_nobody(connect, broker, unique):
    server, subject = await connect(), unique("who")

    async def answer(subject: str, data: bytes) -> bytes:
        return b"me"

    await server.serve(subject, answer)
    assert await broker.request(subject, b"?", timeout_s=5) == b"me"
    await server.close()
    with pytest.raises(NoResponders):
        await broker.request(subject, b"?", timeout_s=5)


async def test_a_frozen_server_is_a_timeout(broker, unique):
    subject = unique("who")

    async def never(subject: str, data: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    await broker.serve(subject, never)
    with pytest.raises(BrokerUnavailable):
        await broker.request(subject, b"?", timeout_s=0.1)


async def test_requests_are_answered_side_by_side(broker, unique):
    subject, both = unique("grant"), asyncio.Barrier(2)

    async def answer(subject: str, data: bytes) -> bytes:
        await both.wait()
        return data

    await broker.serve(subject, answer)
    replies = await asyncio.gather(
        broker.request(subject, b"1", timeout_s=5), broker.request(subject, b"2", timeout_s=5)
    )
    assert replies == [b"1", b"2"]


async def test_a_flood_of_one_subject_neither_grows_nor_reaches_the_others(connect, broker, unique):
    word, others, freed = unique("lease"), await connect(), asyncio.Event()
    handled: list[str] = []

    async def answer(subject: str, data: bytes) -> bytes:
        handled.append(subject)
        if subject.endswith("FLOOD"):
            await freed.wait()
        return data

    await broker.serve(f"{word}.*", answer)
    floods = [
        asyncio.create_task(others.request(f"{word}.FLOOD", b"%d" % number, timeout_s=1.0))
        for number in range(100)
    ]
    assert await broker.request(f"{word}.GOOD", b"?", timeout_s=5) == b"?"
    freed.set()
    answers = await asyncio.gather(*floods, return_exceptions=True)
    assert handled.count(f"{word}.FLOOD") == MAX_INSIDE
    assert sum(isinstance(answer, bytes) for answer in answers) == MAX_INSIDE
    assert await others.request(f"{word}.FLOOD", b"again", timeout_s=5) == b"again"


async def test_a_handler_that_raises_leaves_its_request_unanswered(broker, unique, capsys):
    subject = unique("grant")

    async def answer(subject: str, data: bytes) -> bytes:
        if data == b"bad":
            raise ValueError("what a request")
        return data

    await broker.serve(subject, answer)
    with pytest.raises(BrokerUnavailable):
        await broker.request(subject, b"bad", timeout_s=0.1)
    assert await broker.request(subject, b"good", timeout_s=5) == b"good"
    assert "what a request" in capsys.readouterr().out


async def test_notices_reach_all_who_listen(connect, broker, unique):
    word = unique("verdict")
    other = await connect()
    async with (
        aclosing(broker.listen(f"{word}.*")) as one,
        aclosing(other.listen(f"{word}.>")) as two,
    ):
        waiting = [asyncio.ensure_future(anext(each)) for each in (one, two)]
        await asyncio.sleep(0.1)
        await broker.notify(f"{word}.ALICE", b"accepted")
        await broker.notify(f"other.{word}", b"not for them")
        async with asyncio.timeout(5):
            assert await asyncio.gather(*waiting) == [(f"{word}.ALICE", b"accepted")] * 2


async def test_a_notice_without_listeners_is_lost(connect, broker, unique):
    word, other = unique("heartbeat"), await connect()
    await other.notify(word, b"nobody is there")
    # An answer to a question asked behind it: the notice has been at the server.
    with pytest.raises(NoResponders):
        await other.request(unique("who"), b"?", timeout_s=5)
    async with aclosing(broker.listen(word)) as heard:
        waiting = asyncio.ensure_future(anext(heard))
        await asyncio.sleep(0.1)
        await other.notify(word, b"somebody is")
        assert await asyncio.wait_for(waiting, 5) == (word, b"somebody is")


async def test_listeners_end_with_the_connection(broker, unique):
    async def listen() -> list[tuple[str, bytes]]:
        return [message async for message in broker.listen(unique("policy"))]

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.1)
    await broker.close()
    assert await asyncio.wait_for(listening, 5) == []


async def test_a_closed_connection_says_so(broker, unique):
    await broker.close()
    assert not broker.connected
    with pytest.raises(BrokerError, match="closed"):
        await broker.notify(unique("heartbeat"), b"here")
    with pytest.raises(BrokerError, match="closed"):
        await broker.publish(unique("rollouts"), b"here")
