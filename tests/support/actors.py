"""An actor over the in-memory broker, with a scripted model and a scripted coordinator."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from actors.engine import Engine, Generated
from actors.groups import Groups
from actors.report import Report
from actors.status import Status
from actors.wiring import Outside, wire_daemon
from broker.changes import Changes
from broker.memory import MemoryBroker, MemoryServer
from broker.policies.signing import RunKey, sign_announcement
from broker.streams import run_streams
from environments.catalogue import open_environment
from schemas import names, wire
from schemas.arrays import pack_f32, pack_u32
from schemas.errors import PolicyUnloadable, ProbeMismatch
from schemas.heartbeat import State
from schemas.lease import EngineProfile, Lease, LeaseReply, LeaseRequest, Sampling, WaitReason
from schemas.policy import PolicyAnnouncement, PolicyId, Probe
from schemas.rollout import Finish, RolloutGroup, VersionSpan
from schemas.run_card import RunCard
from schemas.settings import ActorSettings, EnvironmentSettings, IntakeSettings, RunSettings

RUN, ACTOR = "demo", "ALICE"
ENVIRONMENT = open_environment(EnvironmentSettings(id="lookup"))
KEY = RunKey.generate()
CARD = RunCard(run=RUN, nats="nats://memory", run_key=KEY.public, environment=ENVIRONMENT.ref)
PROFILE = EngineProfile(engine="script", version="1", dtype="f32", track="f32", max_context=4096)
FIRST = PolicyId(1, 0)


class ScriptedEngine:
    """Answers at once with a letter or two by chance; `go` and `may_load` can hold it up."""

    def __init__(self) -> None:
        self.profile = PROFILE
        self.policy: PolicyId | None = None
        self.loaded: list[PolicyId] = []
        self.cannot_load: set[PolicyId] = set()
        self.refused: list[PolicyId] = []
        self.go = asyncio.Event()
        self.go.set()
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.seeds: list[int] = []
        self.num_running = 0
        self.most_running = 0

    async def generate(
        self, prompt: tuple[int, ...], sampling: Sampling, *, seed: int
    ) -> Generated:
        assert self.policy is not None
        policy = self.policy
        self.seeds.append(seed)
        self.num_running += 1
        self.most_running = max(self.most_running, self.num_running)
        try:
            await self.go.wait()
            await asyncio.sleep(0)
        finally:
            self.num_running -= 1
        token_ids = (*([5] * (seed % 3)), sampling.stop_ids[0])
        return Generated(
            token_ids=token_ids,
            logprobs=(-0.25,) * len(token_ids),
            finish=Finish.STOP,
            spans=(VersionSpan(num_tokens=len(token_ids), policy=policy),),
        )

    async def logprobs(self, token_ids: tuple[int, ...]) -> tuple[float, ...]:
        return (-1.0,) * (len(token_ids) - 1)

    async def load(self, folder: Path, policy: PolicyId) -> None:
        assert self.num_running == 0, "a policy is loaded between groups"
        await self.may_load.wait()
        if policy in self.cannot_load:
            self.refused.append(policy)
            raise PolicyUnloadable("another model than this engine knows")
        self.policy = policy
        self.loaded.append(policy)

    async def close(self) -> None: ...


class ScriptedManifest(Struct):
    """As much of a manifest as an actor reads."""

    probe: Probe


class ScriptedFetched(Struct):
    folder: Path
    manifest: ScriptedManifest


class Coordinator:
    """Hands out the leases that a test puts in, and remembers what it was asked."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.requests: list[LeaseRequest] = []
        self.announcement: PolicyAnnouncement | None = announce(FIRST)
        self.reason = WaitReason.CAPACITY
        self.clock = time.time
        self._ids = itertools.count()
        self._leases: deque[Lease] = deque()
        self._changes = Changes()

    async def serve(self) -> None:
        await self.broker.serve(names.lease_subject(RUN, ACTOR), self._answer)

    def offer(self, **change: object) -> Lease:
        """One more lease for whoever asks."""
        lease = make_lease(next(self._ids), **{"deadline": self.clock() + 60, **change})
        self._leases.append(lease)
        self._changes.notify()
        return lease

    async def _answer(self, _subject: str, data: bytes) -> bytes:
        request = wire.decode(data, LeaseRequest)
        self.requests.append(request)
        self._changes.notify()
        if request.wanted:
            # One request waits at a time: a newer one takes its place.
            await self._changes.until(
                lambda: self._leases or self.requests[-1] is not request, timeout_s=1.2
            )
        num_leases = min(request.wanted, len(self._leases))
        leases = tuple(self._leases.popleft() for _ in range(num_leases))
        return wire.encode(
            LeaseReply(
                leases=leases,
                announcement=self.announcement,
                time=self.clock(),
                waiting_for=WaitReason.NONE if leases else self.reason,
            )
        )


