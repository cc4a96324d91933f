"""The whole coordinator, with its judging processes, over the twin and over a real nats-server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest
import zstandard

from broker.audit import audit_run
from broker.interface import Broker
from broker.memory import MemoryStore
from broker.streams import run_streams
from environments.catalogue import open_environment
from learner.coordinator.service import Coordinator
from schemas import ledger, names, wire
from schemas.arrays import pack_f32, pack_u32
from schemas.batch import Batch
from schemas.errors import RoleTaken, StoreUnavailable
from schemas.lease import GrantReply, GrantRequest, Lease, LeaseReply, WaitReason
from schemas.policy import PolicyId
from schemas.settings import (
    BatchSettings,
    IntakeSettings,
    LeaseSettings,
    RunSettings,
    SamplingSettings,
    TrainerSettings,
)
from schemas.verdict import Outcome, Reason, Verdict
from tests.support.coordinators import announce, make_opening, make_request, manifest_of
from tests.support.groups import make_group

NUM_STEPS = 3


class Stage:
    """A run with a coordinator, a scripted trainer, and actors that a test plays."""

    def __init__(self, connect, run: str) -> None:
        self.connect = connect
        self.settings = RunSettings(
            name=run,
            sampling=SamplingSettings(group_size=2, max_new_tokens=16),
            leases=LeaseSettings(max_staleness=2, hold_s=0.3, max_open_per_actor=8),
            intake=IntakeSettings(max_message_bytes=1 << 18),
            batch=BatchSettings(num_groups=2),
            trainer=TrainerSettings(num_steps=NUM_STEPS),
        )
        self.environment = open_environment(self.settings.environment)
        self.store = MemoryStore()
        self.num_announced = 0
        self.num_requests = 0

    async def open(self) -> None:
        self.broker: Broker = await self.connect()
        for spec in run_streams(self.settings):
            await self.broker.ensure_stream(spec)

    @contextlib.asynccontextmanager
    async def coordinator(self, *, take_over: bool = False) -> AsyncIterator[Coordinator]:
        """A running coordinator; its failure is the test's."""
        broker = await self.connect()
        coordinator = Coordinator(broker, self.store, make_opening(self.settings))
        stop = asyncio.Event()
        task = asyncio.create_task(coordinator.run(stop, take_over=take_over))
        coordinating = asyncio.create_task(coordinator.ready.wait())
        await asyncio.wait([task, coordinating], return_when=asyncio.FIRST_COMPLETED)
        coordinating.cancel()
        try:
            if task.done():
                task.result()
            yield coordinator
        finally:
            stop.set()
            try:
                await task
            finally:
                await broker.close()

    async def announce(self) -> PolicyId:
        policy = PolicyId(1, self.num_announced)
        await announce(self.broker, self.settings.name, policy, self.num_announced)
        self.num_announced += 1
        return policy

    async def ask(self, actor: str, wanted: int = 1) -> LeaseReply:
        self.num_requests += 1
        request = make_request(
            actor, f"r{self.num_requests}", run=self.settings.name, wanted=wanted
        )
        subject = names.lease_subject(request.run, actor)
        reply = await self.broker.request(subject, wire.encode(request), timeout_s=10.0)
        return wire.decode(reply, LeaseReply)

    async def group(self, lease: Lease, policy: PolicyId, right=(True, False)):
        return await make_group(self.environment, lease, policy, manifest_of(policy), right=right)

    async def publish(self, group, **subject_changes: object) -> None:
        fields = {"run": group.run, "shard": "s0", "policy": group.policy, "actor": group.actor}
        subject = names.rollouts_subject(**(fields | subject_changes))  # type: ignore[arg-type]
        await self.broker.publish(subject, wire.encode(group))

    async def verdicts(self, actor: str) -> AsyncIterator[Verdict]:
        async for _, data in self.broker.listen(names.verdict_subject(self.settings.name, actor)):
            yield wire.decode(data, Verdict)

    async def batch(self, step: int) -> Batch:
        """Wait for a batch."""
        stream = names.log_stream(self.settings.name)
        subject = names.batch_subject(self.settings.name, step)
        async with asyncio.timeout(20):
            async for record in self.broker.follow(stream, subject=subject):
                return wire.decode(record.data, Batch)
        raise AssertionError("following never ends")

    async def judged(self, count: int) -> list[ledger.VerdictEvent]:
        """Wait for so many verdicts in the ledger."""
        found: list[ledger.VerdictEvent] = []
        stream = names.log_stream(self.settings.name)
        subject = names.ledger_subject(self.settings.name)
        async with asyncio.timeout(20):
            async for record in self.broker.follow(stream, subject=subject):
                for event in wire.decode(record.data, ledger.LedgerEntry).events:
                    if isinstance(event, ledger.VerdictEvent):
                        found.append(event)
                if len(found) >= count:
                    return found
        raise AssertionError("following never ends")

    async def audit(self) -> None:
        report = await audit_run(self.broker, self.settings.name, store=self.store)
        assert report.holds, report


