"""One verb of `learner` in a process of its own, started again whenever it is killed."""

import asyncio
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from broker.program.process import last_line
from learner import child_process

Say = Callable[[str], None]
"""Takes a line for whoever started the run."""

_MAX_KILLS: Final = 5
_WITHIN_S: Final = 60.0
"""A child that is killed more often than that has a reason to be killed that is not chance."""
_GRACE_S: Final = 40.0
"""More than a trainer takes to finish its step and to leave a checkpoint."""


class Child:
    """One verb of `learner` in a process of its own, with a log file."""

    def __init__(
        self, verb: str, settings_file: Path, logs: Path, options: Sequence[str], say: Say
    ) -> None:
        self.verb = verb
        self._log = logs / f"{verb}.log"
        self._log_begin = 0
        """Bytes that were in its log before it: others may have written, or may be writing."""
        self._command = verb_command(verb, settings_file, *options)
        self._say = say
        self._kills: deque[float] = deque(maxlen=_MAX_KILLS)
        self._gave_up = False

    async def keep_running(self, stop: asyncio.Event) -> int:
        """Run, again whenever it is killed; returns the exit status, negative for a signal."""
        while True:
            self._log_begin = self._log.stat().st_size if self._log.exists() else 0
            status = await run_until(await child_process.start(self._command, self._log), stop)
            if stop.is_set() and status == -signal.SIGTERM:
                return 0  # It was told to end before it could listen, and had nothing in hand.
            if status >= 0 or stop.is_set() or self._killed_too_often():
                return status
            signal_name = signal.Signals(-status).name
            self._say(f"the {self.verb} was ended by {signal_name}, and is started again")

    def last_words(self, status: int) -> str:
        """A sentence about its end: by what signal, or with what last line in its log."""
        where = f"(all that it said is in {self._log})"
        if status < 0:
            often = (
                f" {_MAX_KILLS} times within {_WITHIN_S:g} s: is the machine out of memory? "
                "Start it again to go on"
            )
            name = signal.Signals(-status).name
            return f"the {self.verb} was ended by {name}{often * self._gave_up} {where}"
        return f"the {self.verb} failed: {last_line(self._log, after=self._log_begin)} {where}"

    def _killed_too_often(self) -> bool:
        self._kills.append(time.monotonic())
        full = len(self._kills) == _MAX_KILLS
        self._gave_up = full and self._kills[-1] - self._kills[0] < _WITHIN_S
        return self._gave_up


def verb_command(verb: str, settings_file: Path, *options: str) -> list[str]:
    """The command line of a verb of `learner`."""
    python = [sys.executable, "-P", "-m", "learner"]
    return [*python, verb, *options, "@", str(settings_file)]


async def run_until(process: asyncio.subprocess.Process, stop: asyncio.Event) -> int:
    """The exit status of a process that `stop` cuts short; it is killed when this is cancelled."""
    ended = asyncio.create_task(process.wait())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await child_process.end(process, grace_s=_GRACE_S)
        return await ended
    finally:
        stopping.cancel()
        await child_process.kill(process)
