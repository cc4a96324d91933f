"""A command in a process of its own: how one is started, ended, and what it said last.

When to start it again is for `learner.launch` and `learner.demo.players` to say.
"""

import asyncio
import contextlib
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from broker.program.process import bound

_TAIL_BYTES: Final = 4096


async def start(command: Sequence[str], log: Path | None) -> Process:
    """Start a command that dies with this process; without a log its output is shown.

    It is in a process group of its own: Ctrl-C reaches this process alone, which ends it.
    """
    with contextlib.ExitStack() as files:
        # Opening a local file is quick.
        output = None if log is None else files.enter_context(open(log, "ab"))  # noqa: ASYNC230
        return await asyncio.create_subprocess_exec(
            *bound(command), stdin=DEVNULL, stdout=output, stderr=output, process_group=0
        )


async def end(process: Process, *, grace_s: float) -> None:
    """SIGTERM, and SIGKILL after the grace; returns when it has ended."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()


def last_line(log: Path, *, after: int = 0) -> str:
    """The last line that is not empty, behind so many bytes; a word instead when there is none."""
    if not log.exists():
        return "it said nothing"
    with open(log, "rb") as file:
        file.seek(0, 2)
        file.seek(max(after, file.tell() - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
