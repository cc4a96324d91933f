"""The daemon on the in-memory broker: a lease becomes one group, whatever comes between."""

import asyncio
import time

import pytest
from msgspec.structs import replace

from actors import leases
from actors.seeds import member_seed
from broker import retry
from environments.recorded import verify
from schemas import names, wire
from schemas.errors import PermissionDenied, StoreUnavailable
from schemas.heartbeat import Heartbeat, State
from schemas.lease import Sampling, WaitReason
from schemas.policy import PolicyId
from schemas.verdict import Outcome, Reason, Verdict
from tests.support.actors import (
    ACTOR,
    ENVIRONMENT,
    FIRST,
    PROFILE,
    RUN,
    RunningActor,
    ScriptedEngine,
    World,
    manifest_of,
    until,
)

SECOND, THIRD, FOURTH = PolicyId(1, 1), PolicyId(1, 2), PolicyId(1, 3)


@pytest.fixture
async def world(tmp_path):
    world = World(tmp_path)
    await world.open()
    yield world
    await world.coordinator.broker.close()


async def test_lease_becomes_a_group(world):
    lease = world.coordinator.offer()
    async with RunningActor(world) as actor:
        [(subject, group)] = await world.until_published(1)
        await actor.drained()

    assert subject == names.rollouts_subject(RUN, "s0", FIRST, ACTOR)
    assert (group.lease_id, group.actor, group.run) == (lease.lease_id, ACTOR, RUN)
    assert (group.policy, group.manifest_sha256) == (FIRST, manifest_of(FIRST))
    assert group.profile == PROFILE
    assert len(group.rollouts) == lease.group_size
    for rollout in group.rollouts:
        interaction = await verify(ENVIRONMENT, lease.task, rollout, lease.sampling)
        assert interaction.reward == rollout.claimed_reward
        assert len(rollout.spans) == 1
    assert set(actor.engine.seeds) == {member_seed(lease.seed, member) for member in range(3)}


async def test_members_and_leases_run_side_by_side(world):
    engine = ScriptedEngine()
    engine.go.clear()
    for _ in range(5):
        world.coordinator.offer()
    async with RunningActor(world, engine, max_leases=4) as actor:
        await actor.until_generating(4)
        await until(lambda: engine.num_running == 12)
        assert world.coordinator.requests[-1].wanted == 4
        engine.go.set()
        await world.until_published(5)


async def test_waits_for_the_policy_that_a_lease_asks_for(world):
    world.coordinator.offer(least_policy=SECOND)
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.state is State.WAITING_FOR_POLICY)
        await actor.until(lambda: actor.status.policy == FIRST)
        assert world.published() == []
        await world.announce(SECOND)
        [(_, group)] = await world.until_published(1)
        assert group.policy == SECOND
        assert actor.engine.loaded == [FIRST, SECOND]


async def test_a_later_incarnation_with_an_older_version_does_not_do(world):
    world.coordinator.offer(least_policy=PolicyId(0, 3))
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.policy == FIRST)
        await world.announce(PolicyId(2, 2))
        await actor.until(lambda: actor.status.policy == PolicyId(2, 2))
        assert world.published() == []
        await world.announce(PolicyId(2, 3))
        [(_, group)] = await world.until_published(1)
        assert group.policy == PolicyId(2, 3)


async def test_versions_are_skipped_and_loaded_between_groups(world):
    engine = ScriptedEngine()
    engine.go.clear()
    world.coordinator.offer()
    async with RunningActor(world, engine) as actor:
        await actor.until_generating(1)
        await world.announce(SECOND)
        await until(lambda: world.fetched == [FIRST, SECOND])
        # The group under way holds the load back; what is announced meanwhile is passed over.
        await world.announce(THIRD)
        await world.announce(FOURTH)
        for _ in range(20):
            await asyncio.sleep(0)
        assert engine.loaded == [FIRST]
        engine.go.set()
        await actor.until(lambda: actor.status.policy == FOURTH)
        assert engine.loaded == [FIRST, SECOND, FOURTH]
        [(_, group)] = await world.until_published(1)
        assert group.policy == FIRST


async def test_a_probe_that_comes_out_wrong_is_never_served(world):
    world.bad_policies.add(SECOND)
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.policy == FIRST)
        await world.announce(SECOND)
        await actor.until(lambda: "not served" in actor.status.waiting_for)
        world.coordinator.offer()
        assert actor.status.policy is None
        assert actor.status.state is State.WAITING_FOR_POLICY
        assert world.published() == []
        await world.announce(THIRD)
        [(_, group)] = await world.until_published(1)
        assert group.policy == THIRD


