"""Durable appends to LOG, one behind the other, as the coordinator writes them.

A fenced append through our client (`Broker.append`: expected last sequence, deadline, the answer
waited for) against a bare `publish` of nats-py to a stream of its own with the same server, which
also waits for the answer. Both write 1,000 bytes to a file that is synced before the server
answers (sync_interval always), so the ratio says what our client adds to the disk. They take turns.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from statistics import median, quantiles

import nats

from benchmarks.stand import running_servers
from benchmarks.table import Figure, of_rounds
from broker.jetstream import NatsBroker
from broker.streams import run_streams
from schemas import names
from schemas.settings import RunSettings

_DATA = b"\xa5" * 1000
_NUM_APPENDS = 200
"""Of each side in a round."""


def measure(num_rounds: int = 5) -> list[Figure]:
    with running_servers() as started:
        return asyncio.run(_measure(started.connection().nats, num_rounds))


async def _measure(url: str, num_rounds: int) -> list[Figure]:
    settings = RunSettings(name=f"bench-{uuid.uuid4().hex[:8]}")
    stream, subject = names.log_stream(settings.name), names.ledger_subject(settings.name)
    broker = await NatsBroker.connect(url, name="bench")
    for spec in run_streams(settings):
        await broker.ensure_stream(spec)
    client = await nats.connect(url)
    js = client.jetstream()
    await js.add_stream(name="BARE", subjects=["bare"])
    last = 0

    async def append() -> None:
        nonlocal last
        last = await broker.append(stream, subject, _DATA, expected_last=last)

    async def publish() -> None:
        await js.publish("bare", _DATA)

    for write in (append, publish):  # A round that warms up.
        await _times_s(write)
    ours, bare = [], []
    for _ in range(num_rounds):
        bare.append(await _times_s(publish))
        ours.append(await _times_s(append))
    await client.close()
    await broker.close()
    return to_figures(ours, bare)


async def _times_s(write: Callable[[], Awaitable[None]]) -> list[float]:
    times_s = []
    for _ in range(_NUM_APPENDS):
        began = time.perf_counter()
        await write()
        times_s.append(time.perf_counter() - began)
    return times_s


def to_figures(ours: list[list[float]], bare: list[list[float]]) -> list[Figure]:
    """From the seconds of every write, by round."""
    cuts = [quantiles(times_s, n=100) for times_s in ours]
    rates = [len(times_s) / sum(times_s) for times_s in ours]
    bare_rates = [len(times_s) / sum(times_s) for times_s in bare]
    how = f"{len(_DATA)} bytes, one behind the other, sync_interval always"
    return [
        of_rounds(
            [our / their for our, their in zip(rates, bare_rates, strict=True)],
            name="broker: fenced append / bare nats-py publish, writes/s",
            unit="x",
            aim="near 1",
            how=f"{how}; bare {median(bare_rates):.0f} writes/s",
        ),
        of_rounds(rates, name="broker: durable appends to LOG", unit="per s", aim="300", how=how),
        *(
            of_rounds(
                [cut[percent - 1] * 1000 for cut in cuts],
                name=f"broker: time of an append, p{percent}",
                unit="ms",
                aim="-",
                how=how,
            )
            for percent in (50, 99)
        ),
    ]
