"""What the report costs grows as the run does, and no faster."""

import sys
from collections.abc import Callable
from types import FrameType

from learner.report.build import read_story
from learner.report.page import page
from learner.report.story import Story
from tests.support.runs import SyntheticRun


async def story_of(num_steps: int) -> Story:
    run = SyntheticRun(num_steps=num_steps)
    await run.open()
    for version in range(num_steps):
        for actor in ("alice", "bob"):
            await run.accept(actor, [True, False, False, False], version=version)
        await run.cut()
        await run.announce()
        await run.start_trainer(f"trainer-{version}")
    return await read_story(run.broker, run.settings.name)


def num_opcodes(work: Callable[[], object]) -> int:
    """What some work costs, the same on every machine."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Callable:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


async def test_twice_the_steps_are_about_twice_the_work():
    stories = [await story_of(num_steps) for num_steps in (40, 80, 160)]
    costs = [
        num_opcodes(lambda story=story: page(story, used=None, refused=None, model=None))
        for story in stories
    ]
    first, second = costs[1] - costs[0], costs[2] - costs[1]
    # The second difference covers twice as many steps; quadratic work would make it four times.
    assert 1.8 < second / first < 2.2
