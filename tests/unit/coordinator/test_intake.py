"""Rounds of intake: what is archived, what is refused, and what stays in the queue."""

import random
from collections.abc import Sequence

import msgspec
import pytest

from broker.interface import StreamState
from broker.memory import MemoryBroker
from learner.coordinator import hand, round_writer
from learner.coordinator.finding import Finding
from learner.coordinator.job import WorkerJob
from schemas import names
from schemas.errors import BrokerUnavailable
from schemas.policy import PolicyId
from schemas.rollout import VersionSpan
from schemas.verdict import Outcome, Reason
from schemas.wire import encode
from tests.support.coordinators import DrivenCoordinator, make_request
from tests.support.intake_stage import RIGHT, Stage


@pytest.fixture
async def stage():
    stage = Stage()
    await stage.open()
    return stage


async def test_a_policy_in_the_middle_of_a_rollout_must_be_known_too(stage):
    await stage.world.announce(PolicyId(1, 2))
    group = await stage.group()
    first = group.rollouts[0]
    num_sampled = len(first.logprobs) // 4
    counts = (1, 1, num_sampled - 2)
    spans = [
        VersionSpan(num_tokens=count, policy=PolicyId(1, version))
        for version, count in enumerate(counts)
    ]
    mixed = msgspec.structs.replace(first, spans=tuple(spans))
    await stage.send(msgspec.structs.replace(group, rollouts=(mixed, group.rollouts[1])))
    await stage.coordinator.round()
    assert stage.state.num_judged == {Reason.POLICY_UNKNOWN: 1}


async def test_of_several_answers_to_one_lease_the_first_alone_is_archived(stage):
    (lease,) = (await stage.coordinator.lease(make_request("ALICE", "r1"))).leases
    answers = [await stage.answer(lease, right) for right in (RIGHT, (False, True), (True, True))]
    first, *_ = [await stage.send(group) for group in answers]
    await stage.coordinator.round()
    assert stage.state.num_judged == {Outcome.ACCEPTED: 1, Outcome.DUPLICATE: 2}
    (segment,) = await stage.world.store.list(names.archive_prefix("test"))
    assert await stage.world.store.get(segment.key) == first


async def test_what_is_judged_and_comes_again_is_only_removed(stage, monkeypatch):
    for actor in ("ALICE", "BOB", "CAROL"):
        await stage.send(await stage.group(actor))

    async def lost(*_: object, **__: object) -> None:
        pass

    monkeypatch.setattr(MemoryBroker, "purge", lost)
    await stage.coordinator.round()
    assert stage.state.num_judged == {Outcome.ACCEPTED: 3}
    assert await stage.num_queued() == 3
    monkeypatch.undo()
    clock = stage.world.server.clock
    stage.world.server.clock = lambda: clock() + 60.0
    assert await stage.coordinator.round() == 3
    assert await stage.num_queued() == 0
    assert stage.state.num_judged == {Outcome.ACCEPTED: 3}


async def test_large_messages_are_acked_and_not_read_again(stage, monkeypatch):
    for actor in ("ALICE", "BOB", "CAROL"):
        await stage.send(await stage.group(actor))

    async def unwanted(*_: object, **__: object) -> None:
        raise AssertionError("a large message is read again, or purged")

    monkeypatch.setattr(hand, "_READ_AGAIN_BYTES", 0)
    monkeypatch.setattr(MemoryBroker, "purge", unwanted)
    monkeypatch.setattr(MemoryBroker, "get", unwanted)
    assert await stage.coordinator.round() == 3
    assert await stage.num_queued() == 0
    assert stage.state.num_judged == {Outcome.ACCEPTED: 3}


async def test_what_somebody_else_has_in_hand_is_not_removed(stage):
    """A coordinator that was killed held the first and the third."""
    groups = [await stage.group(actor) for actor in ("ALICE", "BOB", "CAROL", "DAVE", "ERIN")]
    for group in groups:
        await stage.send(group)
    first, second, third, *_ = await stage.intake.hand.pull(timeout_s=0.0)
    await second.ack()
    restarted = DrivenCoordinator(stage.world)
    await restarted.start()
    clock = stage.world.server.clock
    stage.world.server.clock = lambda: clock() + 60.0
    await first.in_progress()
    await third.in_progress()
    assert await restarted.round() == 2
    assert await stage.num_queued() == 2
    stage.world.server.clock = lambda: clock() + 120.0
    assert await restarted.round() == 2
    assert await stage.num_queued() == 0
    assert restarted.log.state.num_judged == {Outcome.ACCEPTED: 4}


