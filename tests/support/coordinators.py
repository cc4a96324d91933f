"""A coordinator over the in-memory twins, driven step by step instead of by its loops."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from broker.interface import Broker, Delivery, StreamSpec
from broker.memory import MemoryBroker, MemoryServer, MemoryStore
from broker.objects.archive import Archive
from broker.policies.signing import RunKey, sign_announcement
from broker.streams import run_streams
from environments.catalogue import open_environment
from learner.coordinator.bell import Bell
from learner.coordinator.cutter import Cutter
from learner.coordinator.endings import Endings
from learner.coordinator.finding import Finding
from learner.coordinator.front import FrontDesk
from learner.coordinator.intake import Intake
from learner.coordinator.job import WorkerJob
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import RunLog
from learner.coordinator.purging import Purging
from learner.coordinator.worker import examine
from schemas import ledger, names
from schemas.lease import LeaseReply, LeaseRequest
from schemas.policy import PolicyId
from schemas.purge import LetInReply, LetInRequest, PurgeReason, PurgeReply, PurgeRequest
from schemas.settings import (
    BatchSettings,
    LeaseSettings,
    RunSettings,
    SamplingSettings,
    TrainerSettings,
)
from schemas.wire import decode, encode, sha256_hex
from tests.support.groups import PROFILE

SETTINGS = RunSettings(
    name="test",
    sampling=SamplingSettings(group_size=2, max_new_tokens=16),
    leases=LeaseSettings(max_staleness=3, lifetime_s=60.0, max_open_per_actor=3, hold_s=1e-3),
    batch=BatchSettings(num_groups=2, actor_share=0.5),
    trainer=TrainerSettings(num_steps=1000),
)

RUN_KEY = RunKey(bytes(32))


def make_opening(settings: RunSettings = SETTINGS) -> ledger.RunOpened:
    environment = open_environment(settings.environment)
    return ledger.RunOpened(
        settings=settings,
        environment=environment.ref,
        renderer=environment.renderer,
        vocabulary_size=environment.vocabulary_size,
        initial_policy=PolicyId(1, 0),
        initial_manifest_sha256=manifest_of(PolicyId(1, 0)),
        run_key=RUN_KEY.public,
        code_sha256="0" * 64,
    )


def manifest_of(policy: PolicyId) -> str:
    """The digest that `announce` gives a policy's manifest."""
    return sha256_hex(f"manifest {policy}".encode())


class World:
    """The servers, which outlive coordinators."""

    def __init__(
        self,
        settings: RunSettings = SETTINGS,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.wall_clock = wall_clock
        """Of the server, and of the coordinators."""
        self.server = MemoryServer(clock=clock, wall_clock=wall_clock)
        self.broker = MemoryBroker(self.server)
        self.store = MemoryStore()
        self.environment = open_environment(settings.environment)
        self.announced: list[PolicyId] = []

    async def open(self) -> None:
        for spec in self.streams():
            await self.broker.ensure_stream(spec)

    def streams(self) -> tuple[StreamSpec, ...]:
        return run_streams(self.settings)

    async def announce(self, policy: PolicyId) -> None:
        await announce(self.broker, self.settings.name, policy, len(self.announced))
        self.announced.append(policy)


async def announce(broker: Broker, run: str, policy: PolicyId, num_before: int) -> None:
    """Announce a policy as the trainer would, behind `num_before` earlier announcements."""
    announcement = sign_announcement(
        RUN_KEY,
        run=run,
        policy=policy,
        manifest_sha256=manifest_of(policy),
        instance="trainer",
    )
    await broker.append(
        names.policies_stream(run),
        names.policy_subject(run),
        encode(announcement),
        expected_last=num_before,
    )


class DrivenCoordinator:
    """The coordinator's parts, each moved by the test."""

    def __init__(self, world: World, instance: str = "c1") -> None:
        self._world = world
        self.broker = MemoryBroker(world.server)
        self.bell = Bell()
        self.log = RunLog(self.broker, world.settings.name, instance)
        self.known = KnownPolicies(self.broker, world.settings.name, RUN_KEY.public, self.bell)

    async def start(self) -> None:
        await self.log.start(make_opening(self._world.settings))
        world = self._world
        self.archive = Archive(world.store, world.settings.name)
        self.endings = Endings(self.broker, self.log, self.bell)
        self.front = FrontDesk(
            self.log,
            self.known,
            self.endings,
            world.environment.stop_ids,
            self.bell,
            world.wall_clock,
        )
        self.intake = Intake(self.broker, self.archive, self.log, self.known, self, "s0", self.bell)
        self.purging = Purging(self.broker, self.log, self.bell)
        await self.purging.finish()
        self.cutter = Cutter(self.log, self.known, self.bell)
        await self.known.catch_up()

    async def examine(self, jobs: Sequence[WorkerJob]) -> list[Finding | None]:
        """Plays the workers."""
        return [await self.examine_alone(job, stop_others=False) for job in jobs]

    async def examine_alone(self, job: WorkerJob, *, stop_others: bool) -> Finding:
        limit = self._world.settings.intake.max_message_bytes
        return await examine(job, self._world.environment, max_wire_bytes=limit)

    async def lease(self, request: LeaseRequest) -> LeaseReply:
        """Ask, and let the desk serve at once."""
        subject = names.lease_subject(request.run, request.actor)
        waiting = self.front.answer(subject, encode(request))
        task = asyncio.ensure_future(waiting)
        while not task.done():
            await asyncio.sleep(0)
            await self.front.serve()
        return decode(await task, LeaseReply)

    async def purge(self, **fields: Any) -> PurgeReply:
        """Ask for a purge, and wait until it is done."""
        run = self._world.settings.name
        request = PurgeRequest(**({"run": run, "reason": PurgeReason.PURGED} | fields))
        subject = names.purge_subject(run)
        return decode(await self.purging.answer(subject, encode(request)), PurgeReply)

    async def let_in(self, actor: str) -> LetInReply:
        run = self._world.settings.name
        request = encode(LetInRequest(run=run, actor=actor))
        return decode(await self.purging.let_in(names.let_in_subject(run), request), LetInReply)

    def knows(self, *actors: str) -> None:
        """Treat these as if they had answered so much that they may hold all that one actor may."""
        for actor in actors:
            self.log.state.answered[actor] = self._world.settings.leases.max_open_per_actor

    async def round(self, max_messages: int = 8) -> int:
        """Pull and judge what the queue has; returns the number of messages."""
        deliveries = await self.intake.hand.pull(max_messages=max_messages, timeout_s=0.0)
        await self.judge(deliveries)
        return len(deliveries)

    async def judge(self, deliveries: Sequence[Delivery]) -> None:
        """Judge and write these by themselves, and then what was set aside of them."""
        cases = await self.intake.judging.judge(deliveries)
        await self.intake.writer.write(cases)
        for _ in range(len(deliveries) - len(cases)):
            await self.intake.judge_suspect()

    async def cut(self) -> None:
        await self.known.catch_up()
        while await self.cutter.look():
            pass


def make_request(actor: str, request_id: str, **changes: object) -> LeaseRequest:
    fields = {
        "run": SETTINGS.name,
        "actor": actor,
        "request_id": request_id,
        "instance": f"{actor}-1",
        "wanted": 1,
        "held": None,
        "profile": PROFILE,
    }
    return LeaseRequest(**(fields | changes))  # type: ignore[arg-type]
