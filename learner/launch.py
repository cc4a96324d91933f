"""`learner run`: coordinator and trainer as child processes, started again when they are killed.

The children die with this process. One that ends by itself ends the run: the trainer with 0 when
the last step is trained, anything else is passed on. A kill costs nothing but the time to start
again, so a killed child is started again, unless it is killed too often.

The first SIGTERM or Ctrl-C lets the children end what they have in hand, a second one kills them.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from broker.login import OPERATOR, login
from broker.program.signals import stop_on_signals
from learner import child_process
from learner.child import Child, Say, run_until, verb_command
from learner.progress import Progress
from learner.role import check_free
from learner.run_folder import RunFolder, how_to_contribute
from learner.same_run import keep_settings
from schemas.errors import BrokerError
from schemas.names import COORDINATOR, TRAINER
from schemas.resolve import to_toml
from schemas.settings import LearnerSettings

_LAST_LINES_S: Final = 1.0
_KILLED: Final = 1
_STOPPING: Final = (
    "stopping: waits for the trainer to end its step and its upload, and for the coordinator; "
    "a second Ctrl-C kills both at once, which costs no accepted group"
)


class Outcome(Struct, frozen=True, kw_only=True):
    """How the run ended."""

    exit_status: int
    sentence: str
    """Empty when all was said already."""


def launch(settings: LearnerSettings, *, take_over: bool, say: Say) -> Outcome:
    """Open the run unless it is open, and keep it running to its end, or until SIGTERM.

    `say` takes lines about what happens meanwhile.

    Raises:
        RoleTaken: the run has a coordinator or a trainer.
    """
    try:
        return asyncio.run(_launch(settings, take_over=take_over, say=say))
    except asyncio.CancelledError:
        sentence = "coordinator and trainer were killed; start it again to go on"
        return Outcome(exit_status=_KILLED, sentence=sentence)


async def _launch(settings: LearnerSettings, *, take_over: bool, say: Say) -> Outcome:
    stop = stop_on_signals(partial(say, _STOPPING))
    status = await _open(settings, stop)
    if status or stop.is_set():
        return Outcome(exit_status=_exit_status(status), sentence="")
    folder = RunFolder(settings)
    await _check_roles(settings, take_over=take_over)
    keep_settings(settings)
    folder.logs.mkdir(exist_ok=True)
    options = ("--take-over",) if take_over else ()
    children = [
        Child(verb, folder.settings, folder.logs, options, say)
        for verb in ("coordinator", "trainer")
    ]
    showing = asyncio.create_task(_show_progress(settings, say))
    try:
        outcome = await _run_all(children, stop)
        await asyncio.wait([showing], timeout=_LAST_LINES_S)
        return outcome
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def _open(settings: LearnerSettings, stop: asyncio.Event) -> int:
    """`learner open`, in sight. Refused settings leave no trace in the run's folder."""
    with tempfile.TemporaryDirectory(prefix="tributary-open-") as name:
        path = Path(name) / "settings.toml"
        path.write_text(to_toml(settings), encoding="utf-8")
        process = await child_process.start(verb_command("open", path), None)
        return await run_until(process, stop)


async def _check_roles(settings: LearnerSettings, *, take_over: bool) -> None:
    """The children ask again; but a start that cannot succeed leaves no words in their logs."""
    broker = await login(settings.connection, *OPERATOR, run=settings.name, name="learner run")
    try:
        for role in (COORDINATOR, TRAINER):
            await check_free(broker, settings.name, role, take_over=take_over)
    finally:
        await broker.close()


async def _show_progress(settings: LearnerSettings, say: Say) -> None:
    """It is only shown: a run goes on without it."""
    progress = Progress(settings.name, settings.trainer.num_steps, how_to_contribute(settings), say)
    with contextlib.suppress(BrokerError):
        broker = await login(settings.connection, *OPERATOR, run=settings.name, name="learner run")
        try:
            await progress.follow(broker)
        finally:
            await broker.close()


async def _run_all(children: Sequence[Child], stop: asyncio.Event) -> Outcome:
    """Until one child ends, or `stop`; then the others are told to end too."""
    running = {asyncio.create_task(child.keep_running(stop)): child for child in children}
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    ended_first = next((child for task, child in running.items() if task.done()))
    asked = stop.is_set()
    stop.set()
    await asyncio.wait(running)
    statuses = {child.verb: task.result() for task, child in running.items()}
    failed = [child for child in (ended_first, *children) if statuses[child.verb]]
    if failed:
        status = statuses[failed[0].verb]
        return Outcome(exit_status=_exit_status(status), sentence=failed[0].last_words(status))
    return Outcome(
        exit_status=0,
        sentence="stopped; start it again to go on" if asked else "the last step is trained",
    )


def _exit_status(status: int) -> int:
    """As a shell shows it: a death by signal N is 128 + N."""
    return status if status >= 0 else 128 - status
