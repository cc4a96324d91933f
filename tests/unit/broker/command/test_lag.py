"""`broker lag`: staleness of what waits, what is refused next, and who waits for whom."""

import asyncio

import pytest
from msgspec.structs import replace

from broker.interface import Broker
from broker.look.backlog import Backlog
from broker.look.lag import Listener, look_at_lag
from broker.look.lag_view import show_lag
from broker.look.read_on import RunLogs
from broker.look.standing import Standing, Waits, who_waits
from broker.look.window import window
from broker.memory import MemoryBroker, MemoryServer
from broker.streams import run_streams
from schemas import names
from schemas.errors import PermissionDenied
from schemas.heartbeat import Heartbeat, State
from schemas.policy import PolicyId
from schemas.settings import RunSettings
from schemas.wire import encode
from tests.support import hand_built

NO_QUEUE = Backlog(num_groups=0, by_version={}, num_unreadable=0)


def queue(**by_version: int) -> Backlog:
    versions = {int(version.removeprefix("v")): count for version, count in by_version.items()}
    return Backlog(num_groups=sum(versions.values()), by_version=versions, num_unreadable=0)


def look_through(queued: Backlog = NO_QUEUE, waiting: tuple[int, ...] = ()):
    """The window of a run whose batch 7 is cut and whose version 6 is announced."""
    return window(
        next_step=8,
        announced=6,
        max_staleness=2,
        batch_groups=2,
        queued=queued,
        waiting=waiting,
    )


def test_staleness_is_that_of_the_next_batch() -> None:
    seen = look_through(queue(v6=1, v5=2, v4=4, v3=8, v7=16), (6, 6, 5, 4))
    assert [(bar.staleness, bar.num_queued, bar.num_waiting) for bar in seen.bars] == [
        (0, 0, 0),
        (1, 1, 2),
        (2, 2, 1),
    ]
    # Versions 4 and 3 were announced, and are too old; nobody can have made a group with 7.
    assert (seen.queued_too_old, seen.waiting_too_old, seen.num_never_announced) == (12, 1, 16)


@pytest.mark.parametrize(
    ("queued", "waiting", "refused"),
    [
        (NO_QUEUE, (), (0, 0)),
        (queue(v5=3, v6=1), (), (3, 0)),
        # The next batch takes the two oldest, and ages the rest.
        (NO_QUEUE, (5, 5), (0, 0)),
        (NO_QUEUE, (5, 5, 5, 6), (0, 1)),
        (NO_QUEUE, (6, 6, 6, 6), (0, 0)),
        # One group is no batch: none is cut, so nothing grows older.
        (NO_QUEUE, (5,), (0, 0)),
    ],
)
def test_the_window_refuses_next_what_the_next_batch_leaves_at_the_limit(
    queued: Backlog, waiting: tuple[int, ...], refused: tuple[int, int]
) -> None:
    seen = look_through(queued, waiting)
    assert (seen.queued_refused_next, seen.waiting_refused_next) == refused


STANDING = Standing(
    announced=6,
    step=7,
    num_steps=100,
    batch_groups=2,
    max_staleness=2,
    num_rows=14,
    num_waiting=1,
    num_open_leases=1,
    num_queued=0,
)


@pytest.mark.parametrize(
    ("fields", "waits", "words"),
    [
        ({}, Waits.NOBODY, "the trainer works on step 7, and 1 of 2 groups for step 8 are there"),
        ({"announced": 7}, Waits.LEARNER, "1 of 2 groups for step 8 are there, 1 lease open"),
        ({"announced": 7, "num_queued": 3}, Waits.LEARNER, "3 messages to judge, 1 lease open"),
        ({"num_waiting": 2}, Waits.NOBODY, "2 groups wait for step 8"),
        ({"announced": 5, "num_waiting": 5}, Waits.ACTORS, "5 groups wait, and the trainer is 2 s"),
        # (6 + 2 + 1) x 2 groups may be used; 14 rows, 1 that waits and 3 asked for are all of them.
        (
            {"num_open_leases": 3},
            Waits.ACTORS,
            "no more groups are asked for before policy version",
        ),
        ({"num_open_leases": 2}, Waits.NOBODY, "nobody waits"),
        # The gate is shut, but the learner has nothing to do: it waits for what was asked for.
        ({"announced": 7, "num_open_leases": 5}, Waits.LEARNER, "the learner waits"),
        ({"num_steps": 7}, Waits.NOBODY, "the last batch is cut, 1 step to train"),
        ({"num_steps": 7, "announced": 7}, Waits.FINISHED, "the last policy is announced"),
        ({"announced": None, "step": 0}, Waits.NOT_OPENED, "for the first policy"),
    ],
)
def test_who_waits_for_whom(fields: dict, waits: Waits, words: str) -> None:
    told = who_waits(replace(STANDING, **fields))
    assert told.waits is waits
    assert words in told.sentence