async def test_an_announcement_that_the_key_did_not_sign_is_ignored(world):
    genuine = world.coordinator.announcement
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.policy == FIRST)
        forged = wire.decode(wire.encode(genuine), type(genuine))
        forged = type(genuine)(
            run=RUN,
            policy=PolicyId(9, 9),
            manifest_sha256=forged.manifest_sha256,
            signature=forged.signature,
            instance="liar",
        )
        await world.coordinator.broker.notify(names.policy_subject(RUN), wire.encode(forged))
        await world.coordinator.broker.notify(names.policy_subject(RUN), b"noise")
        await world.announce(SECOND)
        await actor.until(lambda: actor.status.policy == SECOND)
        assert world.fetched == [FIRST, SECOND]


async def test_lease_for_another_environment_is_given_back(world):
    other = type(ENVIRONMENT.ref)(
        id="lookup", smallest=3, largest=6, train_on="exact", version="1", digest="0" * 64
    )
    lease = world.coordinator.offer(environment=other)
    async with RunningActor(world) as actor:
        requests = world.coordinator.requests
        await until(lambda: requests and requests[-1].abandoned)
        assert requests[-1].abandoned == (lease.lease_id,)
        # It does not ask for more of what it cannot do.
        assert requests[-1].wanted == 0
        await actor.until(lambda: actor.status.state is State.CANNOT_CONTRIBUTE)
        assert "needs environment lookup version 1 (source digest 000" in actor.status.waiting_for
        assert "install" in actor.status.waiting_for
        await actor.drained()
        [losses] = actor.reports[-1].lost
        assert (losses.reason, losses.count) == ("environment", 1)
        assert f"here it is version 1 ({ENVIRONMENT.ref.digest[:12]})" in losses.detail
    assert actor.engine.seeds == []


async def test_lease_past_its_deadline_is_dropped_and_counted(world):
    engine = ScriptedEngine()
    engine.go.clear()
    world.coordinator.offer(deadline=time.time() + 0.2)
    async with RunningActor(world, engine) as actor:
        await actor.until_generating(1)
        await actor.until_generating(0)
        engine.go.set()
        world.coordinator.offer()
        [(_, group)] = await world.until_published(1)
        assert group.lease_id == 1
        await actor.drained()
        assert [losses.reason for losses in actor.reports[-1].lost] == ["deadline"]


async def test_deadlines_are_counted_on_the_coordinators_clock(world):
    world.coordinator.clock = lambda: time.time() - 7200
    world.coordinator.offer()
    async with RunningActor(world):
        await world.until_published(1)


async def test_a_full_queue_loses_nothing(tmp_path):
    world = World(tmp_path, max_stream_bytes=700, max_message_bytes=700)
    await world.open()
    for _ in range(3):
        world.coordinator.offer()
    async with RunningActor(world, max_leases=2) as actor:
        await actor.until(lambda: actor.status.state is State.QUEUE_FULL)
        assert actor.status.waiting_for == "room in the queue"
        seen = set()
        while len(seen) < 3:
            seen |= {group.lease_id for _, group in await world.until_published(1)}
            await world.take_one()
        assert actor.status.groups_published == 3


async def test_the_lease_of_a_group_that_no_message_can_carry_is_given_back(tmp_path):
    world = World(tmp_path, max_message_bytes=100)
    await world.open()
    lease = world.coordinator.offer()
    async with RunningActor(world) as actor:
        requests = world.coordinator.requests
        await until(lambda: requests and requests[-1].abandoned)
        assert requests[-1].abandoned == (lease.lease_id,)
        assert requests[-1].spooled == ()
        await actor.drained()
    assert world.published() == []
    [losses] = actor.reports[-1].lost
    assert (losses.reason, losses.count) == ("too-large", 1)


class Verbose(ScriptedEngine):
    async def generate(self, *arguments, **options):
        generated = await super().generate(*arguments, **options)
        num_tokens = 2000
        return replace(
            generated,
            token_ids=(5,) * num_tokens,
            logprobs=(-0.25,) * num_tokens,
            spans=(replace(generated.spans[0], num_tokens=num_tokens),),
        )


