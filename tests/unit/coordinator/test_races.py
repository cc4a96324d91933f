"""What an actor may time against the coordinator: guesses and restarts cost him, not the run."""

import asyncio
import time

import msgspec
import pytest

from broker.audit import audit_run
from learner.coordinator import rounds
from schemas import ledger, names
from schemas.errors import Fenced
from schemas.lease import LeaseReply
from schemas.policy import PolicyId
from schemas.verdict import Outcome, Reason
from schemas.wire import decode, encode
from tests.support.coordinators import DrivenCoordinator, World, make_request, manifest_of
from tests.support.groups import make_group

POLICY = PolicyId(1, 0)


async def start() -> tuple[World, DrivenCoordinator]:
    world = World()
    await world.open()
    await world.announce(POLICY)
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    return world, coordinator


async def send(world, group):
    subject = names.rollouts_subject("test", "s0", group.policy, group.actor)
    await world.broker.publish(subject, encode(group))


async def test_an_answer_to_a_lease_that_is_issued_while_it_is_judged():
    world, coordinator = await start()
    coordinator.knows("ALICE")
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    guess = msgspec.structs.replace(lease, lease_id=lease.lease_id + 1)
    right = (True, False)
    await send(
        world, await make_group(world.environment, guess, POLICY, manifest_of(POLICY), right=right)
    )
    examine = coordinator.examine

    async def examine_and_issue(jobs):
        findings = await examine(jobs)
        await coordinator.lease(make_request("ALICE", "r2"))
        return findings

    coordinator.examine = examine_and_issue
    await coordinator.round()
    assert coordinator.log.state.num_judged == {Reason.LEASE_UNKNOWN: 1}
    assert guess.lease_id in coordinator.log.state.open_leases


async def test_what_was_refused_when_it_was_judged_stays_refused():
    world, coordinator = await start()
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    group = await make_group(
        world.environment, lease, POLICY, manifest_of(POLICY), right=(True, False)
    )
    await send(world, group)
    (delivery,) = await coordinator.intake.hand.pull(max_messages=1, timeout_s=0.0)
    (judged,) = await coordinator.intake.judging.judge([delivery])
    why = (Outcome.REJECTED, Reason.POLICY_UNKNOWN, "not announced when it was judged")
    judged = msgspec.structs.replace(judged, refusal=why)
    state = coordinator.log.state
    (event,) = rounds.decide(state, coordinator.known, [judged], "", {}, set())
    assert isinstance(event, ledger.GroupRefused)
    assert event.reason is Reason.POLICY_UNKNOWN


async def test_a_mark_made_while_endings_wait_is_for_the_next_sweep():
    _, coordinator = await start()
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    async with coordinator.log.lock:
        sweeping = asyncio.create_task(coordinator.endings._settle())
        await asyncio.sleep(0)
        await coordinator.endings.mark([lease.lease_id], ledger.LeaseAbandoned)
    await sweeping
    await coordinator.endings.sweep(time.time())
    assert lease.lease_id in coordinator.log.state.ended_leases


async def test_a_trace_that_nobody_reads_is_refused():
    world, coordinator = await start()
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    group = await make_group(
        world.environment, lease, POLICY, manifest_of(POLICY), right=(True, False)
    )
    heavy = msgspec.structs.replace(group.rollouts[0], trace=bytes(1000))
    await send(world, msgspec.structs.replace(group, rollouts=(heavy, group.rollouts[1])))
    await coordinator.round()
    assert coordinator.log.state.num_judged == {Reason.RENDERING: 1}


async def test_a_request_asked_again_while_it_is_being_answered_gets_the_same_leases():
    _, coordinator = await start()
    coordinator.knows("ALICE")
    request = encode(make_request("ALICE", "r1", wanted=2))
    subject = names.lease_subject("test", "ALICE")
    first = asyncio.create_task(coordinator.front.answer(subject, request))
    await asyncio.sleep(0)
    append = coordinator.log.append

    async def slow_append(events):
        again.append(asyncio.create_task(coordinator.front.answer(subject, request)))
        for _ in range(5):
            await asyncio.sleep(0)
        await append(events)

    again: list[asyncio.Task[bytes]] = []
    coordinator.log.append = slow_append  # type: ignore[method-assign]
    await coordinator.front.serve()
    coordinator.log.append = append  # type: ignore[method-assign]
    await coordinator.front.serve()
    replies = [decode(await one, LeaseReply) for one in (first, *again)]
    assert [[lease.lease_id for lease in reply.leases] for reply in replies] == [[0, 1], [0, 1]]


async def test_an_answer_judged_before_another_one_closed_its_lease_closes_nothing():
    """Two rounds in flight: the second is judged while the lease is open, and written after."""
    world, coordinator = await start()
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    right = await make_group(
        world.environment, lease, POLICY, manifest_of(POLICY), right=(True, False)
    )
    wrong = msgspec.structs.replace(right.rollouts[1], claimed_reward=1.0)
    rounds_in_flight = []
    for group in (right, msgspec.structs.replace(right, rollouts=(right.rollouts[0], wrong))):
        await send(world, group)
        deliveries = await coordinator.intake.hand.pull(timeout_s=0.0)
        rounds_in_flight.append(await coordinator.intake.judging.judge(deliveries))
    for judged in rounds_in_flight:
        await coordinator.intake.writer.write(judged)
    assert coordinator.log.state.num_judged == {Outcome.ACCEPTED: 1, Outcome.DUPLICATE: 1}
    assert (await audit_run(world.broker, "test", store=world.store)).holds


@pytest.mark.parametrize("subject", [names.ledger_subject("test"), names.batch_subject("test", 1)])
async def test_what_no_coordinator_wrote_into_its_log_stops_none(subject):
    """Nobody can take it out again: the stream refuses to delete."""
    world, coordinator = await start()
    await world.broker.publish(subject, b"garbage")
    (lease,) = (await coordinator.lease(make_request("ALICE", "r1"))).leases
    await world.broker.publish(subject, b"more garbage")
    again = DrivenCoordinator(world)
    await again.start()
    assert lease.lease_id in again.log.state.open_leases
    # The one before it is fenced off all the same.
    with pytest.raises(Fenced):
        await coordinator.lease(make_request("BOB", "r1"))
    assert not (await audit_run(world.broker, "test")).holds
