"""A flood of one actor among honest ones, purged by a whole coordinator on a real server."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from broker.audit import audit_run
from broker.interface import Broker, Record
from broker.jetstream import NatsBroker
from schemas import ledger, names, wire
from schemas.policy import PolicyId
from schemas.purge import PurgeReason, PurgeReply, PurgeRequest
from tests.integration.test_coordinator import Stage

pytestmark = pytest.mark.integration

NUM_FLOOD = 5_000
"""Of 20,000, 19,744 went in 0.2 s; to publish so many takes the time of ten tests."""
HONEST = ("ALICE", "BOB", "CAROL", "DAVE")
BROKER = Path(sys.executable).with_name("broker")


@pytest.fixture
async def stage(nats_url, unique):
    opened: list[Broker] = []

    async def connect() -> Broker:
        opened.append(await NatsBroker.connect(nats_url, name="test"))
        return opened[-1]

    stage = Stage(connect, unique("flood"))
    await stage.open()
    yield stage
    for broker in opened:
        await broker.close()


async def flood(stage: Stage, count: int) -> None:
    """Small messages of one actor, on as many subjects as they need; honest groups among them."""
    policy = await stage.announce()
    async with stage.coordinator():
        leases = [(await stage.ask(actor)).leases[0] for actor in HONEST]
    groups = [await stage.group(lease, policy) for lease in leases]
    run = stage.settings.name

    async def publish(index: int) -> None:
        subject = names.rollouts_subject(run, "s0", PolicyId(1, index // 16), "MALLORY")
        await stage.broker.publish(subject, b"%d" % index, timeout_s=30.0)

    share = count // len(groups)
    for place, group in enumerate(groups):
        for begin in range(0, share, 500):
            indices = range(place * share + begin, place * share + min(begin + 500, share))
            await asyncio.gather(*map(publish, indices))
        await stage.publish(group)


async def cut_off(stage: Stage) -> int:
    request = PurgeRequest(run=stage.settings.name, reason=PurgeReason.CUT_OFF, actor="MALLORY")
    subject = names.purge_subject(stage.settings.name)
    answer = await stage.broker.request(subject, wire.encode(request), timeout_s=60.0)
    return sum(queue.num_messages for queue in wire.decode(answer, PurgeReply).queues)


async def honest_are_accepted(stage: Stage) -> None:
    """Wait until all of their groups are."""
    accepted: set[str] = set()
    run = stage.settings.name
    async with asyncio.timeout(60):
        async for record in stage.broker.follow(names.log_stream(run)):
            for event in _events(record):
                if isinstance(event, ledger.GroupAccepted):
                    accepted.add(event.actor)
            if accepted == set(HONEST):
                return


async def test_a_flood_goes_at_once_and_nobody_else_loses_anything(stage):
    await flood(stage, NUM_FLOOD)
    async with stage.coordinator():
        began = time.monotonic()
        num_purged = await cut_off(stage)
        took_s = time.monotonic() - began
        await honest_are_accepted(stage)
    # Some were judged before the request came: the coordinator was at it.
    assert NUM_FLOOD / 2 < num_purged <= NUM_FLOOD
    assert took_s < 10
    print(f"{num_purged} of {NUM_FLOOD} purged in {took_s:.3f} s")
    await stage.audit()


async def test_a_coordinator_that_is_killed_in_a_purge_has_it_finished_by_the_next(stage):
    await flood(stage, 1000)
    async with stage.coordinator() as killed:
        at_it = asyncio.Event()

        async def never(*_: object, pattern: str = ">", **__: object) -> None:
            if pattern != ">":
                at_it.set()
            await asyncio.Event().wait()

        killed._broker.purge = never
        asking = asyncio.create_task(cut_off(stage))
        async with asyncio.timeout(20):
            await at_it.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await stage.audit()
    async with stage.coordinator():
        await honest_are_accepted(stage)
    report = await audit_run(stage.broker, stage.settings.name)
    assert report.holds, report
    assert report.num_reused_sequences == 0
    assert "purged(cut-off)" in str(report.equations[1])


async def test_the_verbs(stage, nats_url, monkeypatch):
    run = stage.settings.name

    async def broker(*words: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            str(BROKER),
            *words,
            "--nats",
            nats_url,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    code, _, said = await broker("purge", run, "--dry-run")
    assert (code, "nobody coordinates run" in said) == (2, True)
    # Nobody judges, so that all of it is there when it is purged.
    monkeypatch.setattr(NatsBroker, "pull", _nothing)
    async with stage.coordinator():
        subject = names.rollouts_subject(run, "s0", PolicyId(1, 0), "MALLORY")
        for index in range(3):
            await stage.broker.publish(subject, b"%d" % index)
        code, said, _ = await broker("purge", run, "--actor", "MALLORY", "--dry-run")
        assert (code, "3 messages without a verdict" in said) == (0, True)
        code, _, said = await broker("purge", run)
        assert (code, "--yes is needed" in said) == (2, True)
        code, said, _ = await broker("cut-off", "MALLORY", "--run", run, "--yes")
        assert (code, "3 messages went" in said) == (0, True)
        code, said, _ = await broker("let-in", "MALLORY", "--run", run)
        assert (code, said) == (0, "MALLORY may work again.\n")
        code, _, said = await broker("let-in", "MALLORY", "--run", run)
        assert (code, "is not cut off" in said) == (2, True)
    code, said, _ = await broker("why", "s0:2", "--run", run)
    assert (code, "its actor was cut off" in said) == (0, True)
    await stage.audit()


def _events(record: Record) -> tuple[ledger.LedgerEvent, ...]:
    is_batch = record.subject.startswith("batches.")
    return () if is_batch else wire.decode(record.data, ledger.LedgerEntry).events


async def _nothing(*_: object, **__: object) -> list[object]:
    await asyncio.sleep(0.1)
    return []