@pytest.fixture
async def stage(connect, unique):
    stage = Stage(connect, unique("stage"))
    await stage.open()
    return stage


async def test_a_run_from_the_first_lease_to_the_last_batch(stage):
    async with stage.coordinator():
        assert (await stage.ask("ALICE")).waiting_for is WaitReason.NO_POLICY
        policy = await stage.announce()
        for step in range(1, NUM_STEPS + 1):
            for actor in ("ALICE", "BOB"):
                for lease in (await stage.ask(actor)).leases:
                    await stage.publish(await stage.group(lease, policy))
            batch = await stage.batch(step)
            assert sorted(row.actor for row in batch.rows) == ["ALICE", "BOB"]
            assert batch.rows[0].advantages == (0.5, -0.5)
            policy = await stage.announce()
        assert (await stage.ask("ALICE")).waiting_for is WaitReason.FINISHED
    await stage.audit()


async def test_leases_survive_a_restart_and_are_given_again_for_the_same_request(stage):
    await stage.announce()
    async with stage.coordinator():
        first = await stage.ask("ALICE")
    stage.num_requests -= 1  # The same request id: the reply was lost.
    async with stage.coordinator():
        second = await stage.ask("ALICE")
    assert first.leases == second.leases
    assert len(first.leases) == 1


async def test_what_a_killed_coordinator_had_in_hand_is_judged_at_once(stage):
    policy = await stage.announce()
    async with stage.coordinator():
        (lease,) = (await stage.ask("ALICE")).leases
    await stage.publish(await stage.group(lease, policy))
    queue, consumer = names.rollouts_stream(stage.settings.name, "s0"), names.intake_consumer("s0")
    killed = await stage.connect()
    bounds = {"max_messages": 8, "max_bytes": 1 << 20}
    assert len(await killed.pull(queue, consumer, **bounds, timeout_s=5.0)) == 1
    async with asyncio.timeout(10), stage.coordinator():  # The ack wait is longer.
        assert len(await stage.judged(1)) == 1
    await stage.audit()


async def test_a_second_coordinator_is_refused_by_the_name_of_the_first(stage):
    async with stage.coordinator() as first:
        with pytest.raises(RoleTaken, match=first.log.instance):
            async with stage.coordinator():
                pass


