"""`broker info`, `subjects` and `consumers`, on the hand-built run."""

import pytest
from msgspec.structs import replace

from broker.interface import StreamKind, StreamSpec
from broker.look import stream_views
from broker.look.consumers import view_consumers
from broker.look.info import stream_info
from broker.look.read_on import RunLogs
from broker.look.subjects import view_subjects
from broker.memory import MemoryBroker, MemoryServer
from schemas.errors import UserError
from schemas.policy import PolicyId
from tests.support import hand_built

QUEUE = hand_built.QUEUE


@pytest.fixture
def logs() -> RunLogs:
    return RunLogs(hand_built.RUN)


async def test_a_queue_tells_everything_of_itself(broker) -> None:
    info = await stream_info(broker, "s0")
    assert info.stream.name == info.spec.name == QUEUE
    assert info.spec == await broker.spec(QUEUE)
    assert (info.stream.num_messages, info.num_subjects) == (1, 1)
    assert (info.stream.lag_groups, info.stream.lag_versions) == (1, 0)
    assert info.created == hand_built.START - 3
    (consumer,) = info.consumers
    assert (consumer.stream, consumer.consumer) == (QUEUE, "intake_s0")


@pytest.mark.parametrize("name", ["LOG", "LOG_demo", "log", "POLICIES", "s0", QUEUE])
async def test_a_stream_is_named_as_ls_does_or_in_short(broker, name: str) -> None:
    info = await stream_info(broker, name)
    assert name.lower() in info.stream.name.lower()
    assert await stream_info(broker, name, "demo") == info


@pytest.mark.parametrize(
    ("name", "run", "sentence"),
    [
        ("LOGS", "", "run demo has no stream LOGS; the nearest is LOG"),
        ("ROLLOUT_demo_s0", "", f"the nearest is {QUEUE}"),
        ("s0", "dmo", "the server has no run dmo; the nearest is demo"),
        ("x", "demo", "run demo has no stream x; it has LOG, LOG_demo, POLICIES,"),
    ],
)
async def test_an_unknown_stream_has_a_nearest(broker, name, run, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        await stream_info(broker, name, run)


async def test_a_short_name_of_several_runs_needs_one(broker) -> None:
    for name in ("LOG_other", "SOMETHING"):
        await broker.ensure_stream(
            StreamSpec(name=name, subjects=(f"{name}.*",), kind=StreamKind.LOG)
        )
    with pytest.raises(UserError, match="several runs have a stream LOG: name one of them"):
        await stream_info(broker, "LOG")
    with pytest.raises(UserError, match="the server has no stream SOMETHINGS; the nearest is SOM"):
        await stream_info(broker, "SOMETHINGS")
    stray = await stream_info(broker, "SOMETHING")
    assert (stray.stream.run, stray.stream.lag_groups, stray.consumers) == (None, None, ())


async def test_subjects_say_who_sent_what(broker, logs) -> None:
    for data in (b"1", b"2"):
        await broker.publish("rollouts.demo.s0.1-0.ALICE", data)
    await broker.publish("rollouts.demo.s0.1-9.EVE", b"3")
    await broker.publish("rollouts.demo.s0.no.version", b"4")
    found = await view_subjects(broker, logs)
    assert [(view.actor, view.policy, view.behind, view.num_messages) for view in found] == [
        ("ALICE", PolicyId(1, 0), 2, 2),
        ("BOB", PolicyId(1, 2), 0, 1),
        ("EVE", PolicyId(1, 9), -7, 1),
        (None, None, None, 1),
    ]
    assert [view.actor for view in await view_subjects(broker, logs, actor="EVE")] == ["EVE"]
    assert [view.actor for view in await view_subjects(broker, logs, actor="AL")] == ["ALICE"]
    of_log = await view_subjects(broker, logs, stream="LOG")
    assert [(view.subject, view.num_messages) for view in of_log] == [
        ("ledger.demo", 9),
        ("batches.demo.1", 1),
        ("batches.demo.2", 1),
    ]


async def test_an_actor_of_the_ledger_without_a_message_is_known(broker, logs) -> None:
    assert await view_subjects(broker, logs, actor="ALICE") == []


@pytest.mark.parametrize(
    ("actor", "sentence"),
    [
        ("ALCE", "the run has no actor ALCE; the nearest is ALICE"),
        ("ZOE", "the run has no actor ZOE; it has ALICE, BOB, BOBBY"),
        ("BO", "2 actors begin with BO"),
    ],
)
async def test_an_unknown_actor_has_a_nearest(broker, logs, actor, sentence) -> None:
    await broker.publish("rollouts.demo.s0.1-0.BOBBY", b"1")
    with pytest.raises(UserError, match=sentence):
        await view_subjects(broker, logs, actor=actor)


async def test_a_consumer_lags_by_what_has_no_verdict(broker, logs) -> None:
    for data in (b"1", b"2", b"3"):
        await broker.publish("rollouts.demo.s0.1-0.ALICE", data)
    taken = await broker.pull(QUEUE, "intake_s0", max_messages=3, max_bytes=1 << 20, timeout_s=0)
    await taken[-1].ack()
    (view,) = await view_consumers(broker, logs)
    assert (view.num_unprocessed, view.num_ack_pending, view.num_redelivered) == (1, 2, 0)
    assert (view.delivered_to, view.ack_floor) == (15, 12)
    assert (view.lag_groups, view.lag_versions) == (3, 2)


async def test_before_the_first_policy_no_version_lags() -> None:
    broker = MemoryBroker(MemoryServer())
    await hand_built.fill(broker)
    server = broker._server
    del server.streams["POLICIES_demo"]
    (view,) = await view_consumers(broker, RunLogs("demo"))
    assert (view.lag_groups, view.lag_versions) == (1, None)
    (subject,) = await view_subjects(broker, RunLogs("demo"))
    assert subject.behind is None


async def test_in_words(broker, logs, capsys) -> None:
    await broker.publish("rollouts.demo.s0.1-0.\x1b[31m", b"1")
    info = await stream_info(broker, "s0")
    stream_views.show_info(replace(info, spec=replace(info.spec, num_replicas=3)))
    stream_views.show_info(await stream_info(broker, "LOG"))
    stream_views.show_subjects(await view_subjects(broker, logs))
    stream_views.show_subjects([])
    out = capsys.readouterr().out
    for line in (
        "ROLLOUTS_demo_s0: groups that wait for a verdict, of run demo",
        "  holds       2 messages,",
        "  lag         2 groups, 0 versions",
        "  copies      on 3 servers",
        "  kept        until its verdict; what has no room is refused, never dropped",
        "  kept        for ever; nothing can be purged or deleted",
        "ROLLOUTS_demo_s0  intake_s0            2    0 of 1024            0            12  ",
        r"rollouts.demo.s0.1-0.\x1b[31m         1",
        "No message is there",
    ):
        assert line in out
    assert "\x1b" not in out
