"""How many durable writes a second a disk takes, one behind the other, as LOG is written.

Measured on a nats-server of its own in a temporary directory on that disk, so that no log of a run
gets entries that mean nothing.
"""

import tempfile
import time
from pathlib import Path
from statistics import quantiles

from msgspec import Struct

from broker.embedded import nats_server
from broker.interface import Broker, StreamKind, StreamSpec
from broker.jetstream import NatsBroker
from broker.program.process import free_port, stop

_DATA = b"\xa5" * 1000
"""About what a small ledger entry takes."""
_STREAM = "BENCH"
_SUBJECT = "bench"
_STOP_GRACE_S = 5.0


class DurableWrites(Struct, frozen=True, kw_only=True):
    """What was measured."""

    num_writes: int
    num_bytes: int
    """Of each write."""
    writes_per_s: float
    p50_ms: float
    p99_ms: float


async def bench(directory: Path, num_writes: int) -> DurableWrites:
    """Start a server below the directory, write, and remove all of it again.

    Raises:
        ServerMissing: nats-server is not installed, or does not come up.
        OSError: the directory cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=directory) as name:
        folder, port = Path(name), free_port()
        nats_server.write_config(folder, port)
        process = nats_server.launch(folder, detached=False)
        try:
            nats_server.wait(folder, process, port)
            broker = await NatsBroker.connect(nats_server.url(port), name="bench")
            times_s = await append_times_s(broker, num_writes)
            await broker.close()
        finally:
            stop(process, grace_s=_STOP_GRACE_S)
    return summary(times_s)


async def append_times_s(broker: Broker, num_writes: int) -> list[float]:
    """Seconds of each append to a stream made for it, the first one left out."""
    spec = StreamSpec(name=_STREAM, subjects=(_SUBJECT,), kind=StreamKind.LOG)
    await broker.ensure_stream(spec)
    last = await broker.append(_STREAM, _SUBJECT, _DATA, expected_last=0)
    times_s: list[float] = []
    for _ in range(num_writes):
        began = time.perf_counter()
        last = await broker.append(_STREAM, _SUBJECT, _DATA, expected_last=last)
        times_s.append(time.perf_counter() - began)
    return times_s


def summary(times_s: list[float]) -> DurableWrites:
    """Rate and percentiles of at least two writes."""
    percentiles_s = quantiles(times_s, n=100, method="inclusive")
    return DurableWrites(
        num_writes=len(times_s),
        num_bytes=len(_DATA),
        writes_per_s=len(times_s) / sum(times_s),
        p50_ms=percentiles_s[49] * 1000,
        p99_ms=percentiles_s[98] * 1000,
    )
