"""What every queue must do: the twin in memory and JetStream alike."""

import asyncio
import time
from contextlib import aclosing

import pytest
from msgspec.structs import replace

from broker.interface import Broker, StreamKind, StreamSpec
from schemas.errors import BrokerError, BrokerUnavailable, MessageTooLarge, QueueFull
from schemas.types import MAX_WIRE_BYTES

ALL = {"max_messages": 100, "max_bytes": 1 << 20}


@pytest.fixture
def spec(unique):
    name = unique("q")
    return StreamSpec(
        name=name,
        subjects=(f"{name}.*",),
        kind=StreamKind.QUEUE,
        consumer="intake",
        ack_wait_s=30.0,
    )


@pytest.fixture
async def queue(broker: Broker, spec):
    await broker.ensure_stream(spec)
    return spec.name


async def take(broker: Broker, queue: str, timeout_s: float = 0.0, **bounds):
    return await broker.pull(queue, "intake", **{**ALL, **bounds}, timeout_s=timeout_s)


async def test_publish_pull_ack(broker, queue):
    for sequence, data in enumerate((b"one", b"two"), start=1):
        stored = await broker.publish(f"{queue}.a", data)
        assert (stored.stream, stored.sequence, stored.duplicate) == (queue, sequence, False)
    first, second = await take(broker, queue)
    assert (first.record.data, second.record.data) == (b"one", b"two")
    assert (first.record.stream, first.record.sequence) == (queue, 1)
    assert first.record.subject == f"{queue}.a"
    assert abs(first.record.time - time.time()) < 60

    state = await broker.state(queue)
    assert (state.num_messages, state.num_ack_pending, state.num_pending) == (2, 2, 0)
    assert state.num_redelivered == 0
    await second.ack()
    state = await broker.state(queue)
    assert (state.num_messages, state.num_ack_pending) == (1, 1)
    await first.ack()
    state = await broker.state(queue)
    assert (state.num_messages, state.num_bytes, state.num_ack_pending) == (0, 0, 0)
    assert (state.first_sequence, state.last_sequence) == (3, 2)


async def test_a_stream_that_is_made_may_begin_behind_one_before_it(broker, spec):
    await broker.ensure_stream(spec, first_sequence=14)
    state = await broker.state(spec.name)
    assert (state.num_messages, state.first_sequence, state.last_sequence) == (0, 14, 13)
    for _ in range(2):  # One that is there goes on as it does, whatever is said of a new one.
        await broker.ensure_stream(spec)
        await broker.ensure_stream(spec, first_sequence=20)
    await broker.take_back(spec.name, "intake")
    assert (await broker.publish(f"{spec.name}.a", b"one")).sequence == 14
    (held,) = await take(broker, spec.name)
    assert held.record.sequence == 14
    await broker.purge(spec.name, before=15)
    state = await broker.state(spec.name)
    assert (state.num_messages, state.first_sequence, state.last_sequence) == (0, 15, 14)


async def test_an_ack_may_be_repeated(broker, queue):
    await broker.publish(f"{queue}.a", b"one")
    (delivery,) = await take(broker, queue)
    await delivery.ack()
    await delivery.ack()
    assert (await broker.state(queue)).num_messages == 0


async def test_a_purge_removes_all_below_a_sequence(broker, queue):
    for i in range(10):
        await broker.publish(f"{queue}.a", bytes([i]))
    taken = await take(broker, queue, max_messages=8)
    await taken[5].ack()  # In the middle, and one is left open at the front.
    await broker.purge(queue, before=1)
    assert (await broker.state(queue)).num_messages == 9
    await broker.purge(queue, before=8)
    state = await broker.state(queue)
    assert (state.num_messages, state.first_sequence, state.last_sequence) == (3, 8, 10)
    assert (state.num_ack_pending, state.num_pending) == (1, 2)
    await taken[0].ack()  # Gone already.
    left = await take(broker, queue)
    assert [delivery.record.sequence for delivery in left] == [9, 10]
    await broker.purge(queue, before=11)
    state = await broker.state(queue)
    assert (state.num_messages, state.first_sequence, state.num_ack_pending) == (0, 11, 0)
    assert (await broker.publish(f"{queue}.a", b"next")).sequence == 11


