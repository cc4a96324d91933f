"""What the coordinator says of itself: state and what it waits for."""

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs

from learner.coordinator import heartbeats
from learner.coordinator.heartbeats import Heartbeats
from schemas import names
from schemas.heartbeat import Heartbeat, State
from schemas.policy import PolicyId
from schemas.settings import BatchSettings, TrainerSettings
from schemas.wire import encode
from tests.support.coordinators import SETTINGS, DrivenCoordinator, World, make_request, manifest_of
from tests.support.groups import make_group
from tests.support.states import Folded

CAPPED = msgspec.structs.replace(
    SETTINGS,
    batch=BatchSettings(num_groups=4, actor_cap=0.25, no_signal_limit=3),
    trainer=TrainerSettings(num_steps=3),
)


@pytest.fixture
async def world():
    world = World(CAPPED)
    await world.open()
    return world


async def heartbeat(world: World, folded: Folded) -> Heartbeat:
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    coordinator.log.state = folded.state
    return heartbeats_of(coordinator).heartbeat()


def heartbeats_of(coordinator: DrivenCoordinator) -> Heartbeats:
    writers = [coordinator.intake.writer]
    return Heartbeats(coordinator.broker, coordinator.log, coordinator.known, writers)


async def test_it_waits_for_the_first_policy(world):
    said = await heartbeat(world, Folded(CAPPED))
    assert (said.state, said.waiting_for) == (State.WAITING_FOR_POLICY, "no-policy")


async def test_it_waits_for_groups(world):
    await world.announce(PolicyId(1, 0))
    folded = Folded(CAPPED)
    for actor in ("ALICE", "BOB", "CAROL", "DAVE"):
        folded.issue(actor)
    folded.accept("ALICE")
    said = await heartbeat(world, folded)
    assert (said.state, said.waiting_for) == (State.WAITING_FOR_GROUPS, "1 of 4 groups")


async def test_a_hard_cap_waits_for_more_actors(world):
    await world.announce(PolicyId(1, 0))
    folded = Folded(CAPPED)
    for actor in ("ALICE", "BOB", "CAROL"):
        folded.accept(actor)
        folded.accept(actor)
    said = await heartbeat(world, folded)
    assert said.state is State.TOO_FEW_ACTORS


async def test_groups_without_signal_are_named(world):
    await world.announce(PolicyId(1, 0))
    folded = Folded(CAPPED)
    for _ in range(3):
        folded.accept("ALICE", rewards=(1.0, 1.0))
    said = await heartbeat(world, folded)
    assert said.state is State.NO_SIGNAL
    assert said.waiting_for == "signal: the last 3 groups had none"


async def test_a_run_whose_last_batch_is_cut_is_finished(world):
    await world.announce(PolicyId(1, 3))
    folded = Folded(CAPPED)
    folded.state.last_step = 3
    assert (await heartbeat(world, folded)).state is State.FINISHED


async def test_a_server_that_is_away_ends_nothing(world):
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    beating = asyncio.create_task(heartbeats_of(coordinator).run())
    world.server.stop()
    await asyncio.sleep(0.01)
    assert not beating.done()
    beating.cancel()


async def test_a_round_that_waits_for_object_storage_is_seen(world):
    await world.announce(PolicyId(1, 0))
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    group = await make_group(
        world.environment, lease, PolicyId(1, 0), manifest_of(PolicyId(1, 0)), right=(True, False)
    )
    subject = names.rollouts_subject("test", "s0", PolicyId(1, 0), "ALICE")
    await world.broker.publish(subject, encode(group))
    world.store.away = True
    judging = asyncio.create_task(coordinator.round())
    for _ in range(100):
        await asyncio.sleep(0)
    assert heartbeats_of(coordinator).heartbeat().state is State.STORE_AWAY
    world.store.away = False
    await judging
    assert heartbeats_of(coordinator).heartbeat().state is State.TOO_FEW_ACTORS


async def test_object_storage_that_is_away_is_logged_once_and_so_is_that_it_is_back(
    world, monkeypatch
):
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    monkeypatch.setattr(heartbeats, "_EVERY_S", 0.0)
    with capture_logs() as logs:
        beating = asyncio.create_task(heartbeats_of(coordinator).run())
        for away in (False, True, False):
            coordinator.intake.writer.store_is_away = away
            await asyncio.sleep(0.01)
        beating.cancel()
    assert [line["event"] for line in logs] == ["storage-away", "storage-back"]


async def test_that_the_run_is_over_is_logged_once_the_last_policy_is_announced(world, monkeypatch):
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    monkeypatch.setattr(heartbeats, "_EVERY_S", 0.0)
    with capture_logs() as logs:
        beating = asyncio.create_task(heartbeats_of(coordinator).run())
        for version in (2, 3):
            assert logs == []
            await world.announce(PolicyId(1, version))
            await coordinator.known.catch_up()
            await asyncio.sleep(0.01)
        beating.cancel()
    assert [(line["event"], line["num_steps"]) for line in logs] == [("run-finished", 3)]
