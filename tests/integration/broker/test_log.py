"""What every log must do: the twin in memory and JetStream alike."""

import asyncio
from contextlib import aclosing

import pytest

from broker.interface import Broker, StreamKind, StreamSpec
from broker.jetstream import NatsBroker
from schemas.errors import BrokerError, Fenced


@pytest.fixture
async def log(broker: Broker, unique):
    name = unique("log")
    spec = StreamSpec(
        name=name, subjects=(f"{name}.ledger", f"{name}.batches.*"), kind=StreamKind.LOG
    )
    await broker.ensure_stream(spec)
    await broker.ensure_stream(spec)
    return name


async def write(broker: Broker, log: str, count: int, first: int = 1) -> None:
    for sequence in range(first, first + count):
        await broker.append(
            log, f"{log}.ledger", b"entry %d" % sequence, expected_last=sequence - 1
        )


async def first_of(iterator, count: int):
    async with aclosing(iterator) as records:
        return [await anext(records) for _ in range(count)]


async def test_append_returns_the_sequence(broker, log):
    for expected_last in range(3):
        sequence = await broker.append(log, f"{log}.ledger", b"x", expected_last=expected_last)
        assert sequence == expected_last + 1
    # Equal bytes at different places are different entries.
    assert [record.data async for record in broker.read(log)] == [b"x"] * 3


async def test_a_write_whose_answer_was_lost_is_repeated_without_harm(broker, log):
    await write(broker, log, 2)
    again = await broker.append(log, f"{log}.ledger", b"entry 2", expected_last=1)
    assert again == 2
    assert (await broker.state(log)).last_sequence == 2
    # Also when others have been written behind it.
    await write(broker, log, 1, first=3)
    assert await broker.append(log, f"{log}.ledger", b"entry 2", expected_last=1) == 2


async def test_what_another_stream_stores_is_refused(broker, log, unique):
    other = unique("log")
    spec = StreamSpec(name=other, subjects=(f"{other}.ledger",), kind=StreamKind.LOG)
    await broker.ensure_stream(spec)
    with pytest.raises(BrokerError):
        await broker.append(log, f"{other}.ledger", b"x", expected_last=0)
    assert (await broker.state(other)).last_sequence == 0


async def test_foreign_bytes_fence(broker, log):
    await write(broker, log, 2)
    with pytest.raises(Fenced) as caught:
        await broker.append(log, f"{log}.ledger", b"mine", expected_last=1)
    assert (caught.value.stream, caught.value.expected) == (log, 1)
    # Equal bytes on another subject are foreign too.
    with pytest.raises(Fenced):
        await broker.append(log, f"{log}.batches.1", b"entry 2", expected_last=1)
    assert (await broker.state(log)).last_sequence == 2


async def test_a_log_shorter_than_expected_fences(broker, log):
    await write(broker, log, 1)
    with pytest.raises(Fenced):
        await broker.append(log, f"{log}.ledger", b"mine", expected_last=5)


async def test_two_racing_writers_have_one_winner_each_time(connect, broker, log):
    other = await connect()

    async def attempt(writer: Broker, name: bytes, last: int) -> bool:
        try:
            await writer.append(log, f"{log}.ledger", name, expected_last=last)
        except Fenced:
            return False
        return True

    for last in range(50):
        wins = await asyncio.gather(attempt(broker, b"one", last), attempt(other, b"two", last))
        assert sorted(wins) == [False, True]
    assert (await broker.state(log)).num_messages == 50


async def test_read_a_part(broker, log):
    await write(broker, log, 40)
    assert [r.sequence async for r in broker.read(log)] == list(range(1, 41))
    assert [r.sequence async for r in broker.read(log, first=38)] == [38, 39, 40]
    assert [r.sequence async for r in broker.read(log, first=2, last=4)] == [2, 3, 4]
    assert [r.sequence async for r in broker.read(log, first=41)] == []
    record = await broker.get(log, 7)
    assert (record.stream, record.subject, record.data) == (log, f"{log}.ledger", b"entry 7")
    assert await broker.get(log, 41) is None


async def test_read_an_empty_log(broker, log):
    assert [record async for record in broker.read(log)] == []
    state = await broker.state(log)
    assert (state.num_messages, state.first_sequence, state.last_sequence) == (0, 1, 0)


async def test_the_last_of_a_subject(broker, log):
    assert await broker.last(log, f"{log}.ledger") is None
    await write(broker, log, 3)
    await broker.append(log, f"{log}.batches.1", b"batch", expected_last=3)
    assert (await broker.last(log, f"{log}.ledger")).sequence == 3
    assert (await broker.last(log, f"{log}.batches.*")).data == b"batch"
    assert await broker.last(log, f"{log}.batches.2") is None


async def test_follow_gives_the_old_and_waits_for_more(connect, broker, log):
    await write(broker, log, 3)
    reader = await connect()
    async with aclosing(reader.follow(log, first=2)) as records:
        assert [(await anext(records)).sequence for _ in range(2)] == [2, 3]
        waiting = asyncio.ensure_future(anext(records))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await write(broker, log, 1, first=4)
        assert (await asyncio.wait_for(waiting, 5)).data == b"entry 4"


async def test_a_record_is_the_same_however_it_is_had(broker, log):
    await write(broker, log, 60)
    read = [record async for record in broker.read(log)]
    assert await first_of(broker.follow(log), 60) == read
    assert [await broker.get(log, sequence) for sequence in range(1, 61)] == read
    assert await broker.last(log, f"{log}.ledger") == read[-1]


async def test_follow_a_subject(broker, log):
    await write(broker, log, 2)
    await broker.append(log, f"{log}.batches.1", b"one", expected_last=2)
    await write(broker, log, 1, first=4)
    await broker.append(log, f"{log}.batches.2", b"two", expected_last=4)
    records = await first_of(broker.follow(log, subject=f"{log}.batches.*"), 2)
    assert [record.data for record in records] == [b"one", b"two"]


async def test_follow_more_than_a_batch(broker, log):
    await write(broker, log, 600)
    records = await first_of(broker.follow(log), 600)
    assert [record.sequence for record in records] == list(range(1, 601))


async def test_followers_end_with_the_connection(connect, broker, log):
    await write(broker, log, 1)
    reader = await connect()
    async with aclosing(reader.follow(log)) as records:
        assert (await anext(records)).sequence == 1
        waiting = asyncio.ensure_future(anext(records, None))
        await asyncio.sleep(0.05)
        await reader.close()
        assert await asyncio.wait_for(waiting, 5) is None


@pytest.mark.integration
def test_followers_that_nobody_closes_end_quietly_with_the_event_loop(nats_url, unique):
    complaints, left_over, name = [], [], unique("log")

    async def read_a_little() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        broker = await NatsBroker.connect(nats_url, name=name)
        spec = StreamSpec(name=name, subjects=(f"{name}.>",), kind=StreamKind.LOG)
        await broker.ensure_stream(spec)
        await write(broker, name, 2)
        # An event loop closes what is left over in any order: several, to meet more than one.
        for _ in range(20):
            left_over.append(broker.follow(name))
            assert (await anext(left_over[-1])).sequence == 1
        await broker.close()

    asyncio.run(read_a_little())
    assert complaints == []
