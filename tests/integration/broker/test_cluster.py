"""Logs and queues on three replicas, where a server answers otherwise than alone.

Between a write and its majority the same write is told 10158 (its id is under way), and one with an
expectation about the same subject 10164. A resend of what is stored is answered as a duplicate.
"""

import asyncio

import nats
import pytest
from nats.aio.msg import Msg

from broker.interface import StreamKind, StreamSpec
from broker.jetstream import NatsBroker, api
from schemas.errors import BrokerError, BrokerUnavailable, Fenced, QueueFull
from tests.support.clusters import NUM_NODES, until_done, until_made

pytestmark = [pytest.mark.integration, pytest.mark.alone]


@pytest.fixture
def urls(cluster):
    return cluster.urls


@pytest.fixture
async def brokers(urls):
    """A connection to each server."""
    brokers = [await NatsBroker.connect(url, name="test") for url in urls]
    yield brokers
    for broker in brokers:
        await broker.close()


@pytest.fixture
async def log(brokers, unique):
    name = unique("LOG")
    spec = StreamSpec(
        name=name, subjects=(f"{name}.*",), kind=StreamKind.LOG, num_replicas=NUM_NODES
    )
    await until_made(brokers[0], spec)
    return name


@pytest.fixture
async def queue(brokers, unique):
    name = unique("QUEUE")
    spec = StreamSpec(
        name=name,
        subjects=(f"{name}.*",),
        kind=StreamKind.QUEUE,
        consumer="intake",
        max_bytes=20_000,
        num_replicas=NUM_NODES,
    )
    await until_made(brokers[0], spec)
    return name


async def test_of_racing_writers_exactly_one_wins_each_time(brokers, log):
    async def attempt(writer: NatsBroker, data: bytes, last: int) -> bool:
        try:
            await writer.append(log, f"{log}.x", data, expected_last=last)
        except Fenced:
            return False
        return True

    count = 30
    for last in range(count):
        attempts = [attempt(brokers[writer % 3], b"%d" % writer, last) for writer in range(9)]
        assert sum(await asyncio.gather(*attempts)) == 1
    assert (await brokers[2].state(log)).num_messages == count


@pytest.mark.parametrize(
    ("code", "header", "value"),
    [(10158, "Nats-Msg-Id", "same-{}"), (10164, "Nats-Expected-Last-Subject-Sequence", "0")],
)
async def test_a_write_that_is_under_way_is_to_be_tried_again(
    brokers, log, urls, code, header, value
):
    # From here on the client's node knows who serves the new subjects.
    await until_done(brokers[0].append, log, f"{log}.ready", b"x", expected_last=0)
    client = await nats.connect(urls[0])

    async def burst(number: int) -> list[Msg]:
        subject, headers = f"{log}.{number}", {header: value.format(number)}
        writes = [client.request(subject, b"x", headers=headers, timeout=5) for _ in range(20)]
        return await asyncio.gather(*writes)

    # Of twenty at once some come while the first has no majority yet: nearly always.
    try:
        bursts = [await burst(number) for number in range(5)]
    finally:
        await client.close()
    told = b'"err_code":%d' % code
    under_way = [one for answers in bursts for one in answers if told in one.data]
    assert under_way
    with pytest.raises(BrokerUnavailable):
        api.decode(under_way[0], log, api.PubAck)


async def test_a_message_that_is_sent_twice_at_once_is_stored_once(brokers, queue):
    """As it is when the first answer is late."""
    sent = [until_done(brokers[sender % 3].publish, f"{queue}.a", b"x") for sender in range(9)]
    stored = await asyncio.gather(*sent)
    assert {one.sequence for one in stored} == {1}
    assert [one.duplicate for one in stored].count(False) == 1


async def test_a_write_whose_answer_was_lost_is_repeated_without_harm(brokers, log):
    first, second, _ = brokers

    async def append(broker: NatsBroker, data: bytes, last: int) -> int:
        return await until_done(broker.append, log, f"{log}.x", data, expected_last=last)

    assert await append(first, b"mine", 0) == 1
    assert await append(first, b"mine", 0) == 1
    assert await append(second, b"behind", 1) == 2
    assert await append(first, b"mine", 0) == 1
    with pytest.raises(Fenced):
        await append(first, b"late", 1)
    assert (await first.state(log)).num_messages == 2


async def test_a_full_queue_refuses_and_remembers_nothing(brokers, queue):
    broker, data = brokers[1], bytes(8_000)
    await broker.publish(f"{queue}.a", data + b"1")
    await broker.publish(f"{queue}.a", data + b"2")
    with pytest.raises(QueueFull):
        await broker.publish(f"{queue}.a", data + b"3")
    (delivery,) = await until_pulled(broker, queue)
    await delivery.ack()
    stored = await until_room(broker, queue, data + b"3")
    assert not stored.duplicate


async def test_a_stream_with_another_number_of_copies_is_named(brokers, log):
    alone = StreamSpec(name=log, subjects=(f"{log}.*",), kind=StreamKind.LOG)
    with pytest.raises(BrokerError, match="has num_replicas 3, wanted is 1"):
        await brokers[0].ensure_stream(alone)
    assert (await brokers[0].spec(log)).num_replicas == NUM_NODES


def test_to_remove_what_is_gone_on_one_node_alone_is_no_failure():
    """Seen when a node was restarted, never at will: an ack that was lost had its effect later."""
    told = api.ApiError(code=400, err_code=10043, description="sequence 197 not found")
    assert isinstance(api.to_error(told, "STREAM.MSG.DELETE"), api.NoMessage)


async def until_pulled(broker: NatsBroker, queue: str):
    async with asyncio.timeout(20):
        while True:
            pulled = await until_done(pull_one, broker, queue)
            if pulled:
                return pulled


async def pull_one(broker: NatsBroker, queue: str):
    return await broker.pull(queue, "intake", max_messages=1, max_bytes=1 << 20, timeout_s=1.0)


async def until_room(broker: NatsBroker, queue: str, data: bytes):
    async with asyncio.timeout(20):
        while True:
            try:
                return await broker.publish(f"{queue}.a", data)
            except QueueFull:
                await asyncio.sleep(0.1)


async def test_a_pull_waits_for_what_the_last_word_of_the_server_has_overtaken(brokers, queue):
    """A message goes out when a majority knows of it, the word that a bound is reached at once."""
    messages = [bytes([number]) * 1000 for number in range(16)]
    for message in messages:
        await brokers[0].publish(f"{queue}.a", message)
    taken = []
    while len(taken) < len(messages):
        pulled = await brokers[0].pull(
            queue, "intake", max_messages=len(messages), max_bytes=5000, timeout_s=2
        )
        assert pulled, "what was handed to nobody comes again after its ack wait only"
        taken += pulled
    assert [delivery.record.data for delivery in taken] == messages
    assert (await brokers[0].state(queue)).num_redelivered == 0
