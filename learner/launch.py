"""`learner run`: coordinator and trainer as child processes, started again when they are killed.

The children die with this process. One that ends by itself ends the run: the trainer with 0 when
the last step is trained, anything else is passed on. A kill costs nothing but the time to start
again, so a killed child is started again, unless it is killed too often.
"""

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from broker.jetstream import NatsBroker
from learner import child_process
from learner.progress import Progress
from learner.role import check_free
from learner.run_folder import RunFolder
from learner.same_run import keep_settings
from schemas.errors import BrokerError
from schemas.names import COORDINATOR, TRAINER
from schemas.resolve import to_toml
from schemas.settings import LearnerSettings

Say = Callable[[str], None]

_MAX_KILLS: Final = 5
_WITHIN_S: Final = 60.0
"""A child that is killed more often than that has a reason to be killed that is not chance."""
_LAST_LINES_S: Final = 1.0
_GRACE_S: Final = 40.0
"""More than a trainer takes to finish its step and to leave a checkpoint."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How the run ended."""

    exit_status: int
    sentence: str
    """Empty when all was said already."""


async def launch(settings: LearnerSettings, *, take_over: bool, say: Say) -> Outcome:
    """Open the run unless it is open, and keep it running to its end, or until SIGTERM.

    `say` takes lines about what happens meanwhile.

    Raises:
        RoleTaken: the run has a coordinator or a trainer.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
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
        process = await child_process.start(_command("open", path), None)
        return await _until(process, stop)


async def _check_roles(settings: LearnerSettings, *, take_over: bool) -> None:
    """The children ask again; but a start that cannot succeed leaves no words in their logs."""
    broker = await NatsBroker.connect(settings.connection.nats, name="learner run")
    try:
        for role in (COORDINATOR, TRAINER):
            await check_free(broker, settings.name, role, take_over=take_over)
    finally:
        await broker.close()


async def _show_progress(settings: LearnerSettings, say: Say) -> None:
    """It is only shown: a run goes on without it."""
    folder = RunFolder(settings)
    progress = Progress(settings.name, settings.trainer.num_steps, str(folder.card), say)
    with contextlib.suppress(BrokerError):
        broker = await NatsBroker.connect(settings.connection.nats, name="learner run")
        try:
            await progress.follow(broker)
        finally:
            await broker.close()


async def _run_all(children: "Sequence[Child]", stop: asyncio.Event) -> Outcome:
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
        status = _exit_status(statuses[failed[0].verb])
        return Outcome(exit_status=status, sentence=failed[0].last_words())
    return Outcome(
        exit_status=0,
        sentence="stopped; start it again to go on" if asked else "the last step is trained",
    )


class Child:
    """One verb of `learner` in a process of its own, with a log file."""

    def __init__(
        self, verb: str, settings_file: Path, logs: Path, options: Sequence[str], say: Say
    ) -> None:
        self.verb = verb
        self._log = logs / f"{verb}.log"
        self._log_begin = 0
        """Bytes that were in its log before it: others may have written, or may be writing."""
        self._command = _command(verb, settings_file, *options)
        self._say = say
        self._kills: deque[float] = deque(maxlen=_MAX_KILLS)

    async def keep_running(self, stop: asyncio.Event) -> int:
        """Run, again whenever it is killed; returns the exit status, negative for a signal."""
        while True:
            self._log_begin = self._log.stat().st_size if self._log.exists() else 0
            status = await _until(await child_process.start(self._command, self._log), stop)
            if status >= 0 or stop.is_set() or self._killed_too_often():
                return status
            signal_name = signal.Signals(-status).name
            self._say(f"the {self.verb} was ended by {signal_name}, and is started again")

    def last_words(self) -> str:
        """The last line of its last life in its log, for a sentence about its end."""
        said = child_process.last_line(self._log, after=self._log_begin)
        return f"the {self.verb} failed: {said} (all that it said is in {self._log})"

    def _killed_too_often(self) -> bool:
        self._kills.append(time.monotonic())
        return len(self._kills) == _MAX_KILLS and self._kills[-1] - self._kills[0] < _WITHIN_S


def _command(verb: str, settings_file: Path, *options: str) -> list[str]:
    python = [sys.executable, "-P", "-m", "learner.cli"]
    return [*python, verb, *options, "@", str(settings_file)]


async def _until(process: asyncio.subprocess.Process, stop: asyncio.Event) -> int:
    """The exit status of a process that `stop` cuts short."""
    ended = asyncio.create_task(process.wait())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not ended.done():
        await child_process.end(process, grace_s=_GRACE_S)
    return await ended


def _exit_status(status: int) -> int:
    """As a shell shows it: a death by signal N is 128 + N."""
    return status if status >= 0 else 128 - status
