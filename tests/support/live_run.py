"""A small run that is real: servers, coordinator, trainer and actors as processes of their own.

It is seen from outside, by its logs and heartbeats. A tiny model, hardly trained, works at short
words for partial credit: nearly every group gives signal.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from broker.audit import audit_run
from broker.embedded import servers
from broker.interface import StreamState
from broker.login import OPERATOR, login
from broker.objects.s3 import S3Store
from broker.program.process import bound, last_line
from learner.demo import cast
from learner.demo.joining import invite, join
from learner.demo.players import run_to_end
from learner.demo.stage import GATE
from learner.demo.watch import Watch
from learner.metrics_file import follow_steps
from learner.run_folder import RunFolder
from schemas import names, wire
from schemas.heartbeat import Heartbeat, State
from schemas.resolve import to_toml
from schemas.settings import (
    BatchSettings,
    EnvironmentSettings,
    LearnerSettings,
    LeaseSettings,
    SamplingSettings,
    SftSettings,
    TrainerSettings,
)
from tests.support.trainers import TINY

_GRACE_S = 20.0
_ENDLESS = 1 << 20
"""Steps, and groups without signal: the test says when it is over."""


def small_settings(directory: Path) -> LearnerSettings:
    """A run that makes a step in much less than a second."""
    return LearnerSettings(
        name="live",
        directory=str(directory),
        model=TINY,
        environment=EnvironmentSettings(smallest=2, largest=3, train_on="partial"),
        sft=SftSettings(target_reward=0.02),
        sampling=SamplingSettings(group_size=4, max_new_tokens=8),
        leases=LeaseSettings(max_staleness=8),
        batch=BatchSettings(num_groups=4, no_signal_limit=_ENDLESS),
        trainer=TrainerSettings(num_steps=_ENDLESS, checkpoint_every=20),
    )


async def make_initial(directory: Path) -> Path:
    """The policy that every run with `small_settings` may begin with."""
    folder, log = RunFolder(small_settings(directory)), directory / "sft.log"
    settings = directory / "sft.toml"
    settings.write_text(to_toml(small_settings(directory)), encoding="utf-8")
    assert not await run_to_end(cast.learner("sft", "@", str(settings)), log), last_line(log)
    return folder.initial


class LiveRun:
    """The run while it goes on."""

    def __init__(self, settings: LearnerSettings, num_actors: int) -> None:
        self.folder = RunFolder(settings)
        self.folder.logs.mkdir(parents=True)
        self.servers_folder = self.folder.path / "servers"
        started = servers.up(self.servers_folder, accounts=True, detached=False)
        self.settings = msgspec.structs.replace(settings, connection=started.connection())
        self.folder.settings.write_text(to_toml(self.settings), encoding="utf-8")
        self.watch = Watch(settings.trainer.num_steps)
        self.said: dict[str, list[tuple[float, Heartbeat]]] = defaultdict(list)
        """By daemon: its heartbeats, each with the monotonic second in which it came."""
        self.actors = [f"actor-{number}" for number in range(num_actors)]
        self.ids: dict[str, str] = {}
        """Of the actors, by name."""
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def open(self, initial: Path) -> None:
        """Open the run with a policy, connect, and open the gate."""
        opening = cast.learner("open", "--initial", str(initial), "@", str(self.folder.settings))
        assert not await run_to_end(opening, self.log("open")), last_line(self.log("open"))
        self.broker = await login(self.settings.connection, *OPERATOR, name="watch")
        await self._spawn(GATE, cast.gate(self.settings.name, self.folder.settings))

    async def look(self) -> None:
        """Watch logs and heartbeats, for ever."""
        run, watch, broker = self.settings.name, self.watch, self.broker

        async def listen() -> None:
            async for subject, data in broker.listen(names.heartbeats_filter(run)):
                heartbeat = wire.decode(data, Heartbeat)
                self.said[heartbeat.who].append((time.monotonic(), heartbeat))
                watch.take_heartbeat(subject, data)

        await asyncio.gather(
            follow_steps(broker, run, on_step=watch.take_step, on_item=watch.take_item), listen()
        )

    def log(self, who: str) -> Path:
        return self.folder.logs / f"{who}.log"

    def _home(self, actor: str) -> Path:
        return self.folder.path / "actors" / actor

    # What happens to it

    async def start(self, *who: str) -> None:
        """Start daemons, actors when they have joined; who ends is not started again."""
        for name in who:
            if name not in self.actors:
                await self._spawn(name, cast.learner(name, "@", str(self.folder.settings)))
        newcomers = [name for name in who if name in self.actors and name not in self.ids]
        await asyncio.gather(*(self._let_in(name) for name in newcomers))
        for name in who:
            if name in self.actors:
                await self._spawn(name, cast.actor(self.settings.name, self._home(name)))

    async def _let_in(self, actor: str) -> None:
        log = self.log(actor)
        invited = await invite(actor, self.settings.name, self.folder.settings, log)
        self.ids[actor] = invited.actor
        await join(invited, self._home(actor), log)

    async def _spawn(self, name: str, command: Sequence[str]) -> None:
        with open(self.log(name), "ab") as log:  # noqa: ASYNC230 (opening a local file is quick)
            self._running[name] = await asyncio.create_subprocess_exec(
                *bound(command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    async def kill(self, who: str) -> None:
        process = self._running.pop(who)
        process.kill()
        await process.wait()

    async def stop(self, *who: str) -> None:
        """SIGTERM to who still runs; they have to end well, and in time."""
        self.all_live()
        running = {name: self._running.pop(name) for name in who if name in self._running}
        for name, process in running.items():
            assert process.returncode is None, (
                f"{name} ended by itself: {last_line(self.log(name))}"
            )
            process.terminate()
        async with asyncio.timeout(_GRACE_S):
            for name, process in running.items():
                assert await process.wait() == 0, f"{name}: {last_line(self.log(name))}"

    def freeze(self, who: str) -> None:
        """SIGSTOP to a daemon that has no children that matter, until `thaw`."""
        self._running[who].send_signal(signal.SIGSTOP)

    def thaw(self, who: str) -> None:
        self._running[who].send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """Kill whoever is left."""
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def kill_nats(self) -> None:
        os.kill(servers.read(self.servers_folder).nats_process.pid, signal.SIGKILL)

    def start_nats(self) -> None:
        servers.start_nats(self.servers_folder, detached=False)

    def kill_s3(self) -> None:
        os.kill(servers.read(self.servers_folder).s3_process.pid, signal.SIGKILL)

    async def start_s3(self) -> None:
        servers.start_s3(self.servers_folder, detached=False)
        await asyncio.to_thread(servers.wait_s3, self.servers_folder)

    # What is seen of it

    async def until_step(self, step: int, *, timeout_s: float = 60.0) -> None:
        """Wait until the policy of a step is announced."""
        await self.until(lambda: self.watch.step >= step, timeout_s=timeout_s)

    async def until(self, condition: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        """Wait for something that the watch shows; nobody may end meanwhile."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                await self.watch.change(timeout_s=1.0)
                self.all_live()

    def all_live(self) -> None:
        """Nobody has ended by itself."""
        for name, process in self._running.items():
            assert process.returncode is None, f"{name} ended: {last_line(self.log(name))}"

    def states(self, who: str, since: float) -> list[State]:
        """What somebody said that it does since a monotonic second, without repetitions."""
        states: list[State] = []
        for at, heartbeat in self.said[self.ids.get(who, who)]:
            if at >= since and states[-1:] != [heartbeat.state]:
                states.append(heartbeat.state)
        return states

    def effort(self) -> dict[str, "Effort"]:
        """What everybody who runs has spent so far."""
        return {
            name: Effort(
                cpu_s=sum(_cpu_s_of_group(process.pid)),
                num_lines=len(self.log(name).read_text(errors="replace").splitlines()),
            )
            for name, process in self._running.items()
        }

    @property
    def num_judged(self) -> int:
        """Verdicts in the ledger."""
        refused = sum(sum(reasons.values()) for reasons in self.watch.refused.values())
        return sum(self.watch.accepted.values()) + refused

    async def queue(self) -> StreamState:
        """The queue's counts."""
        (shard,) = self.settings.intake.shards
        return await self.broker.state(names.rollouts_stream(self.settings.name, shard))

    async def audit(self) -> None:
        """Check promise 3 of the README, with the archive."""
        store = S3Store.open(self.settings.connection)
        try:
            report = await audit_run(self.broker, self.settings.name, store=store)
        finally:
            await store.close()
        assert report.holds, report


class Effort(NamedTuple):
    """What a daemon and its children have spent."""

    cpu_s: float
    num_lines: int
    """In its log."""

    def since(self, before: "Effort") -> "Effort":
        return Effort(self.cpu_s - before.cpu_s, self.num_lines - before.num_lines)


def _cpu_s_of_group(group: int) -> Iterator[float]:
    per_s = os.sysconf("SC_CLK_TCK")
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                yield (int(fields[11]) + int(fields[12])) / per_s


@contextlib.asynccontextmanager
async def live_run(
    settings: LearnerSettings, initial: Path, *, num_actors: int = 2
) -> AsyncIterator[LiveRun]:
    """A run that is open, with its servers; the caller starts the daemons, and nothing is left.

    `initial` is a policy from `make_initial`.
    """
    run = LiveRun(settings, num_actors)
    try:
        await run.open(initial)
        looking = asyncio.create_task(run.look())
        try:
            yield run
        finally:
            await run.end()
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            await run.broker.close()
    finally:
        servers.down(run.servers_folder)