async def test_a_group_that_nobody_would_decode_is_not_even_stored(world):
    """It takes 9 bytes a token, however small it gets by compression."""
    sampling = Sampling(max_new_tokens=2000, stop_ids=ENVIRONMENT.stop_ids)
    lease = world.coordinator.offer(group_size=256, sampling=sampling)
    async with RunningActor(world, Verbose()) as actor:
        requests = world.coordinator.requests
        await until(lambda: requests and requests[-1].abandoned)
        assert requests[-1].abandoned == (lease.lease_id,)
        assert world.spooled() == []
        await actor.drained()
    assert world.published() == []
    [losses] = actor.reports[-1].lost
    assert (losses.reason, losses.count) == ("too-large", 1)


async def test_the_broker_goes_away_and_comes_back(world):
    engine = ScriptedEngine()
    engine.go.clear()
    world.coordinator.offer()
    async with RunningActor(world, engine) as actor:
        await actor.until_generating(1)
        world.server.stop()
        engine.go.set()
        assert actor.status.state is State.CONNECTING
        await actor.until(lambda: actor.status.count(State.PUBLISHING) == 1)
        world.server.start()
        await world.until_published(1)
        world.coordinator.offer()
        await world.until_published(2)
    assert len({group.lease_id for _, group in world.published()}) == 2


async def test_an_ack_that_was_lost_stores_the_group_once(world):
    world.coordinator.offer()
    world.server.lose_answers(1)
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.groups_published == 1)
        assert len(world.published()) == 1


async def test_a_restart_publishes_what_was_on_disk_and_names_it(tmp_path):
    world = World(tmp_path, max_stream_bytes=700, max_message_bytes=700)
    await world.open()
    engine = ScriptedEngine()
    engine.go.clear()
    lease = world.coordinator.offer()
    async with RunningActor(world, engine) as actor:
        await actor.until_generating(1)
        world.server.stop()
        engine.go.set()
        await until(world.spooled)
    # Killed with a finished group that nobody has acknowledged.
    assert world.published() == []
    world.server.start()
    num_requests = len(world.coordinator.requests)
    # A full queue holds the group back until the first question is asked.
    filler = names.rollouts_subject(RUN, "s0", FIRST, "BOB")
    await world.coordinator.broker.publish(filler, bytes(400))
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.state is State.QUEUE_FULL)
        await actor.until(lambda: actor.status.policy == FIRST)
        first = world.coordinator.requests[num_requests]
        assert first.spooled == (lease.lease_id,)
        assert first.instance != world.coordinator.requests[0].instance
        await world.take_one()
        [(_, group)] = await world.until_published(1)
        assert group.lease_id == lease.lease_id
        await until(lambda: world.coordinator.requests[-1].spooled == ())
        await actor.drained()
    assert world.spooled() == []


async def test_draining_finishes_what_is_under_way_and_gives_back_the_rest(world):
    engine = ScriptedEngine()
    engine.go.clear()
    done = world.coordinator.offer()
    waiting = world.coordinator.offer(least_policy=PolicyId(1, 9))
    async with RunningActor(world, engine) as actor:
        await actor.until_generating(1)
        await actor.until(lambda: len(actor.status.awaited) == 1)
        actor.stop.set()
        await actor.until(lambda: actor.status.state is State.DRAINING)
        engine.go.set()
        await actor.task
    assert [group.lease_id for _, group in world.published()] == [done.lease_id]
    assert world.coordinator.requests[-1].abandoned == (waiting.lease_id,)
    assert world.coordinator.requests[-1].wanted == 0
    assert actor.reports[-1].state is State.STOPPED


async def test_draining_gives_up_after_its_time(world):
    engine = ScriptedEngine()
    engine.go.clear()
    lease = world.coordinator.offer()
    async with RunningActor(world, engine, drain_s=0.05) as actor:
        await actor.until_generating(1)
        await actor.drained()
    assert world.published() == []
    assert world.coordinator.requests[-1].abandoned == (lease.lease_id,)


async def test_an_idle_actor_stops_at_once(world):
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.state is State.WAITING_FOR_LEASE)
        async with asyncio.timeout(0.5):
            await actor.drained()


async def test_a_lease_that_comes_while_it_drains_is_given_back(world):
    engine = ScriptedEngine()
    engine.go.clear()
    world.coordinator.offer()
    async with RunningActor(world, engine) as actor:
        await actor.until_generating(1)
        actor.stop.set()
        await actor.until(lambda: actor.status.state is State.DRAINING)
        late = world.coordinator.offer()
        await asyncio.sleep(0.01)
        engine.go.set()
        await actor.task
    assert [group.lease_id for _, group in world.published()] == [0]
    assert world.coordinator.requests[-1].abandoned == (late.lease_id,)


