"""Bytes that a stranger may put into a message's frame, sent as a stranger would: by hand."""

import asyncio
import contextlib
import socket
import uuid

import pytest

from broker.interface import StreamKind, StreamSpec
from broker.jetstream import NatsBroker
from learner.coordinator.hand import Hand

pytestmark = pytest.mark.integration

STREAM = StreamSpec(
    name="HOSTILE",
    subjects=("hostile.*",),
    kind=StreamKind.QUEUE,
    consumer="intake",
    ack_wait_s=2.0,
)
NAMES = [
    b"\xff\xfe",
    b"\xc3",
    b"a\x0bb",
    b"a\x0cb",
    b"a\x1cb",
    b"a\x85b",
    b"\xed\xa0\x80",
    b"n" * 2000,
]
HEADERS = [
    b"NATS/1.0",
    b"NATS/1.0\r\n",
    b"NATS/1.0 \xff\xff\xff\r\n\r\n",
    b"NATS/1.0 404\r\n\r\n",
    b"NATS/1.0 503 No Responders\r\n\r\n",
    b"NATS/1.0 409 Exceeded MaxRequestMaxBytes\r\nNats-Pending-Messages: -1\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    b"NATS/1.0\r\n\xff\xfe: x\r\n\r\n",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/1.0\r\nNats-Msg-Id: \xff\r\n\r\n",
    b"NATS/1.0\r\n" + b"a: b\r\n" * 30_000 + b"\r\n",
]


class Stranger:
    """Speaks the protocol of NATS without a library."""

    def __init__(self, url: str) -> None:
        host, _, port = url.rpartition("/")[2].rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=5)
        self._socket.sendall(b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n')
        self.settle()

    def publish(self, subject: bytes, data: bytes, *, reply: bytes = b"", headers: bytes = b""):
        names = subject + b" " + (reply + b" " if reply else b"")
        if headers:
            sizes = b"%d %d" % (len(headers), len(headers) + len(data))
            self._socket.sendall(b"HPUB " + names + sizes + b"\r\n" + headers + data + b"\r\n")
        else:
            self._socket.sendall(b"PUB " + names + b"%d" % len(data) + b"\r\n" + data + b"\r\n")
        self.settle()

    def settle(self) -> None:
        """Return when the server has taken what was sent."""
        self._socket.sendall(b"PING\r\n")
        seen = b""
        while b"PONG\r\n" not in seen:
            seen += self._socket.recv(65_536)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
async def broker(nats_url):
    broker = await NatsBroker.connect(nats_url, name="test")
    await broker.ensure_stream(STREAM)
    yield broker
    for delivery in await broker.pull(
        "HOSTILE", "intake", max_messages=100, max_bytes=1 << 24, timeout_s=0.2
    ):
        await delivery.ack()
    await broker.close()


@pytest.fixture
def stranger(nats_url):
    with contextlib.closing(Stranger(nats_url)) as stranger:
        yield stranger


async def answers(broker: NatsBroker, nats_url: str) -> None:
    """An honest question gets its answer at once."""
    asker = await NatsBroker.connect(nats_url, name="asker")
    try:
        async with asyncio.timeout(2):
            assert await asker.request("served.alice", b"honest", timeout_s=2) == b"honest"
    finally:
        await asker.close()


async def echo(_subject: str, data: bytes) -> bytes:
    return data


@pytest.mark.parametrize("name", NAMES)
async def test_who_serves_hears_the_next_question(broker, stranger, nats_url, name):
    await broker.serve("served.*", echo)
    await asyncio.to_thread(stranger.publish, b"served." + name, b"x", reply=b"_INBOX.me")
    await asyncio.to_thread(stranger.publish, b"served.mallory", b"x", reply=b"_INBOX." + name)
    await answers(broker, nats_url)


async def test_an_answer_goes_to_inboxes_only(broker, stranger, nats_url):
    """Or a stranger could have us write where he may not: into a log, or to the server's API."""
    await broker.serve("served.*", echo)
    for subject in (b"hostile.placed", b"$JS.API.STREAM.DELETE.HOSTILE", b"_INBOXES.x"):
        await asyncio.to_thread(stranger.publish, b"served.mallory", b"x", reply=subject)
    await answers(broker, nats_url)
    assert await broker.last("HOSTILE", "hostile.placed") is None


@pytest.mark.parametrize("headers", HEADERS)
async def test_headers_make_nobody_deaf(broker, stranger, nats_url, headers):
    await broker.serve("served.*", echo)
    heard = broker.listen("told.*")
    await asyncio.to_thread(
        stranger.publish, b"served.mallory", b"x", reply=b"_INBOX.me", headers=headers
    )
    await asyncio.to_thread(stranger.publish, b"told.mallory", b"hostile", headers=headers)
    await answers(broker, nats_url)
    await broker.notify("told.alice", b"honest")
    async with asyncio.timeout(2):
        seen = {data async for _, data in _until(heard, b"honest")}
    assert b"honest" in seen


@pytest.mark.parametrize("name", NAMES)
async def test_a_message_that_is_judged_leaves_the_queue_whatever_its_subject(
    broker, stranger, name
):
    hand = Hand(broker, "HOSTILE", "intake", 100)
    await asyncio.to_thread(stranger.publish, b"hostile." + name, uuid.uuid4().bytes)
    while deliveries := await hand.pull(timeout_s=0.2):
        await hand.release([delivery.record for delivery in deliveries])
    assert (await broker.state("HOSTILE")).num_messages == 0


@pytest.mark.parametrize("name", NAMES)
async def test_what_a_killed_server_forgot_to_have_handed_over_can_be_removed(
    broker, stranger, name
):
    await asyncio.to_thread(stranger.publish, b"hostile." + name, uuid.uuid4().bytes)
    while deliveries := await broker.pull(
        "HOSTILE", "intake", max_messages=100, max_bytes=1 << 22, timeout_s=0.2
    ):
        for delivery in deliveries:
            await delivery._remove()
    assert (await broker.state("HOSTILE")).num_messages == 0


@pytest.mark.parametrize(
    ("name", "headers"), [*((name, b"") for name in NAMES), *((b"a", each) for each in HEADERS)]
)
async def test_a_message_in_the_queue_is_handed_over_and_so_is_the_next(
    broker, stranger, name, headers
):
    before = (await broker.state("HOSTILE")).num_messages
    await asyncio.to_thread(stranger.publish, b"hostile." + name, b"hostile", headers=headers)
    stored = (await broker.state("HOSTILE")).num_messages - before
    honest = uuid.uuid4().bytes  # A message that was sent before would be a duplicate.
    await broker.publish("hostile.alice", honest)
    async with asyncio.timeout(3):
        deliveries = await broker.pull(
            "HOSTILE", "intake", max_messages=stored + 1, max_bytes=1 << 22, timeout_s=2
        )
    assert [one.record.data for one in deliveries] == [b"hostile"] * stored + [honest]
    for one in deliveries:
        await one.ack()
    assert (await broker.state("HOSTILE")).num_messages == 0
    assert broker.connected


async def _until(heard, last: bytes):
    async for subject, data in heard:
        yield subject, data
        if data == last:
            return
