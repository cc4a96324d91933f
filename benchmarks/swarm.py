"""A swarm of contributors against one server and one coordinator, as their number grows.

All contributors are in this process, each with a connection of its own: he publishes groups of the
demo's size and hears the verdict on each. The coordinator is a process with its judging processes,
the server another, all on the same cores. The same groups in all, and as many under way, whether 10
send them or 200: what grows then is the cost of there being many.

Then the server is killed with SIGKILL and started again, and each of 200 contributors publishes one
group meanwhile: how long until the queue has all of them.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import structlog

from benchmarks import stand
from benchmarks.opened_run import Message, OpenedRun
from benchmarks.table import Figure, of_rounds
from broker.embedded import servers
from broker.jetstream import NatsBroker
from broker.objects.s3 import S3Store
from broker.program.process import die_with_parent
from broker.publisher import Publisher
from learner.coordinator.service import Coordinator
from schemas import names
from schemas.ledger import RunOpened
from schemas.settings import Connection
from schemas.verdict import Outcome, Verdict
from schemas.wire import decode

_NUM_TOKENS: Final = 8
_COUNTS: Final = (10, 50, 200)
"""Contributors."""
_NUM_MESSAGES: Final = 2000
"""Of all contributors together."""
_UNDER_WAY: Final = 200
_NUM_KILLS: Final = 5


class Cost(NamedTuple):
    """What it took until every contributor had heard the verdict on each of his groups."""

    elapsed_s: float
    cpu_s: float
    """Of the coordinator's own process."""
    memory_mib: float
    """That it holds at the end."""


class Contributor:
    """One connection that publishes its groups and hears its verdicts."""

    def __init__(
        self, broker: NatsBroker, run: str, messages: Sequence[Message], window: int
    ) -> None:
        self._publisher = Publisher(broker, max_messages=window)
        self._verdicts = broker.listen(names.verdict_subject(run, messages[0].actor))
        self._messages = messages

    async def work(self) -> None:
        """Publish all, and hear as many verdicts."""
        async with asyncio.TaskGroup() as tasks:
            for message in self._messages:
                tasks.create_task(self.publish(message))
            for _ in self._messages:
                _, data = await anext(self._verdicts)
                assert decode(data, Verdict).outcome is Outcome.ACCEPTED

    async def publish(self, message: Message) -> None:
        await self._publisher.publish(message.subject, message.data)

    async def publish_one(self, number: int) -> None:
        await self.publish(self._messages[number])


def measure(num_rounds: int = 5) -> list[Figure]:
    with stand.folder() as directory:
        connection = servers.up(directory, detached=False).connection()
        try:
            costs, back_s = asyncio.run(_measure(directory, connection, num_rounds))
        finally:
            servers.down(directory)
    return to_figures(costs, back_s)


async def _measure(
    directory: Path, connection: Connection, num_rounds: int
) -> tuple[dict[int, list[Cost]], list[float]]:
    store = S3Store.open(connection)
    await store.ensure_bucket()
    await store.close()
    costs: dict[int, list[Cost]] = {count: [] for count in _COUNTS}
    for _ in range(num_rounds):
        for count in _COUNTS:
            costs[count].append(await _cost(connection, count))
    return costs, await _times_back_s(directory, connection, _COUNTS[-1])


