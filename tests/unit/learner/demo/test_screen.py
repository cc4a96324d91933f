"""The live view: what it counts, and that hostile words do nothing."""

import asyncio
import io

import pytest
from rich.console import Console

from broker.logbook import read_log, read_policies
from broker.memory import MemoryBroker, MemoryServer
from learner.demo.screen import Lines, picture, row_line
from learner.demo.watch import Watch, who_waits
from learner.metrics import rows_of
from schemas import names
from schemas.heartbeat import Heartbeat, State
from schemas.policy import PolicyId
from schemas.wire import encode
from tests.support.runs import SyntheticRun

NAMES = {"alice": "honest-1", "mallory": "liar"}
HOSTILE = "\x1b]8;;http://a\x07[link=http://a]x[/link]\u202e\nstep 99: reward 1.00"


def heartbeat(who: str, state: State, waiting_for: str = "", **more: object) -> bytes:
    return encode(
        Heartbeat(
            run="demo",
            who=who,
            instance="i",
            state=state,
            waiting_for=waiting_for,
            **more,  # pyright: ignore[reportArgumentType]
        )
    )


def hear(watch: Watch, who: str, state: State, waiting_for: str = "", **more: object) -> None:
    subject = names.heartbeat_subject("demo", who)
    watch.take_heartbeat(subject, heartbeat(who, state, waiting_for, **more))


def shown(watch: Watch) -> str:
    console = Console(file=io.StringIO(), width=140, force_terminal=True, color_system=None)
    console.print(picture(watch, NAMES))
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture
async def run():
    run = SyntheticRun(num_steps=2)
    await run.open()
    await run.accept("alice", [True, False, False, False])
    await run.refuse_claim("mallory", [False, False, False, True])
    await run.accept("bob", [True, True, False, False])
    await run.cut()
    return run


@pytest.fixture
async def watch(run):
    watch = Watch(num_steps=2)
    async for item in read_log(run.broker, run.settings.name):
        watch.take_item(item)
    return watch


async def test_verdicts_are_counted_by_actor_and_reason(watch):
    assert watch.accepted == {"alice": 1, "bob": 1}
    assert watch.refused == {"mallory": {"reward-mismatch": 1}}
    assert "1 reward-mismatch" in shown(watch)


async def test_an_actors_row_says_what_it_does(watch):
    hear(watch, "alice", State.GENERATING, tokens_per_s=1234.5, policy=PolicyId(1, 7))
    (line,) = [line for line in shown(watch).splitlines() if line.startswith("honest-1")]
    assert line.split() == ["honest-1", "generating", "1-7", "1,234", "1"]


async def test_silence_is_shown():
    now = 0.0
    watch = Watch(num_steps=2, clock=lambda: now)
    hear(watch, "alice", State.GENERATING)
    assert watch.state_of("alice") is State.GENERATING
    now = 60.0
    assert watch.state_of("alice") is None
    assert "gone" in shown(watch)
    assert who_waits(watch) == "no word of the coordinator and the trainer"


async def test_hostile_words_of_an_actor_are_shown_and_do_nothing(watch):
    hear(watch, "alice", State.QUEUE_FULL, HOSTILE)
    text = shown(watch)
    assert "\x1b]" not in text
    assert "\u202e" not in text
    assert "\\x5blink" in text
    assert not any(line.startswith("step 99") for line in text.splitlines())


async def test_a_long_reason_to_wait_keeps_the_height_of_the_table(watch):
    height = len(shown(watch).splitlines())
    hear(watch, "alice", State.WAITING_FOR_LEASE, "room in the run: " + "enough groups " * 12)
    assert len(shown(watch).splitlines()) == height


async def test_lines_of_a_log_cannot_be_forged():
    file = io.StringIO()
    Lines(NAMES, file).say(HOSTILE)
    assert file.getvalue().count("\n") == 1
    assert file.getvalue()[:-1].isprintable()


@pytest.mark.parametrize("data", [b"", b"junk", b"TRIB\x01junk", bytes(10_000)])
async def test_what_is_no_heartbeat_is_not_taken(data):
    watch = Watch(num_steps=2)
    watch.take_heartbeat("heartbeat.demo.alice", data)
    assert watch.seen == {}


async def test_a_heartbeat_under_another_name_is_not_taken():
    watch = Watch(num_steps=2)
    watch.take_heartbeat("heartbeat.demo.mallory", heartbeat("alice", State.GENERATING))
    assert watch.seen == {}


async def test_a_flood_of_names_is_bounded():
    watch = Watch(num_steps=2)
    for n in range(200):
        hear(watch, f"stranger{n}", State.GENERATING)
    assert len(watch.seen) == 64
    assert len(shown(watch).splitlines()) < 20


@pytest.mark.parametrize(
    ("trainer", "coordinator", "said"),
    [
        (State.WAITING_FOR_BATCH, State.WAITING_FOR_GROUPS, "wait for the actors: 3 of 16 groups"),
        (State.TRAINING, State.WAITING_FOR_GROUPS, "coordinator waits for the actors"),
        (State.TRAINING, State.WAITING_FOR_POLICY, "wait for the trainer"),
        (State.STORE_AWAY, State.NO_SIGNAL, "trainer: store-away; coordinator: no-signal"),
    ],
)
async def test_it_says_who_waits_for_whom(trainer, coordinator, said):
    watch = Watch(num_steps=2)
    hear(watch, names.TRAINER, trainer)
    hear(watch, names.COORDINATOR, coordinator, "3 of 16 groups")
    assert said in who_waits(watch)


async def test_heartbeats_are_heard_and_wake_whoever_waits():
    broker = MemoryBroker(MemoryServer())
    watch = Watch(num_steps=2)
    listening = asyncio.create_task(watch.listen(broker, "demo"))
    waiting = asyncio.create_task(watch.until(lambda: watch.state_of("alice") is State.GENERATING))
    await asyncio.sleep(0)
    for state in (State.STARTING, State.GENERATING):
        await broker.notify(names.heartbeat_subject("demo", "alice"), heartbeat("alice", state))
    await asyncio.wait_for(waiting, 5)
    listening.cancel()


async def test_a_step_is_one_line(run):
    await run.announce()
    log = [item async for item in read_log(run.broker, run.settings.name)]
    policies = [item async for item in read_policies(run.broker, run.settings.name)]
    (row,) = rows_of(log, policies)
    assert row_line(row, NAMES) == (
        "step 1: reward 0.33 exact, 0.50 partial; staleness 0.0 (max 0); "
        "batch: honest-1 1, bob 1; 1 refused, 0 without signal"
    )
