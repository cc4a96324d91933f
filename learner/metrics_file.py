"""runs/<name>/metrics.jsonl, one line for each step.

consumes   LOG and POLICIES
produces   rows, each as soon as its policy is announced
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
from broker.jetstream import NatsBroker
from broker.logbook import LogItem, PolicyItem, follow_policies, log_item, read_log, read_policies
from learner.metrics import MetricsFold, StepRow, to_line
from learner.run_folder import RunFolder
from schemas import names
from schemas.settings import LearnerSettings


def write_rows(path: Path, rows: Iterable[StepRow]) -> None:
    """Write a whole file."""
    path.write_bytes(b"".join(to_line(row) for row in rows))


async def read_rows(broker: Broker, run: str) -> list[StepRow]:
    """The rows of the logs as they stand.

    Raises:
        BrokerError: there is no such run.
    """
    fold = MetricsFold()
    rows: list[StepRow] = []
    async for item in read_log(broker, run):
        rows += fold.add_log(item)
    if fold.opened is not None:
        async for item in read_policies(broker, run, fold.opened.run_key):
            rows += fold.add_policy(item)
    return rows


async def follow_rows(
    broker: Broker,
    run: str,
    *,
    on_row: Callable[[StepRow], None],
    on_item: Callable[[LogItem | PolicyItem], None],
) -> None:
    """Hand over every row from the first step on, until the run's last step has one.

    `on_item` is told of every record of both logs, for who counts more than steps.
    """
    fold = MetricsFold()
    run_key: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    finished = asyncio.Event()

    def take(rows: list[StepRow]) -> None:
        for row in rows:
            on_row(row)
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
    broker = await NatsBroker.connect(settings.connection.nats, name="learner metrics")
    try:
        await the_run(broker, settings.name)
        rows = await read_rows(broker, settings.name)
    finally:
        await broker.close()
    path = RunFolder(settings).metrics
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, rows)
    return path