@pytest.mark.parametrize("comes", ["after the verdict", "before the verdict"])
async def test_a_sequence_that_is_given_to_another_message(stage, comes):
    """A server that lost power has forgotten its last message, and stores another in its place."""
    await stage.send(await stage.group())
    (delivery,) = await stage.intake.hand.pull(timeout_s=0.0)
    records = stage.world.server.streams["ROLLOUTS_test_s0"].records
    records[1] = msgspec.structs.replace(delivery.record, data=b"stored after a loss of power")
    clock = stage.world.server.clock
    stage.world.server.clock = lambda: clock() + 60.0
    if comes == "after the verdict":
        await stage.coordinator.judge([delivery])
        assert await stage.num_queued() == 1
        assert await stage.coordinator.round() == 1
    else:
        (other,) = await stage.intake.hand.pull(timeout_s=0.0)
        await stage.coordinator.judge([delivery])
        assert await stage.num_queued() == 1
        await stage.coordinator.judge([other])
    assert await stage.num_queued() == 0
    assert stage.state.num_judged == {Outcome.ACCEPTED: 1, Reason.ENVELOPE: 1}


async def test_a_sequence_is_given_to_another_message_while_a_judged_one_is_removed(stage):
    await stage.send(await stage.group("BOB"))
    await stage.send(await stage.group())
    _, judged = await stage.intake.hand.pull(timeout_s=0.0)
    records = stage.world.server.streams["ROLLOUTS_test_s0"].records
    clock, state = stage.world.server.clock, stage.coordinator.broker.state
    others = []

    async def lose_power(stream: str) -> StreamState:
        stage.coordinator.broker.state = state
        records[2] = msgspec.structs.replace(judged.record, data=b"stored after a loss of power")
        stage.world.server.clock = lambda: clock() + 60.0
        others.extend(await stage.intake.hand.pull(timeout_s=0.0))
        raise BrokerUnavailable("no power")

    stage.coordinator.broker.state = lose_power
    await stage.intake.hand.release([judged.record])
    assert sorted(records) == [1, 2]
    # It is in hand all the same: when it comes once more, it is not new.
    stage.world.server.clock = lambda: clock() + 120.0
    assert await stage.intake.hand.pull(timeout_s=0.0) == []
    assert [other.record for other in others] == [records[2]]
    await stage.intake.hand.release([other.record for other in others])
    assert sorted(records) == [1]


async def test_a_failed_judging_is_told_and_costs_the_actor_no_open_lease(stage):
    group = await stage.group()
    await stage.send(group)
    examine = stage.coordinator.examine_alone

    async def failing(job: WorkerJob, *, stop_others: bool) -> Finding:
        finding = await examine(job, stop_others=stop_others)
        return Finding(
            reason=Reason.JUDGING_FAILED,
            detail="KeyError: 'x'",
            claim=finding.claim,
            lease_is_open=True,
            traceback="Traceback",
        )

    stage.coordinator.examine_alone = failing
    await stage.coordinator.round()
    assert stage.state.num_judged == {Reason.JUDGING_FAILED: 1}
    assert not stage.state.open_leases
    assert stage.state.unanswered["ALICE"] == 0


async def test_a_version_that_was_never_announced_is_refused_without_a_look_at_the_message(stage):
    """Whoever may invent versions has a subject, and so a queue, for each of them."""

    async def examine(jobs: Sequence[WorkerJob]) -> list[Finding | None]:
        assert not jobs, "nothing is handed to the workers"
        return []

    for version in range(5, 25):
        subject = names.rollouts_subject("test", "s0", PolicyId(1, version), "MALLORY")
        await stage.world.broker.publish(subject, f"{version}".encode())
    stage.coordinator.examine = examine
    deliveries = await stage.intake.hand.pull(max_messages=20, timeout_s=0.0)
    await stage.coordinator.judge(deliveries)
    assert stage.state.num_judged == {Reason.POLICY_UNKNOWN: 20}


async def test_what_a_refused_message_says_costs_little_of_the_log(stage):
    """Its detail names a field that there is not, in letters that cannot be compressed."""
    draws = random.Random(1)
    before = (await stage.world.broker.state("LOG_test")).num_bytes
    for index in range(50):
        subject = names.rollouts_subject("test", "s0", PolicyId(1, 0), f"MALLORY{index}")
        field = "".join(chr(draws.randint(0x4E00, 0x9FFF)) for _ in range(260))
        message = msgspec.defstruct("Message", [(field, int)])(1)
        await stage.world.broker.publish(subject, encode(message))
    deliveries = await stage.intake.hand.pull(max_messages=50, timeout_s=0.0)
    await stage.coordinator.judge(deliveries)
    assert stage.state.num_judged == {Reason.SCHEMA: 50}
    after = (await stage.world.broker.state("LOG_test")).num_bytes
    assert after - before < 50 * 350


async def test_refused_messages_are_kept_up_to_a_bound_however_many_actors_send_them(
    stage, monkeypatch
):
    monkeypatch.setattr(round_writer, "MAX_SAMPLES", 5)
    for actor in ("ALICE", "BOB", "MALLORY"):
        await stage.noise(actor, 4)
        await stage.coordinator.round()
    assert stage.state.num_judged.total() == 12
    kept = {actor: count for (actor, _), count in stage.state.num_samples.items()}
    assert kept == {"ALICE": 3, "BOB": 2}
