"""Who waits is woken by a change, and only by one after which its condition is true."""

import asyncio

from broker.changes import Changes


async def begin(waiting) -> asyncio.Task[None]:
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    return task


async def test_a_true_condition_is_not_waited_for():
    await Changes().until(lambda: True)


async def test_a_condition_is_tested_at_every_change():
    changes, values = Changes(), []
    first = await begin(changes.until(lambda: len(values) >= 1))
    second = await begin(changes.until(lambda: len(values) >= 2))
    for num_done in (1, 2):
        values.append(0)
        changes.notify()
        await asyncio.sleep(0.01)
        assert first.done() + second.done() == num_done


async def test_what_one_waiter_takes_is_not_there_for_the_next():
    changes, places, taken = Changes(), [], []

    async def take() -> None:
        await changes.until(lambda: places)
        taken.append(places.pop())

    waiting = [await begin(take()) for _ in range(3)]
    places.append("one")
    changes.notify()
    await asyncio.sleep(0.01)
    assert taken == ["one"]
    places += ["two", "three"]
    changes.notify()
    await asyncio.gather(*waiting)


async def test_the_next_change_ends_one_wait():
    changes = Changes()
    waiting = await begin(changes.next())
    changes.notify()
    await waiting
    again = await begin(changes.next())
    await asyncio.sleep(0.01)
    assert not again.done(), "a change that was is no change to come"
    again.cancel()


async def test_time_ends_a_wait():
    changes = Changes()
    waiting = [changes.until(lambda: False, timeout_s=0.05), changes.next(timeout_s=0.05)]
    tasks = [await begin(each) for each in waiting]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in tasks)
    await asyncio.gather(*tasks)
