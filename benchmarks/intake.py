"""The coordinator's intake against a bare nats-py loop that only fetches and acks.

The same messages on the same nats-server (sync_interval always), one queue each. The bare loop does
nothing with a message. The intake checks every token and reward in its judging process, writes
segments to a real SeaweedFS and verdicts to LOG, and acks behind a confirmed write. Two sizes: the
demo's groups, and a lab's (8 rollouts of 4,096 sampled tokens). The baseline is the queue's own
speed, so the ratio says what all of the judging costs, with one judging process as is the default.
"""

import asyncio
import random
import tempfile
import time
import uuid
from pathlib import Path
from statistics import median

import nats
from nats.errors import TimeoutError as NatsTimeout

from benchmarks.table import Figure, of_rounds
from broker import servers
from broker.jetstream import NatsBroker
from broker.s3 import S3Store
from broker.streams import run_streams
from environments.catalogue import open_environment
from learner.coordinator.draw import draw_lease
from learner.coordinator.service import Coordinator
from schemas import ledger, names, wire
from schemas.arrays import pack_f32, pack_u32
from schemas.lease import EngineProfile, Lease, LeaseRequest
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.rollout import Finish, Rollout, RolloutGroup, VersionSpan
from schemas.settings import LeaseSettings, RunSettings, SamplingSettings

_POLICY = PolicyId(1, 0)
_MANIFEST = "0" * 64
_PROFILE = EngineProfile(engine="b", version="1", dtype="f32", track="f32", max_context=8192)
_LEASES_PER_ACTOR = 16
"""As many as the settings let one hold."""
_SIZES = {"demo": (8, 1000), "lab": (4096, 120)}
"""Name -> (sampled tokens per rollout, messages)."""


def measure(num_rounds: int = 5) -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        started = servers.up(Path(name), detached=False)
        try:
            return asyncio.run(_measure(started, num_rounds))
        finally:
            servers.down(Path(name))


async def _measure(started: servers.Servers, num_rounds: int) -> list[Figure]:
    figures = []
    for size, (num_tokens, num_messages) in _SIZES.items():
        bare_s, intake_s, num_bytes = [], [], 0
        for _ in range(num_rounds):
            stage = _Stage(started, num_tokens, num_messages)
            messages = await stage.open()
            num_bytes = sum(len(data) for _, data in messages)
            bare_s.append(await stage.bare(messages))
            intake_s.append(await stage.intake(messages))
            await stage.close()
        how = (
            f"{num_bytes / num_messages / 1000:.1f} KB a group; "
            f"ours {_speed(num_messages, num_bytes, median(intake_s))}, "
            f"bare {_speed(num_messages, num_bytes, median(bare_s))}"
        )
        ratios = [bare / intake for bare, intake in zip(bare_s, intake_s, strict=True)]
        name = f"intake: {size}'s groups / bare loop"
        figures.append(of_rounds(ratios, name=name, unit="x", aim="0.7", how=how))
    return figures


def _speed(num_messages: int, num_bytes: int, elapsed_s: float) -> str:
    return f"{num_messages / elapsed_s:.0f} groups/s and {num_bytes / 1e6 / elapsed_s:.1f} MB/s"


