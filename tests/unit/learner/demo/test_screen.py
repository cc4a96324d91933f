"""The live view: what it counts, and that hostile words do nothing."""

import asyncio
import io
from collections import Counter

import pytest
from rich.console import Console

from actors.state import said_by
from broker.heard import who_waits
from broker.logbook import read_log
from broker.memory import MemoryBroker, MemoryServer
from learner.demo.phases import Phase, Phases
from learner.demo.screen import Lines, full_step_line, phase_table, picture, reward_words
from learner.demo.watch import Watch
from learner.metrics import StepFigures, edges
from learner.metrics_file import read_steps
from schemas import names
from schemas.heartbeat import Heartbeat, State
from schemas.lease import LeaseReply, WaitReason
from schemas.policy import PolicyId, StepMetrics
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


def printed(what: object, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(what)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def shown(watch: Watch, width: int = 100) -> str:
    return printed(picture(watch, NAMES), width)


def steps(*rewards: float) -> list[StepFigures]:
    return [
        StepFigures(
            step=step,
            policy=f"1-{step}",
            cut_time=0.0,
            announced_time=0.0,
            trained_on="exact",
            reward=reward,
            parts={},
            num_rollouts=8,
            judged={},
            num_without_signal=0,
            num_dropped=0,
            num_leases=0,
            staleness_mean=0.8,
            staleness_max=1,
            staleness_rows=(1, 4),
            rows_by_actor={},
            skipped=False,
            trainer=StepMetrics(),
        )
        for step, reward in enumerate(rewards, 1)
    ]


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
    assert who_waits(watch.heard) == "no word of the coordinator and the trainer"


async def test_hostile_words_of_an_actor_are_shown_and_do_nothing(watch):
    hear(watch, "alice", State.QUEUE_FULL, "\x1b]8;;\x07[link=a]\u202e")
    hear(watch, "bob", State.QUEUE_FULL, "\nstep 99 reward 1.00")
    text = shown(watch)
    assert "\x1b]" not in text
    assert "\u202e" not in text
    assert "\\x5blink" in text
    assert not any(line.startswith("step 99") for line in text.splitlines())


async def test_a_long_reason_to_wait_keeps_the_height_of_the_table(watch):
    height = len(shown(watch).splitlines())
    hear(watch, "alice", State.WAITING_FOR_LEASE, "x" * 200)
    assert len(shown(watch).splitlines()) == height


@pytest.mark.parametrize("reason", [each for each in WaitReason if each is not WaitReason.REFUSED])
async def test_what_an_actor_waits_for_fits_into_a_hundred_columns(watch, reason):
    watch.refused["alice"] = Counter({"reward-mismatch": 446, "stale": 2})
    reply = LeaseReply(waiting_for=reason, detail="the detail of it" * 9)
    hear(watch, "alice", State.WAITING_FOR_LEASE, said_by(reply).waiting_for[:200])
    (line,) = [line for line in shown(watch).splitlines() if line.startswith("honest-1")]
    assert "waits: " in line
    assert line.rstrip().endswith("446 reward-mismatch, 2 stale")
    assert "…" not in line


async def test_one_version_is_one_version():
    watch = Watch(num_steps=2)
    watch.take_step(steps(0.5)[0])
    assert "mean 0.8, at most 1 version\n" in shown(watch).replace(" \n", "\n").replace("  ", "")


async def test_the_reward_on_the_screen_is_that_of_the_report():
    seen = steps(*[0.5] * 10, *[0.75] * 30)
    assert reward_words(seen[:4]) == "0.50 in the first 4 steps"
    first, last = edges(seen)
    assert reward_words(seen) == f"{first:.2f} in the first 10 steps, {last:.2f} in the last 10"
    assert reward_words([]) == "none yet"


async def test_every_phase_is_shown_and_the_text_of_one_is_harmless():
    phases = Phases()
    phases.say(Phase.SFT, 1.0, "step 70: loss 0.5, reward 0.46")
    phases.say(Phase.AUDIT, None, HOSTILE)
    phases.say(Phase.REPLAY, 0.4, "compared 41 of 101 versions")
    lines = printed(phase_table(phases)).splitlines()
    assert [line.split()[0] for line in lines] == ["SFT", "RL", "audit", "replay"]
    assert "compared 41 of 101 versions" in lines[3]
    assert "\x1b]" not in lines[2]


async def test_in_a_pipe_a_phase_says_each_tenth_once():
    file = io.StringIO()
    lines = Lines(NAMES, file)
    lines.progress(Phase.REPLAY, None, "under way")
    for n in range(1, 101):
        lines.progress(Phase.REPLAY, n / 100, f"compared {n} of 100 versions")
    said = file.getvalue().splitlines()
    assert len(said) == 11
    assert said[0] == "replay: under way"
    assert said[-1] == "replay: compared 100 of 100 versions"


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
        (State.DRAINING, State.FINISHED, "nobody: the last batch is cut"),
        (State.STORE_AWAY, State.NO_SIGNAL, "trainer: store-away; coordinator: no-signal"),
    ],
)
async def test_it_says_who_waits_for_whom(trainer, coordinator, said):
    watch = Watch(num_steps=2)
    hear(watch, names.TRAINER, trainer)
    hear(watch, names.COORDINATOR, coordinator, "3 of 16 groups")
    assert said in who_waits(watch.heard)


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
    (figures,) = await read_steps(run.broker, run.settings.name)
    assert full_step_line(figures, NAMES) == (
        "step 1: reward 0.33 exact, 0.50 partial; staleness 0.0 (max 0); "
        "batch: honest-1 1, bob 1; 1 refused, 0 without signal"
    )
