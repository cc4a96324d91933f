"""What a purge removes and what it leaves, and what becomes of an actor that is cut off."""

import msgspec
import pytest

from broker.audit import audit_run
from broker.logbook import read_log
from learner.coordinator.sequences import Sequences, to_spans
from schemas import ledger, names
from schemas.lease import WaitReason
from schemas.policy import PolicyId
from schemas.purge import PurgeReason, QueueMark
from schemas.verdict import Outcome, Reason
from tests.support.coordinators import DrivenCoordinator, make_request
from tests.support.intake_stage import RIGHT, Stage

QUEUE = "ROLLOUTS_test_s0"


@pytest.fixture
async def stage():
    stage = Stage()
    await stage.open()
    return stage


async def sums(stage: Stage) -> str:
    """The queue's equation, of an audit that holds."""
    report = await audit_run(stage.world.broker, "test")
    assert report.holds, report
    assert report.num_reused_sequences == 0
    return str(report.equations[1])


async def told(stage: Stage) -> list[ledger.MessagesPurged]:
    items = [item.content async for item in read_log(stage.world.broker, "test")]
    entries = [content for content in items if isinstance(content, ledger.LedgerEntry)]
    events = [event for entry in entries for event in entry.events]
    return [event for event in events if isinstance(event, ledger.MessagesPurged)]


async def test_one_actors_messages_go_and_are_counted(stage):
    await stage.noise("MALLORY", 3)
    await stage.noise("ALICE", 2)
    await stage.noise("MALLORY", 2, begin=3)
    (queue,) = (await stage.coordinator.purge(actor="MALLORY")).queues
    assert (queue.shard, queue.through, queue.num_messages) == ("s0", 7, 5)
    assert await stage.num_queued() == 2
    assert await sums(stage) == "7 last sequence = 0 judged + 5 purged + 2 unjudged"
    await stage.coordinator.round()
    assert await sums(stage) == "7 last sequence = 2 judged + 5 purged + 0 unjudged"
    (event,) = await told(stage)
    assert event.spans == (ledger.Span(1, 3), ledger.Span(6, 7))


async def test_one_policys_messages_go(stage):
    for version in (0, 1, 0):
        subject = names.rollouts_subject("test", "s0", PolicyId(1, version), "ALICE")
        await stage.world.broker.publish(subject, f"{version} {await stage.num_queued()}".encode())
    await stage.coordinator.purge(policy=PolicyId(1, 1))
    assert await sums(stage) == "3 last sequence = 0 judged + 1 purged + 2 unjudged"


async def test_a_dry_run_says_what_would_go_and_touches_nothing(stage):
    await stage.noise("MALLORY", 3)
    await stage.noise("ALICE", 1)
    before = (await stage.world.broker.state("LOG_test")).last_sequence
    (queue,) = (await stage.coordinator.purge(dry_run=True)).queues
    assert (queue.num_messages, queue.num_subjects, queue.through) == (4, 2, 4)
    assert [(each.subject, each.num_messages) for each in queue.subjects] == [
        ("rollouts.test.s0.1-0.MALLORY", 3),
        ("rollouts.test.s0.1-0.ALICE", 1),
    ]
    assert await stage.num_queued() == 4
    assert (await stage.world.broker.state("LOG_test")).last_sequence == before


async def test_what_comes_behind_the_mark_stays(stage):
    await stage.noise("MALLORY", 3)
    (looked,) = (await stage.coordinator.purge(dry_run=True)).queues
    await stage.noise("MALLORY", 2, begin=3)
    mark = QueueMark(shard="s0", through=looked.through)
    (queue,) = (await stage.coordinator.purge(marks=(mark,))).queues
    assert (queue.num_messages, queue.through) == (3, 3)
    assert await sums(stage) == "5 last sequence = 0 judged + 3 purged + 2 unjudged"


async def test_what_was_in_hand_and_is_purged_gets_no_verdict(stage):
    await stage.noise("ALICE", 1)
    await stage.noise("MALLORY", 2)
    deliveries = await stage.intake.hand.pull(timeout_s=0.0)
    cases = await stage.intake.judging.judge(deliveries)
    await stage.coordinator.purge(actor="MALLORY")
    await stage.intake.writer.write(cases)
    assert await sums(stage) == "3 last sequence = 1 judged + 2 purged + 0 unjudged"
    assert await stage.num_queued() == 0
    assert stage.intake.hand._held == {}