class _Stage:
    """One run with its leases issued, and a queue beside it for the bare loop."""

    def __init__(self, started: servers.Servers, num_tokens: int, num_messages: int) -> None:
        self._connection = started.connection()
        self._num_messages = num_messages
        self._settings = RunSettings(
            name=f"bench-{uuid.uuid4().hex[:8]}",
            sampling=SamplingSettings(group_size=8, max_new_tokens=num_tokens),
            leases=LeaseSettings(lifetime_s=1e6, max_staleness=1000),
        )
        self._environment = open_environment(self._settings.environment)
        self._opening = ledger.RunOpened(
            settings=self._settings,
            environment=self._environment.ref,
            renderer=self._environment.renderer,
            vocabulary_size=self._environment.vocabulary_size,
            initial_policy=_POLICY,
            initial_manifest_sha256=_MANIFEST,
            run_key="0" * 64,
            code_sha256="0" * 64,
        )

    async def open(self) -> list[tuple[str, bytes]]:
        """Streams, an announced policy, a lease for every message; returns the messages."""
        run = self._settings.name
        self._broker = await NatsBroker.connect(self._connection.nats, name="bench")
        self._store = S3Store.open(self._connection)
        await self._store.ensure_bucket()
        for spec in run_streams(self._settings):
            await self._broker.ensure_stream(spec)
        announcement = PolicyAnnouncement(
            run=run,
            policy=_POLICY,
            manifest_sha256=_MANIFEST,
            signature=bytes(64),
            instance="bench",
        )
        await self._broker.append(
            names.policies_stream(run),
            names.policy_subject(run),
            wire.encode(announcement),
            expected_last=0,
        )
        leases = [self._lease(number) for number in range(self._num_messages)]
        issued = [ledger.LeaseIssued(lease=lease, request_id="r", instance="i") for lease in leases]
        entry = ledger.LedgerEntry(instance="bench", events=(self._opening, *issued))
        await self._broker.append(
            names.log_stream(run), names.ledger_subject(run), wire.encode(entry), expected_last=0
        )
        chance = random.Random(0)
        return [
            (
                names.rollouts_subject(run, lease.shard, _POLICY, lease.actor),
                wire.encode(self._group(lease, chance)),
            )
            for lease in leases
        ]

    def _lease(self, number: int) -> Lease:
        request = LeaseRequest(
            run=self._settings.name,
            actor=f"ACTOR{number // _LEASES_PER_ACTOR}",
            request_id="r",
            instance="i",
            wanted=1,
            held=None,
            profile=_PROFILE,
        )
        stop_ids = self._environment.stop_ids
        return draw_lease(self._opening, number, request, _POLICY, 1e10, stop_ids)

    def _group(self, lease: Lease, chance: random.Random) -> RolloutGroup:
        """Completions that ran into the limit: legal, judged in full, reward 0."""
        prompt = self._environment.prompt(lease.task)
        letters = range(self._environment.vocabulary_size - 26, self._environment.vocabulary_size)
        num_tokens = lease.sampling.max_new_tokens
        rollouts = tuple(
            Rollout(
                token_ids=pack_u32([*prompt, *chance.choices(letters, k=num_tokens)]),
                loss_mask=bytes(len(prompt)) + b"\1" * num_tokens,
                logprobs=pack_f32([-chance.expovariate(1.0) for _ in range(num_tokens)]),
                spans=(VersionSpan(num_tokens=num_tokens, policy=_POLICY),),
                finish=Finish.LENGTH,
                claimed_reward=0.0,
            )
            for _ in range(lease.group_size)
        )
        return RolloutGroup(
            run=lease.run,
            lease_id=lease.lease_id,
            actor=lease.actor,
            policy=_POLICY,
            manifest_sha256=_MANIFEST,
            profile=_PROFILE,
            rollouts=rollouts,
        )

    async def bare(self, messages: list[tuple[str, bytes]]) -> float:
        """Seconds to fetch and ack them all, over nats-py alone."""
        client = await nats.connect(self._connection.nats)
        stream, word = f"BARE_{uuid.uuid4().hex[:8]}", f"bare{uuid.uuid4().hex[:8]}"
        js = client.jetstream()
        await js.add_stream(name=stream, subjects=[word], retention="workqueue")
        for _, data in messages:
            await js.publish(word, data)
        subscription = await js.pull_subscribe(word, "bare")
        began, left = time.perf_counter(), len(messages)
        while left:
            try:
                fetched = await subscription.fetch(min(64, left), timeout=2)
            except NatsTimeout:
                continue
            for message in fetched:
                await message.ack()
            left -= len(fetched)
        await client.flush()
        elapsed = time.perf_counter() - began
        await js.delete_stream(stream)
        await client.close()
        return elapsed

    async def intake(self, messages: list[tuple[str, bytes]]) -> float:
        """Seconds from the moment when the coordinator is ready to the last ack."""
        for subject, data in messages:
            await self._broker.publish(subject, data)
        broker = await NatsBroker.connect(self._connection.nats, name="coordinator")
        coordinator = Coordinator(broker, self._store, self._opening)
        stop, queue = asyncio.Event(), names.rollouts_stream(self._settings.name, "s0")
        running = asyncio.create_task(coordinator.run(stop))
        await coordinator.ready.wait()
        began = time.perf_counter()
        while (await self._broker.state(queue)).num_messages:  # noqa: ASYNC110 (the queue is asked)
            await asyncio.sleep(0.02)
        elapsed = time.perf_counter() - began
        assert coordinator.log.state.num_accepted == len(messages), coordinator.log.state.num_judged
        stop.set()
        await running
        await broker.close()
        return elapsed

    async def close(self) -> None:
        await self._broker.close()
        await self._store.close()
