"""A server of the demo: started again when it is killed, and when it ends unasked.

consumes   the process that serves
produces   the next one; Started, Killed and Died in the events file
waits for  the process to end
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from broker.embedded import servers
from broker.program.process import ProcessId, is_running
from learner.deeds import NATS, S3
from learner.demo.players import PlayerLost
from learner.events import Died, EventLog, Killed, Started

_MAX_DEATHS: Final = 3


class Server:
    """One server, kept running."""

    def __init__(
        self,
        name: str,
        find: Callable[[], ProcessId],
        start: Callable[[], Awaitable[None]],
        events: EventLog,
        say: Callable[[str], None],
    ) -> None:
        """`find()` is the process that was started last, and `start()` starts the next one before
        it waits for anything: a server dies with the thread that started it, so no other may.
        """
        self.name = name
        self.deaths: list[int] = []
        """Exit statuses of lives that ended unasked."""
        self._find = find
        self._start = start
        self._events = events
        self._say = say

    async def run(self) -> None:
        """Start it again whenever it ends unasked.

        Raises:
            PlayerLost: too many lives have ended so.
            ServerMissing: it does not come up again.
        """
        while True:
            process = self._find()
            await _ended(process)
            if self._find() != process:
                continue  # A kill by plan, behind which it is started again.
            status = _exit_status(process)
            self.deaths.append(status)
            self._events.write(Died(time=time.time(), who=self.name, status=status))
            if len(self.deaths) >= _MAX_DEATHS:
                raise PlayerLost(f"{self.name} ended {_MAX_DEATHS} times unasked")
            self._say(f"{self.name} ended unasked (status {status}), and is started again")
            await self._start_again()

    async def kill(self, killed: Killed) -> None:
        os.kill(self._find().pid, signal.SIGKILL)
        self._events.write(killed)
        await self._start_again()

    async def _start_again(self) -> None:
        await self._start()
        self._events.write(Started(time=time.time(), who=self.name))


def open_nats(directory: Path, events: EventLog, say: Callable[[str], None]) -> Server:
    """The message broker, which lives beside the object storage in one directory."""

    async def start() -> None:
        servers.start_nats(directory, detached=False)

    return Server(NATS, lambda: servers.read(directory).nats_process, start, events, say)


def open_s3(directory: Path, events: EventLog, say: Callable[[str], None]) -> Server:
    """The object storage; it takes seconds until it stores again."""

    async def start() -> None:
        servers.start_s3(directory, detached=False)
        await asyncio.to_thread(servers.wait_s3, directory)

    return Server(S3, lambda: servers.read(directory).s3_process, start, events, say)


async def _ended(process: ProcessId) -> None:
    """Return when this very process has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        # The descriptor names what runs under the id at this moment; is it ours?
        if is_running(process):
            await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _exit_status(process: ProcessId) -> int:
    """Negative for a signal; 0 where it cannot be told any more."""
    try:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status) if pid else 0