def announce(policy: PolicyId) -> PolicyAnnouncement:
    return sign_announcement(
        KEY, run=RUN, policy=policy, manifest_sha256=manifest_of(policy), instance="t1"
    )


def manifest_of(policy: PolicyId) -> str:
    return wire.sha256_hex(str(policy).encode())


def make_lease(lease_id: int, **change: object) -> Lease:
    fields: dict[str, object] = {
        "lease_id": lease_id,
        "run": RUN,
        "actor": ACTOR,
        "environment": ENVIRONMENT.ref,
        "task": lease_id,
        "group_size": 3,
        "seed": 1000 + lease_id,
        "sampling": Sampling(max_new_tokens=8, stop_ids=ENVIRONMENT.stop_ids),
        "renderer": ENVIRONMENT.renderer,
        "shard": "s0",
        "least_policy": FIRST,
        "deadline": time.time() + 60,
        **change,
    }
    return Lease(**fields)  # pyright: ignore[reportArgumentType]


class World:
    """The servers, one coordinator, and actors that come and go in one home."""

    def __init__(self, home: Path, **intake: int) -> None:
        self.home = home
        self.server = MemoryServer()
        self.coordinator = Coordinator(MemoryBroker(self.server))
        self.bad_policies: set[PolicyId] = set()
        self.fetched: list[PolicyId] = []
        self.fetch_fails: Exception | None = None
        self.num_failures = 0
        self._run = RunSettings(name=RUN, intake=IntakeSettings(**intake))  # pyright: ignore[reportArgumentType]

    async def open(self) -> None:
        for spec in run_streams(self._run):
            await self.coordinator.broker.ensure_stream(spec)
        await self.coordinator.serve()

    async def announce(self, policy: PolicyId) -> None:
        announcement = announce(policy)
        self.coordinator.announcement = announcement
        await self.coordinator.broker.notify(names.policy_subject(RUN), wire.encode(announcement))

    def spooled(self) -> list[Path]:
        """Files of finished groups on the actor's disk, whole."""
        return list((self.home / "spool").rglob("[!.]*.rollouts.*"))

    def published(self) -> list[tuple[str, RolloutGroup]]:
        """(subject, group) of all that is in the queue."""
        records = self.server.streams[names.rollouts_stream(RUN, "s0")].records.values()
        return [(record.subject, wire.decode(record.data, RolloutGroup)) for record in records]

    async def until_published(self, count: int) -> list[tuple[str, RolloutGroup]]:
        while len(self.published()) < count:
            await self.server.change()
        return self.published()

    async def take_one(self) -> None:
        """Consume one message of the queue."""
        taken = await self.coordinator.broker.pull(
            names.rollouts_stream(RUN, "s0"),
            names.intake_consumer("s0"),
            max_messages=1,
            max_bytes=1 << 20,
            timeout_s=1,
        )
        for delivery in taken:
            await delivery.ack()

    async def fetch(self, announcement: PolicyAnnouncement) -> ScriptedFetched:
        if self.fetch_fails:
            self.num_failures += 1
            raise self.fetch_fails
        self.fetched.append(announcement.policy)
        probe = Probe(token_ids=pack_u32([1, 2]), logprobs=pack_f32([-1.0]))
        return ScriptedFetched(
            folder=self.home / str(announcement.policy), manifest=ScriptedManifest(probe)
        )


class RunningActor:
    """One daemon of a world, from `async with` to its stop."""

    def __init__(self, world: World, engine: Engine | None = None, **settings) -> None:
        self.world = world
        self.engine = engine or ScriptedEngine()
        self.settings = ActorSettings(heartbeat_s=0.3, **settings)
        self.broker = MemoryBroker(world.server)
        self.status = Status(lambda: self.broker.connected)
        self.reports: list[Report] = []
        self.stop = asyncio.Event()

    async def __aenter__(self) -> "RunningActor":
        self._daemon = wire_daemon(
            CARD,
            self.settings,
            ACTOR,
            self.world.home,
            Outside(
                broker=self.broker,
                fetch=self.world.fetch,
                engine=self.engine,
                check_probe=self._check_probe,
            ),
            Groups(self.engine, self.status),
            self.status,
        )
        self.task = asyncio.create_task(self._daemon.run(self.stop, self.reports.append))
        return self

    async def __aexit__(self, *error: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.broker.close()

    async def _check_probe(self, engine: Engine, _probe: Probe) -> None:
        if engine.policy in self.world.bad_policies:
            raise ProbeMismatch("token 1 is off")

    async def drained(self) -> None:
        """Ask it to stop, and wait until it has."""
        self.stop.set()
        await self.task

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to be true of the status."""
        await self.status.changes.until(condition)

    async def until_generating(self, num_groups: int) -> None:
        await self.until(lambda: self.status.count(State.GENERATING) == num_groups)


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop turn until the condition is true."""
    # Some conditions are about things that have no event.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