async def _cost(connection: Connection, count: int) -> Cost:
    run = OpenedRun(_NUM_TOKENS, _NUM_MESSAGES, leases_per_actor=_NUM_MESSAGES // count)
    async with (
        _contributors(connection, run, window=max(1, _UNDER_WAY // count)) as swarm,
        _coordinator(connection, run.opening) as pid,
    ):
        cpu_s, began = _cpu_s(pid), time.perf_counter()
        await asyncio.gather(*(one.work() for one in swarm))
        elapsed = time.perf_counter() - began
        return Cost(elapsed, _cpu_s(pid) - cpu_s, _memory_mib(pid))


async def _times_back_s(directory: Path, connection: Connection, count: int) -> list[float]:
    """Seconds from each kill of the server until all have published again."""
    run = OpenedRun(_NUM_TOKENS, count * _NUM_KILLS, leases_per_actor=_NUM_KILLS)
    times_s = []
    async with (
        _contributors(connection, run, window=1) as swarm,
        _coordinator(connection, run.opening),
    ):
        for number in range(_NUM_KILLS):
            began = time.perf_counter()
            os.kill(servers.read(directory).nodes[0].process.pid, signal.SIGKILL)
            await asyncio.gather(
                # Detached, or it would die with the thread.
                asyncio.to_thread(servers.start_nats, directory, detached=True),
                *(one.publish_one(number) for one in swarm),
            )
            times_s.append(time.perf_counter() - began)
    return times_s


@contextlib.asynccontextmanager
async def _contributors(
    connection: Connection, run: OpenedRun, *, window: int
) -> AsyncIterator[list[Contributor]]:
    """Open the run, and connect everybody who has leases in it."""
    async with contextlib.AsyncExitStack() as stack:
        broker = await NatsBroker.connect(connection.nats, name="bench")
        stack.push_async_callback(broker.close)
        by_actor: dict[str, list[Message]] = defaultdict(list)
        for message in await run.open(broker):
            by_actor[message.actor].append(message)
        swarm = []
        for messages in by_actor.values():
            own = await NatsBroker.connect(connection.nats, name=messages[0].actor)
            stack.push_async_callback(own.close)
            swarm.append(Contributor(own, run.name, messages, window))
        yield swarm


@contextlib.asynccontextmanager
async def _coordinator(connection: Connection, opening: RunOpened) -> AsyncIterator[int]:
    """The process id of a coordinator that is ready."""
    spawning = multiprocessing.get_context("spawn")
    ready = spawning.Event()
    process = spawning.Process(target=_coordinate, args=(connection, opening, ready, os.getpid()))
    process.start()
    try:
        assert await asyncio.to_thread(ready.wait, 60), "the coordinator does not get ready"
        assert process.pid is not None
        yield process.pid
    finally:
        process.terminate()
        await asyncio.to_thread(process.join)


def _coordinate(connection, opening, ready, parent: int) -> None:
    """What runs in the coordinator's process, until SIGTERM."""
    die_with_parent(parent)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(_until_told(connection, opening, ready))


async def _until_told(connection: Connection, opening: RunOpened, ready) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    store = S3Store.open(connection)
    broker = await NatsBroker.connect(connection.nats, name=names.COORDINATOR)
    coordinator = Coordinator(broker, store, opening)
    running = asyncio.create_task(coordinator.run(stop))
    await coordinator.ready.wait()
    ready.set()
    await running
    await broker.close()
    await store.close()


def _cpu_s(pid: int) -> float:
    # The clock of another process's CPU time (clock_getcpuclockid): /proc counts in 10 ms.
    return time.clock_gettime((~pid << 3) | 2)


def _memory_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def to_figures(costs: dict[int, list[Cost]], back_s: list[float]) -> list[Figure]:
    """Each number of contributors against the smallest, and the time after a kill."""
    few, *more = costs
    figures = []
    for many in more:
        pairs = list(zip(costs[many], costs[few], strict=True))
        for what, ratios, how in (
            (
                "groups/s",
                [fewer.elapsed_s / each.elapsed_s for each, fewer in pairs],
                f"{_rate(costs[many]):.0f} against {_rate(costs[few]):.0f} groups/s judged, with "
                f"the verdicts heard; clients, server and coordinator share the cores",
            ),
            (
                "coordinator's CPU time of a group",
                [each.cpu_s / fewer.cpu_s for each, fewer in pairs],
                f"{_cpu_ms(costs[many]):.2f} against {_cpu_ms(costs[few]):.2f} ms, its judging "
                f"processes apart",
            ),
            (
                "coordinator's memory",
                [each.memory_mib / fewer.memory_mib for each, fewer in pairs],
                f"{_memory(costs[many]):.0f} against {_memory(costs[few]):.0f} MiB resident after "
                f"{_NUM_MESSAGES} groups, its judging processes apart",
            ),
        ):
            name = f"swarm: {what}, {many} contributors / {few}"
            figures.append(of_rounds(ratios, name=name, unit="x", aim="near 1", how=how))
    how = "from SIGKILL until the queue has a new group of each; the server is started at once"
    name = f"swarm: {max(costs)} contributors back after a kill of the server"
    figures.append(of_rounds(back_s, name=name, unit="s", aim="-", how=how))
    return figures


def _rate(costs: Sequence[Cost]) -> float:
    return _NUM_MESSAGES / median(cost.elapsed_s for cost in costs)


def _cpu_ms(costs: Sequence[Cost]) -> float:
    return median(cost.cpu_s for cost in costs) / _NUM_MESSAGES * 1000


def _memory(costs: Sequence[Cost]) -> float:
    return median(cost.memory_mib for cost in costs)
