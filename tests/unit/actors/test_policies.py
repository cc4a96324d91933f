"""What an actor does when a policy cannot be had."""

import asyncio

import pytest

from actors import leases
from broker import retry
from schemas.errors import (
    BrokerUnavailable,
    DigestMismatch,
    NoResponders,
    SignatureInvalid,
    StoreDenied,
    StoreUnavailable,
    UserError,
)
from schemas.heartbeat import State
from schemas.policy import PolicyId
from tests.support.actors import FIRST, RunningActor, ScriptedEngine, World, until

SECOND, THIRD = PolicyId(1, 1), PolicyId(1, 2)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(retry, "LONGEST_BOUND_S", 0.02)


@pytest.fixture
async def world(tmp_path):
    world = World(tmp_path)
    await world.open()
    yield world
    await world.coordinator.broker.close()


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (StoreUnavailable("503"), State.STORE_AWAY, "object storage does not answer: 503"),
        (StoreDenied("302"), State.WAITING_FOR_POLICY, "object storage does not give it: 302"),
        (NoResponders("grant"), State.COORDINATOR_AWAY, "had: the run has no coordinator"),
        (
            BrokerUnavailable("grant"),
            State.COORDINATOR_AWAY,
            "had: the coordinator does not answer",
        ),
        (DigestMismatch("damaged"), State.WAITING_FOR_POLICY, "it is not what it should be: dam"),
        (UserError("no room"), State.WAITING_FOR_POLICY, "this disk cannot keep it: no room"),
        (OSError("io"), State.WAITING_FOR_POLICY, "this disk cannot keep it: io"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_it_works_on_with_the_old_one_and_tries_again(world, error, state, words):
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.policy == FIRST)
        world.fetch_fails = error
        await world.announce(SECOND)
        await actor.until(lambda: actor.status.state is state and words in actor.status.waiting_for)
        world.coordinator.offer()
        [(_, group)] = await world.until_published(1)
        assert group.policy == FIRST
        world.fetch_fails = None
        await actor.until(lambda: actor.status.policy == SECOND)


async def test_without_a_coordinator_it_waits_for_one_and_not_for_a_policy(tmp_path):
    async with RunningActor(World(tmp_path)) as actor:
        await actor.until(lambda: actor.status.state is State.COORDINATOR_AWAY)
        assert actor.status.waiting_for == "a coordinator: run demo has none"


async def test_what_the_engine_cannot_load_leaves_the_old_one_at_work(world):
    engine = ScriptedEngine()
    engine.cannot_load.add(SECOND)
    async with RunningActor(world, engine) as actor:
        await actor.until(lambda: actor.status.policy == FIRST)
        await world.announce(SECOND)
        await until(lambda: engine.refused == [SECOND])
        world.coordinator.offer()
        [(_, group)] = await world.until_published(1)
        assert group.policy == FIRST
        await world.announce(THIRD)
        await actor.until(lambda: actor.status.policy == THIRD)


async def test_the_feed_is_frozen_when_the_old_one_does_for_no_lease(world):
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.policy == FIRST)
        world.fetch_fails = StoreUnavailable("away")
        await world.announce(SECOND)
        world.coordinator.offer(least_policy=SECOND)
        await actor.until(lambda: actor.status.state is State.FEED_FROZEN)
        assert (
            "policy 1-1 cannot be had: object storage does not answer" in actor.status.waiting_for
        )
        world.fetch_fails = None
        [(_, group)] = await world.until_published(1)
        assert group.policy == SECOND


async def test_a_policy_that_the_key_did_not_sign_is_not_tried_again(world):
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.policy == FIRST)
        world.fetch_fails = SignatureInvalid("the manifest")
        await world.announce(SECOND)
        await until(lambda: world.num_failures == 1)
        await asyncio.sleep(5 * retry.LONGEST_BOUND_S)
        assert world.num_failures == 1
        world.fetch_fails = None
        await world.announce(THIRD)
        await actor.until(lambda: actor.status.policy == THIRD)
        assert world.fetched == [FIRST, THIRD]


async def test_no_lease_is_asked_for_while_one_waits_for_a_policy(world, monkeypatch):
    monkeypatch.setattr(leases, "_REFRESH_S", 0.01)
    requests = world.coordinator.requests
    async with RunningActor(world) as actor:
        await actor.until(lambda: actor.status.policy == FIRST)
        world.coordinator.offer(least_policy=SECOND)
        await actor.until(lambda: actor.status.state is State.WAITING_FOR_POLICY)
        asked = len(requests)
        world.coordinator.offer()
        await until(lambda: len(requests) >= asked + 3)
        assert [request.wanted for request in requests[asked:]] == [0] * (len(requests) - asked)
        await world.announce(SECOND)
        await world.until_published(2)
        assert any(request.wanted and request.held == SECOND for request in requests)


async def test_work_is_asked_for_while_a_policy_is_loaded(world):
    engine = ScriptedEngine()
    async with RunningActor(world, engine, max_leases=2) as actor:
        await actor.until(lambda: actor.status.policy == FIRST)
        engine.may_load.clear()
        await world.announce(SECOND)
        await actor.until(lambda: actor.status.state is State.LOADING)
        world.coordinator.offer()
        world.coordinator.offer()
        await actor.until(lambda: actor.status.awaited == (FIRST, FIRST))
        # It has what they ask for.
        assert (actor.status.state, actor.status.policy) == (State.LOADING, FIRST)
        assert world.published() == []
        engine.may_load.set()
        groups = await world.until_published(2)
        assert {group.policy for _, group in groups} == {SECOND}
