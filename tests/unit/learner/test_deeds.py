"""Who did what, and when somebody who was killed is back at work."""

import pytest

from broker.logbook import read_log
from learner.deeds import NATS, S3, START, Deeds
from schemas import names
from schemas.verdict import Outcome
from tests.support.runs import SyntheticRun


@pytest.fixture
async def run():
    run = SyntheticRun()
    await run.open()
    await run.accept("alice", [True, False, False, False])
    return run


async def deeds_of(run: SyntheticRun) -> Deeds:
    """Read as the report does: one log after the other."""
    deeds = Deeds()
    async for item in read_log(run.broker, run.settings.name):
        deeds.add(item)
    for item in await run.policies():
        deeds.add(item)
    return deeds


async def back(run: SyntheticRun, who: str, killed: float) -> float | None:
    return (await deeds_of(run)).back_at_work(who, killed)


async def test_marks_of_two_logs_are_in_the_order_of_their_times(run):
    await run.cut()
    await run.announce()
    await run.start_coordinator("coordinator-2")
    times = [mark.time for mark in (await deeds_of(run)).marks]
    assert times == sorted(times)
    assert times[-1] == run.now


async def test_starts_are_seen_in_the_logs(run):
    await run.start_coordinator("coordinator-2")
    await run.lease("alice", instance="i1")
    await run.lease("alice", instance="i2")
    starts = [mark.who for mark in (await deeds_of(run)).marks if mark.what == START]
    assert starts == ["coordinator", "trainer", "alice", "coordinator", "alice"]


async def test_an_actor_is_back_with_a_verdict_on_what_its_new_process_was_leased(run):
    old = await run.lease("bob", instance="i1")
    killed = run.now
    await run.lease("bob", instance="i2")
    assert await back(run, "bob", killed) is None
    await run.refuse("bob", Outcome.LATE, lease_id=old.lease_id)
    await run.accept("alice", [True, False, False, False])
    assert await back(run, "bob", killed) is None
    new = await run.lease("bob", instance="i2")
    await run.refuse("bob", Outcome.STALE, lease_id=new.lease_id, closes_lease=True)
    assert await back(run, "bob", killed) == run.now


async def test_an_actor_whose_process_is_the_same_was_not_killed(run):
    killed = run.now
    await run.accept("alice", [True, False, False, False])
    assert await back(run, "alice", killed) is None


@pytest.mark.parametrize("what", ["lease", "verdict", "batch"])
async def test_a_coordinator_is_back_when_its_next_instance_decides_something(run, what):
    killed = run.now
    # A write that was under way when it was killed is no work of the next one.
    await run.refuse("alice", Outcome.DUPLICATE)
    await run.announce()
    await run.start_coordinator("coordinator-2")
    assert await back(run, names.COORDINATOR, killed) is None
    match what:
        case "lease":
            await run.lease("bob")
        case "verdict":
            await run.refuse("alice", Outcome.DUPLICATE)
        case "batch":
            await run.cut()
    assert await back(run, names.COORDINATOR, killed) == run.now


async def test_a_trainer_is_back_when_its_next_instance_announces_a_policy(run):
    killed = run.now
    await run.announce()
    await run.start_trainer("trainer-2")
    await run.cut()
    assert await back(run, names.TRAINER, killed) is None
    await run.announce()
    assert await back(run, names.TRAINER, killed) == run.now


async def test_a_message_server_is_back_with_the_next_record(run):
    killed = run.now
    assert await back(run, NATS, killed) is None
    await run.lease("bob")
    assert await back(run, NATS, killed) == run.now
    await run.lease("bob")
    assert await back(run, NATS, killed) == killed + 1


@pytest.mark.parametrize("what", ["group", "policy"])
async def test_object_storage_is_back_with_what_it_holds(run, what):
    killed = run.now
    await run.lease("bob")
    await run.refuse("bob", Outcome.DUPLICATE)
    assert await back(run, S3, killed) is None
    if what == "group":
        await run.accept("alice", [True, False, False, False])
    else:
        await run.announce()
    assert await back(run, S3, killed) == run.now
