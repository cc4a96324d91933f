import asyncio

import pytest

from broker import retry
from broker.interface import StreamKind, StreamSpec
from broker.memory import MemoryBroker, MemoryServer
from broker.publisher import Publisher
from schemas.errors import MessageTooLarge, PermissionDenied

ROOM_FOR_TWO = 2600


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_BOUND_S", 0.001)
    monkeypatch.setattr(retry, "LONGEST_BOUND_S", 0.005)


@pytest.fixture
async def server():
    server = MemoryServer()
    await MemoryBroker(server).ensure_stream(
        StreamSpec(
            name="Q",
            subjects=("q.*",),
            kind=StreamKind.QUEUE,
            consumer="c",
            max_bytes=ROOM_FOR_TWO,
            max_message_bytes=2000,
        )
    )
    return server


async def take_one(server: MemoryServer) -> bytes:
    (delivery,) = await MemoryBroker(server).pull(
        "Q", "c", max_messages=1, max_bytes=5000, timeout_s=1
    )
    await delivery.ack()
    return delivery.record.data


def message(number: int) -> bytes:
    return bytes([number]) * 1000


async def test_a_full_queue_is_waited_for_and_said(server):
    words: list[bool] = []
    publisher = Publisher(MemoryBroker(server), on_full=words.append)
    work = [asyncio.create_task(publisher.publish("q.a", message(i))) for i in range(4)]
    await asyncio.sleep(0.05)
    assert sum(task.done() for task in work) == 2
    assert words == [True]
    taken = {await take_one(server) for _ in range(4)}
    assert taken == {message(i) for i in range(4)}
    assert sorted(stored.sequence for stored in await asyncio.gather(*work)) == [1, 2, 3, 4]
    assert words[-1] is False


async def test_a_broker_that_is_away_is_waited_for(server):
    server.stop()
    publisher = Publisher(MemoryBroker(server))
    work = asyncio.create_task(publisher.publish("q.a", b"kept"))
    await asyncio.sleep(0.05)
    assert not work.done()
    server.start()
    assert (await work).sequence == 1


async def test_a_lost_answer_is_one_message(server):
    server.lose_answers(1)
    stored = await Publisher(MemoryBroker(server)).publish("q.a", b"once")
    assert (stored.sequence, stored.duplicate) == (1, True)
    assert server.stream("Q").last_sequence == 1


async def test_what_no_retry_can_help_is_raised_at_once(server):
    denied = MemoryBroker(server, may_publish=lambda subject: subject == "q.mine")
    publisher = Publisher(denied)
    with pytest.raises(PermissionDenied, match=r"q\.yours"):
        await publisher.publish("q.yours", b"data")
    with pytest.raises(MessageTooLarge):
        await publisher.publish("q.mine", b"x" * 2001)
    assert (await publisher.publish("q.mine", b"data")).sequence == 1


async def test_the_window_is_bounded_in_messages_and_bytes(server):
    server.stop()
    attempts: list[bytes] = []

    class Counted(MemoryBroker):
        async def publish(self, subject, data, *, timeout_s=5.0):
            attempts.append(data)
            return await super().publish(subject, data, timeout_s=timeout_s)

    publisher = Publisher(Counted(server), max_messages=2, max_bytes=1500)
    work = [asyncio.create_task(publisher.publish("q.a", bytes([i]) * 1000)) for i in range(3)]
    await asyncio.sleep(0.02)
    assert set(attempts) == {message(0)}  # two would be more than the window has bytes
    work += [asyncio.create_task(publisher.publish("q.a", bytes([i]) * 10)) for i in range(3, 6)]
    await asyncio.sleep(0.02)
    assert len(set(attempts)) == 2
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    server.start()
    assert (await publisher.publish("q.a", b"after")).sequence == 1


async def test_a_message_above_the_window_goes_alone(server):
    publisher = Publisher(MemoryBroker(server), max_bytes=100)
    stored = await asyncio.gather(*(publisher.publish("q.a", message(i)) for i in range(2)))
    assert [each.sequence for each in stored] == [1, 2]


def test_waits_grow_to_a_bound_and_have_jitter():
    longest = [max(retry.full_jitter_s(attempt) for _ in range(200)) for attempt in (1, 2, 9, 99)]
    assert longest[0] <= 0.001
    assert longest[0] < longest[1] <= 0.002
    assert max(longest) <= 0.005
    assert len({retry.full_jitter_s(3) for _ in range(20)}) > 1
