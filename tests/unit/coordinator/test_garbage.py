"""What a coordinator removes from the archive, whenever it comes to it."""

import asyncio

import pytest

from broker.objects.archive import Archive
from learner.coordinator.garbage import collect_garbage
from schemas import names
from tests.support.coordinators import DrivenCoordinator
from tests.support.intake_stage import Stage

RUN = "test"


@pytest.fixture
async def stage():
    stage = Stage()
    await stage.open()
    return stage


async def segments(stage) -> list[str]:
    found = await stage.world.store.list(names.archive_prefix(RUN))
    return [name for _, name in filter(None, (names.parse_segment_key(one.key) for one in found))]


async def successor(stage) -> DrivenCoordinator:
    coordinator = DrivenCoordinator(stage.world, "c2")
    await coordinator.start()
    return coordinator


async def test_what_a_round_left_that_died_is_removed_by_the_next_coordinator(stage):
    await stage.send(await stage.group())
    await stage.coordinator.round()
    (named,) = await segments(stage)
    await stage.coordinator.archive.write([b"a round that died"], term=stage.coordinator.log.term)
    assert len(await segments(stage)) == 2
    second = await successor(stage)
    assert len(await collect_garbage(second.broker, second.archive, RUN, second.log.term)) == 1
    assert await segments(stage) == [named]


async def test_a_replaced_coordinator_removes_nothing_of_its_successor(stage):
    store, replaced = stage.world.store, stage.coordinator
    list_now, asked, go_on = store.list, asyncio.Event(), asyncio.Event()

    async def list_later(prefix: str):
        asked.set()
        await go_on.wait()
        return await list_now(prefix)

    # Object storage is away while the first begins; meanwhile it is replaced.
    store.list = list_later
    archive = Archive(store, RUN)
    collecting = asyncio.create_task(
        collect_garbage(replaced.broker, archive, RUN, replaced.log.term)
    )
    await asked.wait()
    group = await stage.group()
    second = await successor(stage)
    await stage.send(group)
    await second.round()
    go_on.set()
    assert await collecting == []
    assert len(await segments(stage)) == 1


async def test_a_replaced_coordinator_that_goes_on_deleting_spares_the_same_bytes(stage):
    """The successor judges the same round again, and archives the same bytes."""
    await stage.send(await stage.group())
    store, delete_now = stage.world.store, stage.world.store.delete
    first = stage.coordinator
    deliveries = await first.intake.hand.pull(max_messages=8, timeout_s=0.0)
    data = deliveries[0].record.data
    await first.archive.write([data], term=first.log.term)
    second, third = await successor(stage), None

    async def delete_later(key: str) -> None:
        nonlocal third
        third = await successor(stage)
        await first.intake.hand.take_back()
        await third.round()
        await delete_now(key)

    store.delete = delete_later
    (removed,) = await collect_garbage(second.broker, second.archive, RUN, second.log.term)
    assert third
    assert await segments(stage) == [f"{third.log.term}-{removed.partition('-')[2]}"]