async def test_a_purge_of_some_subjects_leaves_the_others(broker, queue):
    for i in range(12):
        await broker.publish(f"{queue}.{'ab'[i % 2]}", bytes([i]))
    taken = await take(broker, queue, max_messages=4)
    await broker.purge(queue, before=10, pattern=f"{queue}.b")
    state = await broker.state(queue)
    assert (state.num_messages, state.first_sequence, state.last_sequence) == (8, 1, 12)
    assert (state.num_ack_pending, state.num_pending) == (2, 6)
    assert await broker.subjects(queue) == {f"{queue}.a": 6, f"{queue}.b": 2}
    await taken[1].ack()  # Gone already.
    await taken[0].ack()
    left = await take(broker, queue)
    assert [delivery.record.sequence for delivery in left] == [5, 7, 9, 10, 11, 12]


async def test_what_a_queue_does_not_hold_is_told(broker, queue):
    assert await broker.missing(queue, first=1, last=3) == {1, 2, 3}
    for i in range(8):
        await broker.publish(f"{queue}.{'ab'[i % 2]}", bytes([i]))
    assert await broker.missing(queue, first=1, last=8) == set()
    taken = await take(broker, queue, max_messages=1)
    await taken[0].ack()
    await broker.purge(queue, before=7, pattern=f"{queue}.b")
    assert await broker.missing(queue, first=1, last=10) == {1, 2, 4, 6, 9, 10}
    assert await broker.missing(queue, first=4, last=5) == {4}
    await broker.purge(queue, before=9)
    assert await broker.missing(queue, first=3, last=9) == {3, 4, 5, 6, 7, 8, 9}


async def test_what_is_pulled_is_what_a_get_gives(broker, queue):
    await broker.publish(f"{queue}.a", b"one")
    (delivery,) = await take(broker, queue)
    assert await broker.get(queue, 1) == delivery.record


async def test_an_empty_queue_gives_nothing(broker, queue):
    assert await take(broker, queue) == []
    start = time.monotonic()
    assert await take(broker, queue, timeout_s=0.2) == []
    assert time.monotonic() - start >= 0.2


async def test_a_waiting_pull_gets_what_comes(broker, queue):
    waiting = asyncio.create_task(take(broker, queue, timeout_s=10))
    await asyncio.sleep(0.05)
    await broker.publish(f"{queue}.a", b"late")
    (delivery,) = await waiting
    assert delivery.record.data == b"late"


async def test_a_cancelled_pull_takes_nothing_in_hand(broker, queue):
    waiting = asyncio.create_task(take(broker, queue, timeout_s=10))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await broker.publish(f"{queue}.a", b"late")
    assert len(await take(broker, queue, timeout_s=2)) == 1
    assert (await broker.state(queue)).num_redelivered == 0


async def test_bounds_of_a_pull(broker, queue):
    for i in range(6):
        await broker.publish(f"{queue}.a", bytes([i]) * 1000)
    assert len(await take(broker, queue, max_messages=2)) == 2
    assert 1 <= len(await take(broker, queue, max_bytes=3500)) <= 3
    # A single message above the bound comes alone.
    assert len(await take(broker, queue, max_bytes=10)) == 1


async def test_no_more_than_max_ack_pending_in_hand(broker, spec):
    await broker.ensure_stream(replace(spec, max_ack_pending=2))
    for i in range(4):
        await broker.publish(f"{spec.name}.a", bytes([i]))
    first, _ = await take(broker, spec.name)
    assert await take(broker, spec.name, timeout_s=0.1) == []
    await first.ack()
    (third,) = await take(broker, spec.name)
    assert third.record.data == bytes([2])