async def test_what_has_its_verdict_and_is_still_there_is_not_told(stage, monkeypatch):
    await stage.noise("MALLORY", 2)

    async def lost(*_: object) -> None:
        pass

    monkeypatch.setattr(stage.intake.hand, "release", lost)
    await stage.coordinator.round()
    await stage.noise("MALLORY", 1, begin=2)
    (queue,) = (await stage.coordinator.purge(actor="MALLORY")).queues
    assert queue.num_messages == 1
    assert await sums(stage) == "3 last sequence = 2 judged + 1 purged + 0 unjudged"


async def test_what_an_earlier_purge_took_is_not_told_again(stage):
    await stage.noise("ALICE", 1)
    for begin in (0, 2):
        await stage.noise("MALLORY", 2, begin=begin)
        (queue,) = (await stage.coordinator.purge(actor="MALLORY")).queues
        assert queue.num_messages == 2
    assert [event.spans for event in await told(stage)] == [
        (ledger.Span(2, 3),),
        (ledger.Span(4, 5),),
    ]


async def test_nothing_to_purge_writes_nothing(stage):
    await stage.noise("ALICE", 1)
    (queue,) = (await stage.coordinator.purge(actor="MALLORY")).queues
    assert queue.num_messages == 0
    assert await told(stage) == []


async def test_a_long_queue_goes_a_stretch_at_a_time(stage, monkeypatch):
    monkeypatch.setattr(ledger, "MAX_PURGED_AT_ONCE", 3)
    for index in range(4):
        await stage.noise("MALLORY", 2, begin=10 * index)
        await stage.noise("ALICE", 1, begin=10 * index)
    (queue,) = (await stage.coordinator.purge(actor="MALLORY")).queues
    assert queue.num_messages == 8
    assert [event.num_messages for event in await told(stage)] == [2, 2, 2, 2]
    assert await sums(stage) == "12 last sequence = 0 judged + 8 purged + 4 unjudged"


async def test_the_next_coordinator_finishes_a_purge(stage):
    await stage.noise("MALLORY", 3)
    await stage.noise("ALICE", 1)

    async def never(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    stage.coordinator.broker.purge = never
    with pytest.raises(RuntimeError, match="killed"):
        await stage.coordinator.purge(actor="MALLORY", reason=PurgeReason.CUT_OFF)
    assert await stage.num_queued() == 4
    assert await sums(stage) == "4 last sequence = 0 judged + 4 unjudged"
    restarted = DrivenCoordinator(stage.world, "c2")
    await restarted.start()
    assert await stage.num_queued() == 1
    assert await sums(stage) == "4 last sequence = 0 judged + 3 purged(cut-off) + 1 unjudged"
    assert restarted.log.state.purges.unfinished == {}


async def test_what_is_gone_and_not_told_yet_is_being_purged(stage):
    await stage.noise("MALLORY", 3)
    await stage.noise("ALICE", 1)

    async def never(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    stage.coordinator.broker.missing = never
    with pytest.raises(RuntimeError, match="killed"):
        await stage.coordinator.purge(actor="MALLORY")
    assert await sums(stage) == "4 last sequence = 0 judged + 1 unjudged + 3 being purged"
    await DrivenCoordinator(stage.world, "c2").start()
    assert await sums(stage) == "4 last sequence = 0 judged + 3 purged + 1 unjudged"


async def test_a_restored_run_does_not_purge_what_its_old_queues_held(stage):
    await stage.noise("MALLORY", 3)
    begun = ledger.PurgeBegun(
        purge=0,
        stream=QUEUE,
        subject="rollouts.test.s0.*.MALLORY",
        first=1,
        through=3,
        num_messages=3,
        reason=PurgeReason.PURGED,
    )
    restored = ledger.RunRestored(
        instance="restore-1",
        backup_sha256="0" * 64,
        taken=0.0,
        queues=(ledger.QueueEnd(stream=QUEUE, last_sequence=3),),
    )
    await stage.coordinator.log.append([begun, restored])
    await stage.coordinator.purging.finish()
    assert await stage.num_queued() == 3


async def test_who_is_cut_off_loses_his_leases_his_messages_and_gets_no_more(stage):
    group = await stage.group("MALLORY")
    await stage.group("ALICE")
    await stage.noise("MALLORY", 3)
    deliveries = await stage.intake.hand.pull(timeout_s=0.0)
    cases = await stage.intake.judging.judge(deliveries)
    reply = await stage.coordinator.purge(actor="MALLORY", reason=PurgeReason.CUT_OFF)
    assert [queue.num_messages for queue in reply.queues] == [3]
    await stage.intake.writer.write(cases)
    assert {lease.lease.actor for lease in stage.state.open_leases.values()} == {"ALICE"}
    assert await sums(stage) == "3 last sequence = 0 judged + 3 purged(cut-off) + 0 unjudged"

    await stage.send(group)
    await stage.coordinator.round()
    assert stage.state.num_judged == {Reason.CUT_OFF: 1}
    refused = await stage.coordinator.lease(make_request("MALLORY", "more"))
    assert (refused.leases, refused.waiting_for) == ((), WaitReason.CUT_OFF)

    assert not (await stage.coordinator.let_in("MALLORY")).detail
    assert (await stage.coordinator.lease(make_request("MALLORY", "again"))).leases
    await stage.coordinator.purge(actor="MALLORY", reason=PurgeReason.CUT_OFF)
    assert stage.state.is_cut_off("MALLORY")


async def test_who_is_cut_off_while_his_group_is_judged_has_it_refused(stage):
    await stage.send(await stage.group("MALLORY"))
    cases = await stage.intake.judging.judge(await stage.intake.hand.pull(timeout_s=0.0))
    await stage.coordinator.log.append([ledger.ActorCutOff(actor="MALLORY", change=0)])
    await stage.intake.writer.write(cases)
    assert stage.state.num_judged == {Reason.CUT_OFF: 1}


async def test_a_group_that_was_accepted_before_the_cut_is_trained_on(stage):
    await stage.send(await stage.group("MALLORY", RIGHT))
    await stage.coordinator.round()
    await stage.coordinator.purge(actor="MALLORY", reason=PurgeReason.CUT_OFF)
    assert [group.actor for group in stage.state.waiting.values()] == ["MALLORY"]
    assert stage.state.num_judged == {Outcome.ACCEPTED: 1}


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        ({"run": "other"}, "the request names run other"),
        ({"reason": PurgeReason.CUT_OFF}, "who is to be cut off is not named"),
        ({"shard": "s7"}, "there is no shard s7; there is s0"),
        ({"marks": (QueueMark(shard="s7", through=1),)}, "there is no shard s7; there is s0"),
    ],
)
async def test_a_request_that_makes_no_sense_does_nothing(stage, asked, detail):
    await stage.noise("ALICE", 1)
    reply = await stage.coordinator.purge(**asked)
    assert (reply.queues, reply.detail) == ((), detail)
    assert await stage.num_queued() == 1


