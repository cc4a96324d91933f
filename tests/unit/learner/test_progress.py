"""What a person at the terminal of `learner run` is told."""

import asyncio

import pytest

from learner.progress import Progress
from schemas import names
from schemas.heartbeat import Heartbeat, State
from schemas.policy import StepMetrics
from schemas.wire import encode
from tests.support.runs import SyntheticRun


class Terminal:
    """Collects lines, and can be waited for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = asyncio.Event()

    def say(self, line: str) -> None:
        self.lines.append(line)
        self._more.set()

    async def reads(self, words: str) -> None:
        async with asyncio.timeout(5.0):
            while not any(words in line for line in self.lines):
                self._more.clear()
                await self._more.wait()


@pytest.fixture
async def run():
    run = SyntheticRun(num_steps=2)
    await run.open()
    return run


def follow(run: SyntheticRun, terminal: Terminal, quiet_s: float) -> asyncio.Task[None]:
    progress = Progress(run.settings.name, 2, "actor start runs/synthetic/run.json", terminal.say)
    return asyncio.create_task(progress.follow(run.broker, quiet_s=quiet_s))


async def step(run: SyntheticRun, *rights: list[bool]) -> None:
    for number, right in enumerate(rights):
        await run.accept(f"actor{number}", right)
    await run.cut()
    await run.announce(StepMetrics(step_s=0.25, waited_s=1.5))


async def test_every_step_is_a_line_and_the_last_one_ends_it(run):
    terminal = Terminal()
    following = follow(run, terminal, quiet_s=60.0)
    await terminal.reads("0 of 2 steps are trained")
    await step(run, [True, False], [True, True], [False, True])
    await step(run, [True, False], [False, True])
    async with asyncio.timeout(5.0):
        await following
    assert terminal.lines[1:] == [
        "step 1 of 2: reward (exact) 0.667, staleness 0.0, rows of 2 actors, "
        "step 0.25 s, waited 1.50 s",
        "step 2 of 2: reward (exact) 0.500, staleness 1.0, rows of 2 actors, "
        "step 0.25 s, waited 1.50 s",
    ]


async def test_steps_of_an_earlier_start_are_counted_and_not_told_again(run):
    await step(run, [True, False], [False, True])
    terminal = Terminal()
    following = follow(run, terminal, quiet_s=60.0)
    await terminal.reads("1 of 2 steps are trained")
    await step(run, [True, False], [False, True])
    async with asyncio.timeout(5.0):
        await following
    assert [line[:6] for line in terminal.lines] == ["1 of 2", "step 2"]


async def test_a_run_without_actors_says_how_one_is_started(run):
    terminal = Terminal()
    following = follow(run, terminal, quiet_s=0.01)
    await terminal.reads("actor start runs/synthetic/run.json")
    await asyncio.sleep(0.1)
    assert len(terminal.lines) == 2, "the same state is said once"
    following.cancel()


async def test_a_run_that_stands_still_says_what_it_waits_for(run):
    await run.accept("alice", [True, False])
    terminal = Terminal()
    following = follow(run, terminal, quiet_s=0.01)
    await terminal.reads("the coordinator says nothing")
    heartbeat = Heartbeat(
        run=run.settings.name,
        who=names.COORDINATOR,
        instance="c1",
        state=State.WAITING_FOR_GROUPS,
        waiting_for="1 of 2 groups",
    )
    subject = names.heartbeat_subject(run.settings.name, names.COORDINATOR)
    await run.broker.notify(subject, b"noise")
    await run.broker.notify(subject, encode(heartbeat))
    await terminal.reads("waiting for 1 of 2 groups (waiting-for-groups)")
    following.cancel()
