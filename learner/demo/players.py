"""The processes of the demo: each is started again when it is killed, and dies with the demo.

consumes   a command
produces   a process; its output in a log file; Started, Killed and Died in the events file
waits for  the process to end
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from broker.program.process import bound, last_line
from learner.child_process import end, kill, start
from learner.events import Died, EventLog, Killed, Started
from schemas.errors import TributaryError

_MAX_DEATHS: Final = 3


class PlayerLost(TributaryError):
    """Raised when a process keeps ending by itself; says what it said last."""


class Player(Protocol):
    """Somebody who can be killed and comes back."""

    name: str

    async def kill(self, killed: Killed) -> None:
        """SIGKILL, as the event says; it is started again at once."""
        ...


class Process:
    """One command, kept running."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        events: EventLog,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`prepare` comes before its first life."""
        self.name = name
        self.deaths: list[int] = []
        """Exit statuses of lives that ended unasked."""
        self._command = command
        self._log = log
        self._events = events
        self._prepare = prepare
        self._process: asyncio.subprocess.Process | None = None
        self._struck = False
        self._stopping = False

    async def run(self) -> int:
        """Live after life, until one ends with status 0 or after `stop`; returns that status.

        Raises:
            PlayerLost: too many lives have ended by themselves.
            TributaryError: it could not be prepared.
        """
        if self._prepare is not None:
            await self._prepare()
        while True:
            status = await self._live()
            if status == 0 or self._stopping:
                return status
            if self._struck:
                self._struck = False
                continue
            self.deaths.append(status)
            self._events.write(Died(time=time.time(), who=self.name, status=status))
            if len(self.deaths) >= _MAX_DEATHS:
                raise PlayerLost(
                    f"{self.name} ended {_MAX_DEATHS} times by itself: {last_line(self._log)} "
                    f"(all that it said is in {self._log})"
                )

    async def kill(self, killed: Killed) -> None:
        assert self._process is not None, "only who lives can be killed"
        self._struck = True
        self._process.kill()
        self._events.write(killed)

    async def stop(self, *, grace_s: float) -> None:
        """SIGTERM, and SIGKILL after the grace or when cancelled; returns when it has ended."""
        self._stopping = True
        if self._process is not None:
            await end(self._process, grace_s=grace_s)

    async def _live(self) -> int:
        self._process = await start(self._command, self._log)
        self._events.write(Started(time=time.time(), who=self.name))
        return await self._process.wait()


async def run_to_end(
    command: Sequence[str], log: Path, on_line: Callable[[str], None] = lambda _line: None
) -> int:
    """Run a command that ends by itself, its output in a file and line by line in `on_line`."""
    process = await asyncio.create_subprocess_exec(
        *bound(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        process_group=0,
    )
    assert process.stdout is not None
    try:
        with open(log, "ab") as file:  # noqa: ASYNC230 (opening a local file is quick)
            async for line in process.stdout:
                file.write(line)
                file.flush()
                on_line(line.decode(errors="replace").rstrip())
        return await process.wait()
    finally:
        await kill(process)
