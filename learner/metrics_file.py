"""runs/<name>/metrics.jsonl, one line for each step.

consumes   LOG and POLICIES
produces   the figures of each step, as soon as its policy is announced
waits for  both logs

The file is written from the first step on every time, and the logs alone decide its bytes: whoever
follows a run and whoever reads its logs afterwards write the same file.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from broker.interface import Broker
from broker.inventory import the_run
from broker.logbook import LogItem, PolicyItem, follow_policies, log_item, read_log, read_policies
from broker.login import OPERATOR, login
from learner.metrics import MetricsFold, StepFigures, to_line
from learner.run_folder import RunFolder
from schemas import names
from schemas.settings import LearnerSettings


def write_steps(path: Path, steps: Iterable[StepFigures]) -> None:
    """Write a whole file."""
    path.write_bytes(b"".join(to_line(figures) for figures in steps))


async def read_steps(broker: Broker, run: str) -> list[StepFigures]:
    """The steps of the logs as they stand.

    Raises:
        BrokerError: there is no such run.
    """
    fold = MetricsFold()
    steps: list[StepFigures] = []
    async for item in read_log(broker, run):
        steps += fold.add_log(item)
    if fold.opened is not None:
        async for item in read_policies(broker, run, fold.opened.run_key):
            steps += fold.add_policy(item)
    return steps


async def follow_steps(
    broker: Broker,
    run: str,
    *,
    on_step: Callable[[StepFigures], None],
    on_item: Callable[[LogItem | PolicyItem], None],
) -> None:
    """Hand over the figures of every step, from the first to the last of the run.

    `on_item` is told of every record of both logs, for who counts more than steps.
    """
    fold = MetricsFold()
    run_key: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    finished = asyncio.Event()

    def take(steps: list[StepFigures]) -> None:
        for figures in steps:
            on_step(figures)
        if fold.finished:
            finished.set()

    async def take_log() -> None:
        async for record in broker.follow(names.log_stream(run)):
            item = log_item(run, record)
            on_item(item)
            take(fold.add_log(item))
            if fold.opened is not None and not run_key.done():
                run_key.set_result(fold.opened.run_key)

    async def take_policies() -> None:
        async for item in follow_policies(broker, run, await run_key):
            on_item(item)
            take(fold.add_policy(item))

    tasks: list[asyncio.Task[Any]] = [
        asyncio.create_task(each) for each in (take_log(), take_policies(), finished.wait())
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def write_metrics(settings: LearnerSettings) -> Path:
    """Write the file of a run from its logs, and return its path.

    Raises:
        UserError: there is no such run, or no server answers.
    """
    broker = await login(settings.connection, *OPERATOR, run=settings.name, name="learner metrics")
    try:
        await the_run(broker, settings.name)
        steps = await read_steps(broker, settings.name)
    finally:
        await broker.close()
    path = RunFolder(settings).metrics
    path.parent.mkdir(parents=True, exist_ok=True)
    write_steps(path, steps)
    return path
