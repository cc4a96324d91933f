"""A command in a process of its own: how one is started and ended.

When to start it again is for `learner.launch` and `learner.demo.players` to say.
"""

import asyncio
import contextlib
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from pathlib import Path

from broker.program.process import bound


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
    """SIGTERM, and SIGKILL after the grace or when this is cancelled; returns when it has ended."""
    try:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            process.terminate()
            async with asyncio.timeout(grace_s):
                await process.wait()
    finally:
        await kill(process)


async def kill(process: Process) -> None:
    """SIGKILL; returns when it has ended, also when this is cancelled meanwhile.

    That is at once, and who left earlier would leave something behind in the event loop.
    """
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    ended, cancelled = asyncio.create_task(process.communicate()), False
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
