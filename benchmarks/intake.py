"""The coordinator's intake against bare nats-py loops that only fetch and ack.

The same messages on the same nats-server (sync_interval always), one queue each. A bare loop does
nothing with a message. The intake checks every token and reward in its judging processes, writes
segments to a real SeaweedFS and verdicts to LOG, and removes messages behind a confirmed write. Two
sizes: the demo's groups, and a lab's (8 rollouts, 7 of them of 4,096 sampled tokens).

Three baselines. One acks as nats-py's `ack` does, without waiting: the queue is far from empty when
its clock stops, because the server syncs for every ack. The second ends where the intake ends, with
every message confirmed to be gone, all acks of a fetch under way at once. The third also writes
each fetch to the object storage before it acks. The first says what is lost against the fastest
reader there is, the second what judging and keeping add to a queue that is read as safely, the
third what judging alone adds.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

import nats
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeout

from benchmarks.opened_run import Message, OpenedRun
from benchmarks.stand import running_servers
from benchmarks.table import Figure, of_rounds
from broker.interface import Broker
from broker.jetstream import NatsBroker
from broker.objects.s3 import S3Store
from broker.store import Store
from learner.coordinator.service import Coordinator
from schemas import names
from schemas.settings import Connection
from schemas.verdict import Outcome

_SIZES = {"demo": (8, 1000), "lab": (4096, 240)}
"""Name -> (sampled tokens per rollout, messages)."""
Acknowledge = Callable[[Sequence[Msg]], Awaitable[None]]


async def _send_acks(fetched: Sequence[Msg]) -> None:
    for message in fetched:
        await message.ack()


async def _confirm_acks(fetched: Sequence[Msg]) -> None:
    await asyncio.gather(*(message.ack_sync() for message in fetched))


class _Keeper:
    """Writes what was fetched as one object, then acks it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep(self, fetched: Sequence[Msg]) -> None:
        data = b"".join(message.data for message in fetched)
        await self._store.put(f"bare/{uuid.uuid4().hex}", data)
        await _confirm_acks(fetched)


_BASELINES: dict[str, Acknowledge] = {"acks sent": _send_acks, "acks confirmed": _confirm_acks}


def measure(num_rounds: int = 5) -> list[Figure]:
    with running_servers() as started:
        return asyncio.run(_measure(started.connection(), num_rounds))


async def _measure(connection: Connection, num_rounds: int) -> list[Figure]:
    broker = await NatsBroker.connect(connection.nats, name="bench")
    store = S3Store.open(connection)
    await store.ensure_bucket()
    baselines = {**_BASELINES, "kept, acks confirmed": _Keeper(store).keep}
    figures = []
    for size, (num_tokens, num_messages) in _SIZES.items():
        bare_s: dict[str, list[float]] = {name: [] for name in baselines}
        intake_s, num_bytes = [], 0
        for _ in range(num_rounds):
            run = OpenedRun(num_tokens, num_messages)
            messages = await run.open(broker)
            num_bytes = sum(len(message.data) for message in messages)
            for name, acknowledge in baselines.items():
                bare_s[name].append(await _bare(connection.nats, messages, acknowledge))
            intake_s.append(await _intake(connection.nats, broker, store, run, messages))
        for name, times_s in bare_s.items():
            how = (
                f"{num_bytes / num_messages / 1000:.1f} KB a group; "
                f"ours {_speed(num_messages, num_bytes, median(intake_s))}, "
                f"bare {_speed(num_messages, num_bytes, median(times_s))}"
            )
            ratios = [bare / ours for bare, ours in zip(times_s, intake_s, strict=True)]
            row = f"intake: {size}'s groups / bare loop, {name}"
            figures.append(of_rounds(ratios, name=row, unit="x", aim="0.7", how=how))
    await store.close()
    await broker.close()
    return figures


def _speed(num_messages: int, num_bytes: int, elapsed_s: float) -> str:
    return f"{num_messages / elapsed_s:.0f} groups/s and {num_bytes / 1e6 / elapsed_s:.1f} MB/s"


async def _bare(url: str, messages: Sequence[Message], acknowledge: Acknowledge) -> float:
    """Seconds to fetch and ack them all, over nats-py alone."""
    client = await nats.connect(url)
    stream, word = f"BARE_{uuid.uuid4().hex[:8]}", f"bare{uuid.uuid4().hex[:8]}"
    js = client.jetstream()
    await js.add_stream(name=stream, subjects=[word], retention="workqueue")
    for message in messages:
        await js.publish(word, message.data)
    subscription = await js.pull_subscribe(word, "bare")
    began, left = time.perf_counter(), len(messages)
    while left:
        try:
            fetched = await subscription.fetch(min(64, left), timeout=2)
        except NatsTimeout:
            continue
        await acknowledge(fetched)
        left -= len(fetched)
    await client.flush()
    elapsed = time.perf_counter() - began
    await js.delete_stream(stream)
    await client.close()
    return elapsed


async def _intake(
    url: str, broker: Broker, store: Store, run: OpenedRun, messages: Sequence[Message]
) -> float:
    """Seconds from the moment when the coordinator is ready to the last ack."""
    for message in messages:
        await broker.publish(message.subject, message.data)
    own = await NatsBroker.connect(url, name="coordinator")
    coordinator = Coordinator(own, store, run.opening)
    stop, queue = asyncio.Event(), names.rollouts_stream(run.name, "s0")
    running = asyncio.create_task(coordinator.run(stop))
    await coordinator.ready.wait()
    began = time.perf_counter()
    while (await broker.state(queue)).num_messages:  # noqa: ASYNC110 (the queue is asked)
        await asyncio.sleep(0.02)
    elapsed = time.perf_counter() - began
    judged = coordinator.log.state.num_judged
    assert judged == {Outcome.ACCEPTED: len(messages)}, judged
    stop.set()
    await running
    await own.close()
    return elapsed