async def test_verdicts_are_counted_by_reason(world):
    def verdict(outcome: Outcome, reason: Reason = Reason.NONE, detail: str = "") -> bytes:
        return wire.encode(
            Verdict(
                stream="s",
                sequence=1,
                sha256="0" * 64,
                actor=ACTOR,
                lease_id=0,
                outcome=outcome,
                reason=reason,
                detail=detail,
            )
        )

    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.policy == FIRST)
        for data in (
            verdict(Outcome.ACCEPTED),
            verdict(Outcome.ACCEPTED),
            verdict(Outcome.STALE),
            verdict(Outcome.REJECTED, Reason.REWARD_MISMATCH, "claimed 1"),
            verdict(Outcome.REJECTED, Reason.REWARD_MISMATCH, "claimed 1, is\x1b[31m 0"),
        ):
            await world.coordinator.broker.notify(names.verdict_subject(RUN, ACTOR), data)
        await until(lambda: len(actor.reports[-1].lost) == 2)
        await actor.drained()
    last = actor.reports[-1]
    assert last.groups_accepted == 2
    assert [(r.reason, r.count, r.detail) for r in last.lost] == [
        ("reward-mismatch", 2, "claimed 1, is\\x1b[31m 0"),
        ("stale", 1, ""),
    ]


async def test_the_lease_of_a_stale_group_is_given_back(world):
    """The coordinator refuses it by its subject, and so cannot know which lease it ends."""
    lease = world.coordinator.offer()
    async with RunningActor(world) as actor:
        await world.until_published(1)
        stream = world.server.streams[names.rollouts_stream(RUN, "s0")]
        verdict = Verdict(
            stream="s",
            sequence=1,
            sha256=wire.sha256_hex(stream.records[1].data),
            actor=ACTOR,
            lease_id=None,
            outcome=Outcome.STALE,
        )
        for data in (wire.encode(verdict), wire.encode(verdict)):
            await world.coordinator.broker.notify(names.verdict_subject(RUN, ACTOR), data)
        await actor.drained()
    given_back = [request.abandoned for request in world.coordinator.requests if request.abandoned]
    assert set(given_back) == {(lease.lease_id,)}


async def test_heartbeats_tell_the_state(world):
    heard = world.coordinator.broker.listen(names.heartbeat_subject(RUN, ACTOR))
    async with RunningActor(world) as actor:
        async for _, data in heard:
            heartbeat = wire.decode(data, Heartbeat)
            if heartbeat.state is State.WAITING_FOR_LEASE:
                break
        assert (heartbeat.who, heartbeat.policy) == (ACTOR, FIRST)
        await actor.drained()
        async for _, data in heard:
            if wire.decode(data, Heartbeat).state is State.STOPPED:
                break


async def test_says_why_there_is_no_work(world):
    world.coordinator.reason = WaitReason.FINISHED
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.state is State.FINISHED)
        assert actor.status.waiting_for == "nothing: the run is finished"


async def test_a_state_lasts_while_questions_are_asked_and_downloads_tried_again(
    world, monkeypatch
):
    """The log of a run that is finished, whose weights are gone, and whose coordinator leaves."""
    monkeypatch.setattr(retry, "LONGEST_BOUND_S", 0.01)
    monkeypatch.setattr(leases, "_REFRESH_S", 0.05)
    world.coordinator.reason = WaitReason.FINISHED
    world.fetch_fails = StoreUnavailable("503")
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.state is State.FINISHED)
        seen = []

        async def watch():
            while True:
                await actor.status.changes.next()
                seen.append(actor.status.state)

        watching = asyncio.create_task(watch())
        await until(lambda: world.num_failures > 10)
        await world.announce(SECOND)
        await world.coordinator.broker.close()
        await until(lambda: world.num_failures > 20 and actor.status.away)
        watching.cancel()
        assert set(seen) == {State.FINISHED}


async def test_a_key_that_is_not_allowed_ends_the_daemon(world):
    async with RunningActor(world) as actor:
        actor.broker._may_publish = lambda subject: not subject.startswith("lease.")
        with pytest.raises(ExceptionGroup) as caught:
            await actor.task
        assert caught.group_contains(PermissionDenied)