async def test_a_frozen_coordinator_is_replaced_only_on_request_and_then_fenced(stage):
    await stage.announce()
    frozen = Coordinator(await stage.connect(), stage.store, make_opening(stage.settings))

    async def never(_subject: str, _data: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    subject = names.who_subject(stage.settings.name, names.COORDINATOR)
    await frozen._broker.serve(subject, never)
    await frozen.log.start(make_opening(stage.settings))
    with pytest.raises(RoleTaken, match="take-over"):
        async with stage.coordinator():
            pass
    async with stage.coordinator(take_over=True):
        with pytest.raises(Exception, match="taken over"):
            await frozen.log.append([ledger.LeaseExpired(lease_id=0)])
        assert (await stage.ask("ALICE")).leases
    await stage.audit()


async def test_while_object_storage_is_away_nothing_is_acked_and_nothing_is_lost(stage):
    policy = await stage.announce()
    put, away = stage.store.put, True

    async def put_or_not(key: str, data: bytes) -> None:
        if away:
            raise StoreUnavailable("away")
        await put(key, data)

    stage.store.put = put_or_not
    async with stage.coordinator():
        (lease,) = (await stage.ask("ALICE")).leases
        await stage.publish(await stage.group(lease, policy))
        await asyncio.sleep(1.0)
        queue = names.rollouts_stream(stage.settings.name, "s0")
        assert (await stage.broker.state(queue)).num_messages == 1
        away = False
        (verdict,) = await stage.judged(1)
        assert isinstance(verdict, ledger.GroupAccepted)
    await stage.audit()


async def test_grants_are_for_policies_only(stage):
    async with stage.coordinator():

        async def grant(*keys: str, actor: str = "ALICE", as_actor: str = "ALICE") -> GrantReply:
            request = GrantRequest(run=stage.settings.name, actor=actor, keys=keys)
            subject = names.grant_subject(stage.settings.name, as_actor)
            reply = await stage.broker.request(subject, wire.encode(request), timeout_s=5.0)
            return wire.decode(reply, GrantReply)

        run = stage.settings.name
        assert len((await grant(names.policy_manifest_key(run, PolicyId(1, 0)))).urls) == 1
        for key in (
            names.archive_prefix(run) + "0" * 64,
            f"policies/{run}/../../archive/x",
            "policies/other/1-0/policy",
        ):
            assert (await grant(key)).urls == ()
        key = names.policy_manifest_key(run, PolicyId(1, 0))
        assert (await grant(key, actor="BOB")).urls == ()


def frame(document: bytes) -> bytes:
    return wire.MAGIC + bytes([wire.SCHEMA_VERSION]) + zstandard.compress(document)


HOSTILE_BYTES = {
    "random": (b"\x8f\x01 random", Reason.ENVELOPE),
    "zstd bomb": (frame(bytes(1 << 28)), Reason.OVERSIZE),
    "lying length": (frame(b"\xdd\xff\xff\xff\xff"), Reason.SCHEMA),
    "deep nesting": (frame(b"\x91" * 1_000_000), Reason.SCHEMA),
}


async def test_hostile_messages_each_get_their_verdict_and_the_run_goes_on(stage):
    policy = await stage.announce()
    run = stage.settings.name
    sent: list[tuple[str, Outcome, Reason]] = []
    async with stage.coordinator():
        (theirs,) = (await stage.ask("BOB")).leases
        (lease,) = (await stage.ask("ALICE")).leases
        (used,) = (await stage.ask("DAVE")).leases
        (honest,) = (await stage.ask("ERIN")).leases
        good = await stage.group(lease, policy)

        def changed(**changes: object):
            return msgspec.structs.replace(good, **changes)

        async def send(
            name: str, outcome: Outcome, reason: Reason, group, **subject: object
        ) -> None:
            sent.append((name, outcome, reason))
            await stage.publish(group, **subject)

        for name, (data, reason) in HOSTILE_BYTES.items():
            sent.append((name, Outcome.REJECTED, reason))
            await stage.broker.publish(names.rollouts_subject(run, "s0", policy, "ALICE"), data)
        truncated = wire.encode(good)[:-5]
        sent.append(("truncated", Outcome.REJECTED, Reason.ENVELOPE))
        await stage.broker.publish(names.rollouts_subject(run, "s0", policy, "ALICE"), truncated)
        rejected = Outcome.REJECTED
        await send(
            "foreign lease", rejected, Reason.LEASE_FOREIGN, changed(lease_id=theirs.lease_id)
        )
        await send("no such lease", rejected, Reason.LEASE_UNKNOWN, changed(lease_id=999))
        # The message id is the digest of the bytes: equal bytes would be stored once.
        other = changed(profile=msgspec.structs.replace(good.profile, version="2"))
        await send("other actor in payload", rejected, Reason.MISMATCH, other, actor="BOB")
        await send(
            "other policy in subject", rejected, Reason.POLICY_UNKNOWN, good, policy=PolicyId(1, 7)
        )
        future = await stage.group(lease, PolicyId(1, 7))
        await send("future policy", rejected, Reason.POLICY_UNKNOWN, future)
        assert len(await stage.judged(len(sent))) == len(sent)
        # Each closes its lease: the rest is tried on leases of their own.
        for name, reason, make in TAMPERED:
            (own,) = (await stage.ask("CAROL")).leases
            await send(name, rejected, reason, make(await stage.group(own, policy)))
            await stage.judged(len(sent))
        await send("first use", Outcome.ACCEPTED, Reason.NONE, await stage.group(used, policy))
        await stage.judged(len(sent))
        again = await stage.group(used, policy, right=(False, True))
        await send("second use", Outcome.DUPLICATE, Reason.NONE, again)
        await send("still going", Outcome.ACCEPTED, Reason.NONE, await stage.group(honest, policy))
        found = await stage.judged(len(sent))
    accepted = ledger.GroupAccepted
    assert [
        (Outcome.ACCEPTED, Reason.NONE) if isinstance(one, accepted) else (one.outcome, one.reason)
        for one in sorted(found, key=lambda one: one.sequence)
    ] == [(outcome, reason) for _, outcome, reason in sent]
    await stage.audit()


def with_rollout(group, **changes: object):
    first = msgspec.structs.replace(group.rollouts[0], **changes)
    return msgspec.structs.replace(group, rollouts=(first, *group.rollouts[1:]))


def with_logprob(group, value: float):
    count = len(group.rollouts[0].logprobs) // 4
    return with_rollout(group, logprobs=pack_f32([value] * count))


def with_token(group, token_id: int):
    data = group.rollouts[0].token_ids
    return with_rollout(group, token_ids=data[:4] + pack_u32([token_id]) + data[8:])


TAMPERED = (
    ("NaN", Reason.TOKENS, lambda group: with_logprob(group, float("nan"))),
    ("positive logprob", Reason.TOKENS, lambda group: with_logprob(group, 1.0)),
    ("out of vocabulary", Reason.TOKENS, lambda group: with_token(group, 1 << 31)),
    ("another prompt", Reason.RENDERING, lambda group: with_token(group, 9)),
    (
        "lengths disagree",
        Reason.TOKENS,
        lambda group: with_rollout(group, loss_mask=group.rollouts[0].loss_mask + b"\1"),
    ),
    (
        "a lie about the reward",
        Reason.REWARD_MISMATCH,
        lambda group: with_rollout(group, claimed_reward=0.5),
    ),
    (
        "one rollout short",
        Reason.LEASE_TERMS,
        lambda group: msgspec.structs.replace(group, rollouts=group.rollouts[:1]),
    ),
)
