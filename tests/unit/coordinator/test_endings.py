"""A lease ends only after everything that was stored in time has been judged."""

import time

import pytest

from schemas import names
from schemas.policy import PolicyId
from schemas.wire import encode
from tests.support.coordinators import DrivenCoordinator, World, make_request, manifest_of
from tests.support.groups import make_group

POLICY = PolicyId(1, 0)
OVERDUE = 1e12
RIGHT = 1e9
"""What a right clock says."""
DAYS_S = 30 * 86400.0


@pytest.fixture
async def world():
    world = World()
    await world.open()
    await world.announce(POLICY)
    return world


@pytest.fixture
async def coordinator(world):
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    return coordinator


async def publish(world, lease, right=(True, False)):
    group = await make_group(world.environment, lease, POLICY, manifest_of(POLICY), right=right)
    subject = names.rollouts_subject("test", lease.shard, POLICY, lease.actor)
    await world.broker.publish(subject, encode(group))


async def test_an_answer_in_the_queue_at_the_deadline_is_in_time(world, coordinator):
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    await publish(world, lease)
    await coordinator.endings.sweep(OVERDUE)
    assert lease.lease_id in coordinator.log.state.open_leases
    await coordinator.round()
    await coordinator.endings.sweep(OVERDUE)
    assert coordinator.log.state.num_judged == {"accepted": 1}


async def test_an_answer_behind_the_deadline_is_late(world, coordinator):
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    await coordinator.endings.sweep(OVERDUE)
    await publish(world, lease)
    await coordinator.round()
    assert coordinator.log.state.num_judged == {"late": 1}


async def test_the_mark_is_read_again_after_a_restart(world, coordinator):
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    await publish(world, lease)
    await coordinator.endings.sweep(OVERDUE)
    again = DrivenCoordinator(world, "c2")
    await again.start()
    await again.endings.sweep(OVERDUE)
    assert lease.lease_id in again.log.state.open_leases
    await again.round()
    assert again.log.state.num_judged == {"accepted": 1}


async def test_a_lease_in_time_is_left_alone(coordinator):
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    await coordinator.endings.sweep(lease.deadline - 1.0)
    assert lease.lease_id in coordinator.log.state.open_leases


@pytest.mark.parametrize("wrong_by_s", [DAYS_S, 300.0, -DAYS_S])
@pytest.mark.parametrize("restarts", [True, False])
async def test_a_lease_of_a_clock_that_was_wrong_ends_when_it_is_right(wrong_by_s, restarts):
    """Not after as many days as it was wrong; and what is stored by then is in time."""
    now = RIGHT + wrong_by_s
    world = World(wall_clock=lambda: now)
    await world.open()
    await world.announce(POLICY)
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    coordinator.knows("ALICE")
    answered, lost = (await coordinator.lease(make_request("ALICE", "r1", wanted=2))).leases
    await coordinator.endings.sweep(now + 1.0)
    assert len(coordinator.log.state.open_leases) == 2
    await publish(world, answered)
    now = RIGHT
    if restarts:
        coordinator = DrivenCoordinator(world, "c2")
        await coordinator.start()
    await coordinator.endings.sweep(now)
    assert len(coordinator.log.state.open_leases) == 2
    await coordinator.round()
    await coordinator.endings.sweep(now + 1.0)
    ended = coordinator.log.state.ended_leases
    assert {lease: ended[lease].end for lease in ended} == {
        answered.lease_id: "fulfilled",
        lost.lease_id: "expired",
    }
    (new,) = (await coordinator.lease(make_request("BOB", "r2"))).leases
    await coordinator.endings.sweep(now + 2.0)
    assert new.lease_id in coordinator.log.state.open_leases


async def test_a_clock_that_is_set_back_a_little_ends_nothing(world, coordinator):
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    await coordinator.endings.sweep(time.time() - 30.0)
    await coordinator.endings.sweep(time.time() - 30.0)
    assert lease.lease_id in coordinator.log.state.open_leases


async def test_a_new_instance_gives_up_what_it_does_not_name(world, coordinator):
    coordinator.knows("ALICE")
    leases = (await coordinator.lease(make_request("ALICE", "r1", wanted=3))).leases
    spooled, published, lost = (lease.lease_id for lease in leases)
    await publish(world, leases[1])
    restarted = make_request("ALICE", "r2", instance="ALICE-2", wanted=0, spooled=(spooled,))
    await coordinator.lease(restarted)
    await coordinator.endings.sweep(time.time())
    assert set(coordinator.log.state.open_leases) == {spooled, published, lost}
    await coordinator.round()
    await coordinator.endings.sweep(time.time())
    ended = coordinator.log.state.ended_leases
    assert {lease: ended[lease].end for lease in ended} == {
        published: "fulfilled",
        lost: "abandoned",
    }
    assert set(coordinator.log.state.open_leases) == {spooled}


async def test_a_lease_given_back_ends_at_once(coordinator):
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    await coordinator.lease(make_request("ALICE", "r2", wanted=0, abandoned=(lease.lease_id,)))
    assert coordinator.log.state.ended_leases[lease.lease_id].end == "abandoned"


async def test_nobody_gives_back_what_is_not_his(coordinator):
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    await coordinator.lease(make_request("BOB", "r2", wanted=0, abandoned=(lease.lease_id,)))
    assert lease.lease_id in coordinator.log.state.open_leases