async def test_what_is_not_acked_comes_again(broker, spec):
    await broker.ensure_stream(replace(spec, ack_wait_s=0.5))
    await broker.publish(f"{spec.name}.a", b"one")
    (first, *_) = await take(broker, spec.name)
    (again, *_) = await take(broker, spec.name, timeout_s=10)
    assert again.record == first.record
    assert (await broker.state(spec.name)).num_redelivered == 1
    # The delivery whose time was over still acks the message.
    await first.ack()
    assert (await broker.state(spec.name)).num_messages == 0
    assert await take(broker, spec.name, timeout_s=0.7) == []


async def test_what_another_reader_has_in_hand_can_be_taken_back(connect, broker, queue):
    for data in (b"one", b"two", b"three", b"four"):
        await broker.publish(f"{queue}.a", data)
    gone = await connect()
    first, second, third = await take(gone, queue, max_messages=3)
    await first.ack()
    await third.ack()
    await gone.close()
    await broker.take_back(queue, "intake")
    state = await broker.state(queue)
    assert (state.num_pending, state.num_ack_pending) == (2, 0)
    again, new = await take(broker, queue)
    assert [again.record, new.record.data] == [second.record, b"four"]
    await again.ack()
    await new.ack()
    assert (await broker.state(queue)).num_messages == 0
    # Nothing in hand, nothing to take back; what comes later is delivered.
    await broker.take_back(queue, "intake")
    await broker.publish(f"{queue}.a", b"five")
    (delivery,) = await take(broker, queue)
    assert delivery.record.data == b"five"


async def test_in_progress_restarts_the_ack_wait(broker, spec):
    await broker.ensure_stream(replace(spec, ack_wait_s=1.0))
    await broker.publish(f"{spec.name}.a", b"one")
    (delivery,) = await take(broker, spec.name)
    for _ in range(3):
        assert await take(broker, spec.name, timeout_s=0.4) == []
        await delivery.in_progress()


async def test_a_resend_is_not_stored(broker, queue):
    assert not (await broker.publish(f"{queue}.a", b"one")).duplicate
    again = await broker.publish(f"{queue}.b", b"one")  # the id is the stream's, not the subject's
    assert (again.sequence, again.duplicate) == (1, True)
    assert (await broker.state(queue)).last_sequence == 1


async def test_a_resend_after_the_ack_is_swallowed_inside_the_window(broker, queue):
    await broker.publish(f"{queue}.a", b"one")
    (delivery,) = await take(broker, queue)
    await delivery.ack()
    again = await broker.publish(f"{queue}.a", b"one")
    assert (again.sequence, again.duplicate) == (1, True)
    assert await take(broker, queue) == []


async def test_a_resend_beyond_the_window_is_stored(broker, spec):
    await broker.ensure_stream(replace(spec, duplicate_window_s=0.2))
    await broker.publish(f"{spec.name}.a", b"one")
    for _ in range(50):
        again = await broker.publish(f"{spec.name}.a", b"one")
        if not again.duplicate:
            break
        await asyncio.sleep(0.1)
    assert (again.sequence, again.duplicate) == (2, False)


async def test_a_full_queue_refuses_and_remembers_nothing(broker, spec):
    await broker.ensure_stream(replace(spec, max_bytes=3000))
    await broker.publish(f"{spec.name}.a", b"1" * 1000)
    await broker.publish(f"{spec.name}.a", b"2" * 1000)
    for _ in range(2):
        with pytest.raises(QueueFull, match="maximum bytes"):
            await broker.publish(f"{spec.name}.a", b"3" * 1000)
    # Large messages starve where small ones still fit; a resend is known though there is no room.
    assert not (await broker.publish(f"{spec.name}.a", b"small")).duplicate
    assert (await broker.publish(f"{spec.name}.a", b"1" * 1000)).duplicate

    (delivery, *_) = await take(broker, spec.name)
    await delivery.ack()
    stored = await broker.publish(f"{spec.name}.a", b"3" * 1000)
    assert (stored.sequence, stored.duplicate) == (4, False)