async def test_who_is_not_cut_off_cannot_be_let_in(stage):
    assert (await stage.coordinator.let_in("ALICE")).detail == "ALICE is not cut off"


async def test_a_sequence_that_was_purged_and_is_given_to_another_is_judged(stage):
    """A server that lost power has forgotten its last message, and stores another in its place."""
    await stage.noise("MALLORY", 1)
    await stage.coordinator.purge(actor="MALLORY")
    queue = stage.world.server.streams[QUEUE]
    queue.last_sequence, queue._delivered_to = 0, 0
    await stage.noise("ALICE", 1)
    await stage.coordinator.round()
    assert stage.state.num_judged == {Reason.ENVELOPE: 1}
    report = await audit_run(stage.world.broker, "test")
    assert report.holds, report
    assert report.num_reused_sequences == 1


def test_a_set_of_sequences_is_what_was_put_into_it():
    sequences = Sequences()
    sequences.add_spans(to_spans({9, 1, 2, 3, 700}))
    assert [one for one in range(1000) if one in sequences] == [1, 2, 3, 9, 700]


def test_purges_folded_twice_are_folded_once(stage):
    begun = ledger.PurgeBegun(
        purge=0,
        stream=QUEUE,
        subject=">",
        first=1,
        through=3,
        num_messages=3,
        reason=PurgeReason.PURGED,
    )
    end = ledger.MessagesPurged(
        purge=0, stream=QUEUE, reason=PurgeReason.PURGED, spans=(ledger.Span(1, 2),)
    )
    cut = ledger.ActorCutOff(actor="MALLORY", change=0)
    back = ledger.ActorLetIn(actor="MALLORY", change=1)
    once, twice = stage.state, msgspec.convert({}, type(stage.state))
    once.apply_entry(ledger.LedgerEntry(instance="c1", events=(begun, end, cut, back)))
    for events in ((begun, end, cut, back), (begun, end, cut), (end, begun)):
        twice.apply_entry(ledger.LedgerEntry(instance="c1", events=events))
    assert (twice.purges, twice.changes) == (once.purges, once.changes)
    assert not twice.is_cut_off("MALLORY")