async def lag_of(broker: Broker, run: str = hand_built.RUN):
    return await look_at_lag(broker, RunLogs(run), Listener(run, listen_s=0))


async def test_a_run_is_counted_from_its_queue_and_its_logs(broker) -> None:
    for subject in (
        "rollouts.demo.s0.1-1.ALICE",
        "rollouts.demo.s0.1-0.BOB",
        "rollouts.demo.s0.x.y",
    ):
        await broker.publish(subject, subject.encode())
    lag = await lag_of(broker)
    assert (lag.policy, lag.step, lag.waits) == (PolicyId(1, 2), 2, Waits.LEARNER)
    assert lag.standing is not None
    assert lag.window is not None
    assert (lag.standing.num_rows, lag.standing.num_waiting, lag.standing.num_queued) == (4, 1, 4)
    assert [(bar.num_queued, bar.num_waiting) for bar in lag.window.bars] == [(1, 1), (1, 0)]
    assert (lag.window.queued_too_old, lag.window.num_unreadable) == (1, 1)
    assert (lag.window.queued_refused_next, lag.window.waiting_refused_next) == (1, 0)
    assert (lag.coordinator, lag.trainer, lag.actors) == (None, None, {})


async def test_a_run_without_a_coordinator_yet_has_no_window(capsys) -> None:
    broker = MemoryBroker(MemoryServer())
    for spec in run_streams(RunSettings(name="mine")):
        await broker.ensure_stream(spec)
    lag = await lag_of(broker, "mine")
    assert (lag.window, lag.standing, lag.waits) == (None, None, Waits.NOT_OPENED)
    show_lag(lag)
    assert "Everybody waits for a coordinator to open the log." in capsys.readouterr().out


async def test_the_daemons_are_heard(broker) -> None:
    logs, listener = RunLogs("demo"), Listener("demo", listen_s=0)
    await look_at_lag(broker, logs, listener)
    said = (
        ("coordinator", State.WAITING_FOR_GROUPS, "1 of 2 groups"),
        ("trainer", State.WAITING_FOR_BATCH, ""),
        ("ALICE", State.GENERATING, ""),
        ("BOB", State.GENERATING, ""),
        ("EVE", State.QUEUE_FULL, ""),
    )
    for who, state, waiting_for in said:
        word = Heartbeat(run="demo", who=who, instance="i", state=state, waiting_for=waiting_for)
        await broker.notify(names.heartbeat_subject("demo", who), encode(word))
    await broker.notify(names.heartbeat_subject("demo", "MALLORY"), b"\x1b[31m")
    for _ in range(10):  # The listener takes one word at each turn of the loop.
        await asyncio.sleep(0)
    lag = await look_at_lag(broker, logs, listener)
    assert lag.coordinator is not None
    assert lag.trainer is not None
    assert (lag.coordinator.state, lag.coordinator.waiting_for) == (
        State.WAITING_FOR_GROUPS,
        "1 of 2 groups",
    )
    assert lag.trainer.state is State.WAITING_FOR_BATCH
    assert lag.actors == {State.GENERATING: 2, State.QUEUE_FULL: 1}
    await broker.close()


class Deaf(MemoryBroker):
    """May not hear heartbeats."""

    def listen(self, subject):
        async def refused():
            raise PermissionDenied(subject)
            yield "", b""

        return refused()


async def test_who_may_not_hear_the_daemons_is_told_from_the_logs(server) -> None:
    lag = await lag_of(Deaf(server))
    assert (lag.coordinator, lag.waits) == (None, Waits.LEARNER)


async def test_in_words(broker, capsys) -> None:
    for number, subject in enumerate(("1-1.ALICE", "1-0.BOB", "1-0.BOB", "1-7.EVE")):
        await broker.publish(f"rollouts.demo.s0.{subject}", bytes([number]))
    show_lag(await lag_of(broker))
    assert capsys.readouterr().out.splitlines() == [
        "demo: policy 1-2 is the newest, batch 2 is cut",
        "",
        "Staleness in the batch of step 3; the limit is 1",
        "  staleness  in the queue =  accepted, waiting #",
        "          0               1                    1  ================################",
        "          1               1                    0  ================",
        "      older               2                    0  ================================",
        "Refused as it stands: 2 messages too old already, 1 message made with a version that was "
        "never announced.",
        "Refused next, once the batch of step 3 is cut: 1 message unless judged by then.",
        "",
        "The learner waits for the actors: 1 of 2 groups for step 3 are there, 5 messages to "
        "judge, 1 lease open.",
        "Heard: no word of the coordinator; no word of the trainer; no word of any actor.",
    ]