async def test_one_subject_fills_its_own_share(broker, spec):
    await broker.ensure_stream(replace(spec, max_messages_per_subject=2))
    for i in range(2):
        await broker.publish(f"{spec.name}.alice", bytes([i]))
    with pytest.raises(QueueFull, match="per subject"):
        await broker.publish(f"{spec.name}.alice", bytes([2]))
    await broker.publish(f"{spec.name}.bob", bytes([3]))
    (delivery, *_) = await take(broker, spec.name)
    await delivery.ack()
    await broker.publish(f"{spec.name}.alice", bytes([2]))


async def test_the_size_of_a_message_is_bounded(broker, spec):
    await broker.ensure_stream(replace(spec, max_message_bytes=1000))
    await broker.publish(f"{spec.name}.a", b"x" * 1000)
    with pytest.raises(MessageTooLarge):
        await broker.publish(f"{spec.name}.a", b"x" * 1001)


async def test_the_largest_message_passes(broker, spec):
    await broker.ensure_stream(replace(spec, max_message_bytes=MAX_WIRE_BYTES))
    await broker.publish(f"{spec.name}.a", bytes(MAX_WIRE_BYTES))
    (delivery,) = await take(broker, spec.name, max_bytes=2 * MAX_WIRE_BYTES)
    assert len(delivery.record.data) == MAX_WIRE_BYTES


async def test_what_the_server_takes_at_most_is_known(broker, queue):
    most = broker.max_message_bytes
    assert most >= MAX_WIRE_BYTES
    await broker.publish(f"{queue}.a", bytes(most))
    with pytest.raises(MessageTooLarge):
        await broker.publish(f"{queue}.a", bytes(most + 1))


async def test_two_pullers_share_the_queue(connect, spec):
    one, two = await connect(), await connect()
    await one.ensure_stream(spec)
    for i in range(10):
        await one.publish(f"{spec.name}.a", bytes([i]))
    taken = await take(one, spec.name, max_messages=5) + await take(two, spec.name)
    assert sorted(delivery.record.sequence for delivery in taken) == list(range(1, 11))


async def test_ensure_stream_may_be_repeated_and_names_what_differs(broker, spec):
    await broker.ensure_stream(spec)
    await broker.ensure_stream(spec)
    with pytest.raises(BrokerError, match=r"has max_bytes -1, wanted is 5000"):
        await broker.ensure_stream(replace(spec, max_bytes=5000))
    with pytest.raises(BrokerError, match=r"has ack_wait"):
        await broker.ensure_stream(replace(spec, ack_wait_s=1.0))


async def test_the_state_tells_when_a_stream_was_made(broker, spec, unique):
    await broker.ensure_stream(spec)
    made = (await broker.state(spec.name)).created
    assert abs(made - time.time()) < 60
    await broker.publish(f"{spec.name}.a", b"one")
    await broker.ensure_stream(spec)
    assert (await broker.state(spec.name)).created == made
    later = unique("log")
    await broker.ensure_stream(
        StreamSpec(name=later, subjects=(f"{later}.x",), kind=StreamKind.LOG)
    )
    assert (await broker.state(later)).created > made


async def test_what_does_not_exist(broker, spec):
    with pytest.raises(BrokerError):
        await broker.state(spec.name)
    with pytest.raises(BrokerError):
        await take(broker, spec.name)
    with pytest.raises(BrokerUnavailable):
        await broker.publish(f"{spec.name}.a", b"one")
    await broker.ensure_stream(spec)
    with pytest.raises(BrokerError, match="nobody"):
        await broker.pull(spec.name, "nobody", **ALL, timeout_s=0.0)


async def test_a_stream_that_is_removed_is_gone_with_all_that_is_in_it(broker, queue, spec):
    await broker.publish(f"{queue}.a", b"one")
    await broker.remove_stream(queue)
    assert queue not in await broker.streams()
    with pytest.raises(BrokerError):
        await broker.remove_stream(queue)
    await broker.ensure_stream(spec)
    assert (await broker.state(queue)).num_messages == 0
    assert not (await broker.publish(f"{queue}.a", b"one")).duplicate


