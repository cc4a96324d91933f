"""Whose messages are judged aside, how many of them, and that nobody waits for them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from learner.coordinator import suspects
from learner.coordinator.finding import Finding
from learner.coordinator.job import WorkerJob
from schemas.verdict import Outcome, Reason
from tests.support.coordinators import DrivenCoordinator
from tests.support.intake_stage import Stage


class Limited:
    """Examines as the workers do when every message of EVE hits a limit."""

    def __init__(self, stage: Stage) -> None:
        self.workers = DrivenCoordinator(stage.world)
        self.aside: list[tuple[str, bool]] = []
        """(actor, whether the others were stopped)"""
        self.going_on = asyncio.Event()
        """While it is not set, what is judged alone takes for ever."""
        self.going_on.set()

    async def examine(self, jobs: Sequence[WorkerJob]) -> list[Finding | None]:
        found = await self.workers.examine(jobs)
        hits = [job.subject.actor == "EVE" for job in jobs]
        return [None if hit else one for hit, one in zip(hits, found, strict=True)]

    async def examine_alone(self, job: WorkerJob, *, stop_others: bool) -> Finding:
        await self.going_on.wait()
        self.aside.append((job.subject.actor, stop_others))
        if job.subject.actor == "EVE":
            return Finding(reason=Reason.CPU, detail="too much")
        return await self.workers.examine_alone(job, stop_others=stop_others)


@pytest.fixture
async def stage():
    stage = Stage()
    await stage.open()
    return stage


@pytest.fixture
def limited(stage):
    limited = Limited(stage)
    stage.judge_by(limited)
    return limited


@contextlib.asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[None]:
    loops = [asyncio.create_task(loop) for loop in stage.intake.loops()]
    try:
        async with asyncio.timeout(10):
            yield
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def accepted(stage: Stage, count: int) -> None:
    while stage.state.num_judged[Outcome.ACCEPTED] < count:
        await stage.world.server.change()


async def queued(stage: Stage, most: int) -> None:
    """Wait until no more than so many messages are left in the queue."""
    while await stage.num_queued() > most:
        await stage.world.server.change()


async def test_after_a_few_hits_nobody_is_stopped_for_an_actor(stage, limited):
    await stage.noise("EVE", 6)
    await stage.coordinator.round(3)
    await stage.coordinator.round(3)
    assert limited.aside == [("EVE", True)] * 3 + [("EVE", False)] * 3
    assert stage.state.num_judged == {Reason.CPU: 6}
    assert await stage.num_queued() == 0


async def test_of_a_crowd_of_hits_few_are_examined_and_each_has_its_verdict(
    stage, limited, monkeypatch
):
    monkeypatch.setattr(suspects, "_PATIENCE", 4)
    await stage.noise("EVE", 12)
    await stage.coordinator.round(12)
    assert len(limited.aside) == 3 + 4
    assert stage.state.num_judged == {Reason.CPU: 12}
    assert await stage.num_queued() == 0


async def test_others_do_not_wait_for_a_suspect(stage, limited):
    limited.going_on.clear()
    async with running(stage):
        await stage.noise("EVE", 5)
        for count in (1, 2):
            await stage.send(await stage.group("ALICE"))
            await accepted(stage, count)
        await queued(stage, 5)
        limited.going_on.set()
        await queued(stage, 0)
    assert stage.state.num_judged == {Outcome.ACCEPTED: 2, Reason.CPU: 5}


async def test_others_do_not_wait_for_a_notorious_actor_whatever_it_sends(
    stage, limited, monkeypatch
):
    monkeypatch.setattr(suspects, "_MAX_WAITING_BYTES", 20)
    await stage.noise("EVE", 3)
    await stage.coordinator.round()
    limited.going_on.clear()
    async with running(stage):
        await stage.noise("EVE", 10, begin=3)
        for count in (1, 2):
            await stage.send(await stage.group("ALICE"))
            await accepted(stage, count)
        limited.going_on.set()
        await queued(stage, 0)
    assert stage.state.num_judged == {Outcome.ACCEPTED: 2, Reason.CPU: 13}


async def test_who_comes_in_the_same_round_as_a_suspect_does_not_wait(stage, limited, monkeypatch):
    monkeypatch.setattr(suspects, "_MAX_WAITING_BYTES", 1)
    limited.going_on.clear()
    await stage.noise("EVE", 5)
    await stage.send(await stage.group("ALICE"))
    async with running(stage):
        await accepted(stage, 1)
        limited.going_on.set()
        await queued(stage, 0)
    assert stage.state.num_judged == {Outcome.ACCEPTED: 1, Reason.CPU: 5}
