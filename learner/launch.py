"""`learner run`: coordinator and trainer as child processes, started again when they are killed.

The children die with this process. One that ends by itself ends the run: the trainer with 0 when
the last step is trained, anything else is passed on. A kill costs nothing but the time to start
again, so a killed child is started again, unless it is killed too often.
"""

import asyncio
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import Struct

from learner import child_process
from learner.run_folder import RunFolder
from schemas.resolve import to_toml
from schemas.settings import LearnerSettings

_MAX_KILLS: Final = 5
_WITHIN_S: Final = 60.0
"""A child that is killed more often than that has a reason to be killed that is not chance."""
_GRACE_S: Final = 40.0
"""More than a trainer takes to finish its step and to leave a checkpoint."""

logger = structlog.get_logger()


class Outcome(Struct, frozen=True, kw_only=True):
    """How the run ended."""

    exit_status: int
    sentence: str


async def launch(settings: LearnerSettings, *, take_over: bool) -> Outcome:
    """Open the run unless it is open, and keep it running to its end, or until SIGTERM."""
    folder = RunFolder(settings)
    folder.logs.mkdir(parents=True, exist_ok=True)
    folder.settings.write_text(to_toml(settings), encoding="utf-8")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    opening = Child("open", folder, ())
    status = await opening.run(stop, in_sight=True)
    if status or stop.is_set():
        return Outcome(exit_status=_exit_status(status), sentence="the run was not opened")
    options = ("--take-over",) if take_over else ()
    children = [Child(verb, folder, options) for verb in ("coordinator", "trainer")]
    return await _run_all(children, stop)


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

    def __init__(self, verb: str, folder: RunFolder, options: Sequence[str]) -> None:
        self.verb = verb
        self._log = folder.logs / f"{verb}.log"
        command = [sys.executable, "-P", "-m", "learner.cli", verb, *options]
        self._command = [*command, "@", str(folder.settings)]
        self._kills: deque[float] = deque(maxlen=_MAX_KILLS)

    async def keep_running(self, stop: asyncio.Event) -> int:
        """Run, again whenever it is killed; returns the exit status, negative for a signal."""
        while True:
            status = await self.run(stop)
            if status >= 0 or stop.is_set() or self._killed_too_often():
                return status
            logger.warning("started-again", what=self.verb, after=signal.Signals(-status).name)

    async def run(self, stop: asyncio.Event, *, in_sight: bool = False) -> int:
        """One life, cut short by `stop`; `in_sight`: its output is shown instead of logged."""
        process = await child_process.start(self._command, None if in_sight else self._log)
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            await child_process.end(process, grace_s=_GRACE_S)
        return await ended

    def last_words(self) -> str:
        """The last line of its log, for a sentence about its end."""
        said = child_process.last_line(self._log)
        return f"the {self.verb} failed: {said} (all that it said is in {self._log})"

    def _killed_too_often(self) -> bool:
        self._kills.append(time.monotonic())
        return len(self._kills) == _MAX_KILLS and self._kills[-1] - self._kills[0] < _WITHIN_S


def _exit_status(status: int) -> int:
    """As a shell shows it: a death by signal N is 128 + N."""
    return status if status >= 0 else 128 - status
