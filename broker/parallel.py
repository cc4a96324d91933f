"""Runs many small jobs side by side within a bound."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

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
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