async def test_get_and_read_do_not_consume(broker, queue):
    for i in range(3):
        await broker.publish(f"{queue}.a", bytes([i]))
    (first,) = await take(broker, queue, max_messages=1)
    await first.ack()
    assert await broker.get(queue, 1) is None
    assert await broker.get(queue, 9) is None
    assert (await broker.get(queue, 2)).data == bytes([1])
    assert [record.sequence async for record in broker.read(queue)] == [2, 3]
    assert (await broker.state(queue)).num_pending == 2


async def test_a_stream_can_say_how_it_was_made(broker, spec, unique):
    bounded = replace(spec, max_bytes=5000, max_message_bytes=1000, max_messages_per_subject=7)
    log = StreamSpec(name=unique("log"), subjects=("l.x", "l.y"), kind=StreamKind.LOG)
    for wanted in (bounded, log):
        await broker.ensure_stream(wanted)
        assert await broker.spec(wanted.name) == wanted
    with pytest.raises(BrokerError):
        await broker.spec(unique("none"))


async def test_messages_are_counted_by_subject(broker, queue):
    assert await broker.subjects(queue) == {}
    for subject, data in (("b", b"1"), ("a", b"2"), ("b", b"3")):
        await broker.publish(f"{queue}.{subject}", data)
    assert await broker.subjects(queue) == {f"{queue}.a": 1, f"{queue}.b": 2}
    assert await broker.subjects(queue, f"{queue}.b") == {f"{queue}.b": 2}
    assert await broker.subjects(queue, "other.*") == {}
    for delivery in await take(broker, queue, max_messages=2):
        await delivery.ack()
    assert await broker.subjects(queue, f"{queue}.*") == {f"{queue}.b": 1}


async def test_a_consumer_says_how_far_it_is(broker, queue, spec):
    async def consumer():
        (found,) = await broker.consumers(queue)
        return found

    for i in range(5):
        await broker.publish(f"{queue}.a", bytes([i]))
    fresh = await consumer()
    assert (fresh.stream, fresh.name, fresh.ack_wait_s) == (queue, "intake", spec.ack_wait_s)
    assert (fresh.num_pending, fresh.num_ack_pending, fresh.max_ack_pending) == (5, 0, 1024)
    assert (fresh.delivered_to, fresh.ack_floor) == (0, 0)
    first, second, third = await take(broker, queue, max_messages=3)
    await third.ack()
    held = await consumer()
    assert (held.num_pending, held.num_ack_pending, held.num_redelivered) == (2, 2, 0)
    assert (held.delivered_to, held.ack_floor) == (3, 0)
    await first.ack()
    assert (await consumer()).ack_floor == 1
    await second.ack()
    assert (await consumer()).ack_floor == 3


async def test_a_log_has_followers_and_no_consumer_of_its_own(connect, broker, unique):
    name = unique("log")
    log = StreamSpec(name=name, subjects=(f"{name}.x",), kind=StreamKind.LOG)
    await broker.ensure_stream(log)
    await broker.append(name, f"{name}.x", b"one", expected_last=0)
    assert (await broker.state(name)).num_consumers == 0
    following = (await connect()).follow(name)
    async with aclosing(following):
        assert (await anext(following)).sequence == 1
        assert (await broker.state(name)).num_consumers == 1
        assert await broker.consumers(name) == []


async def test_a_stream_says_when_its_messages_were_stored(broker, queue):
    empty = await broker.state(queue)
    assert (empty.first_time, empty.last_time, empty.num_consumers) == (None, None, 1)
    for i in range(3):
        await broker.publish(f"{queue}.a", bytes([i]))
    times = [(await broker.get(queue, sequence)).time for sequence in (1, 2, 3)]
    full = await broker.state(queue)
    assert (full.first_time, full.last_time) == (times[0], times[2])
    for delivery in await take(broker, queue):
        await delivery.ack()
    judged = await broker.state(queue)
    assert (judged.first_time, judged.last_time) == (None, times[2])
