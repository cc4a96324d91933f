"""Runs jobs side by side: many within a bound, or a blocking one in a thread."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def run_all(jobs: Iterable[Callable[[], Awaitable[T]]], *, at_once: int) -> list[T]:
    """The jobs' results in their order.

    The first failure cancels the jobs that still run, and is raised itself, so that callers catch
    its class and no group of exceptions.
    """
    slots = asyncio.Semaphore(at_once)

    async def run(job: Callable[[], Awaitable[T]]) -> T:
        async with slots:
            return await job()

    tasks = [asyncio.create_task(run(job)) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            # Once: a second one would break off what it does at its end.
            if not task.cancelling():
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def for_each(
    items: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int
) -> None:
    """Work on all items, in their order; only those under way are held, however many there are.

    The first failure cancels the others, and is raised itself.
    """
    left = iter(items)

    async def work_on() -> None:
        for item in left:
            await work(item)

    await run_all([work_on] * at_once, at_once=at_once)


async def run_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `asyncio.to_thread`, but cancellations come through when the thread has ended.

    So whoever begins again does not meet it at work on the same file.
    """
    running = asyncio.create_task(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({running})
        raise
