"""Processes that never outlive their launcher, and those that are meant to.

Run as a script it is the launcher itself: it ties its own life to its parent's and becomes the
command. That needs no code between fork and exec, which threads would make unsafe, and the command
keeps the process id.
"""

import ctypes
import errno
import itertools
import os
import random
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_LOOPBACK = "127.0.0.1"
_CLIENT_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_KILLED_S = 10.0
"""A killed process ends at once, unless it hangs in the kernel."""
_TAIL_BYTES = 4096
_LOWEST_PORT, _HIGHEST_PORT, _SMALLEST_POOL = 10_000, 60_000, 1000


class ProcessId(NamedTuple):
    """Names one process for ever: ids are used again, an id and its start are not."""

    pid: int
    started: int
    """Clock ticks since boot."""


def die_with_parent(parent: int | None = None) -> None:
    """Let the kernel kill this process when the thread that started it ends.

    `parent` is the starter's process id as the starter knows it: when it died before this call, the
    process ends here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if parent is not None and os.getppid() != parent:
        raise SystemExit(f"the process {parent} that started this one is gone")


def bound(command: Sequence[str]) -> list[str]:
    """The command, made to die with the calling process (its main thread should start it)."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    detached: bool,
    environment: Mapping[str, str] | None = None,
) -> ProcessId:
    """Start a program whose output goes to the end of a file.

    Detached it lives on, otherwise it dies with this process. Its session is its own in both cases:
    Ctrl-C reaches this process alone, which stops the program when nobody needs it any more.
    `environment` is added to ours.
    """
    arguments = list(command) if detached else bound(command)
    pid = os.posix_spawn(
        arguments[0],
        arguments,
        os.environ | (environment or {}),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return ProcessId(pid, _start_ticks(pid) or 0)


def is_running(process: ProcessId) -> bool:
    """Whether this very process lives."""
    return _start_ticks(process.pid) == process.started


def stop(process: ProcessId, *, grace_s: float) -> None:
    """SIGTERM, and SIGKILL after `grace_s`; does nothing when it is not this very process.

    Raises:
        PermissionError: it is another user's.
        TimeoutError: it is still there long after SIGKILL.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor names what runs under the id at this moment; is it ours?
        if not is_running(process):
            return
        for word, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, _KILLED_S)):
            signal.pidfd_send_signal(descriptor, word)
            if select.select([descriptor], [], [], wait_s)[0]:
                return
        raise TimeoutError(f"process {process.pid} does not end, not even by SIGKILL")
    finally:
        os.close(descriptor)
        _reap(process.pid)


def last_line(log: Path, *, after: int = 0) -> str:
    """The last line that is not empty, behind so many bytes; a word instead when there is none."""
    if not log.exists():
        return "it said nothing"
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(after, file.tell() - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # somebody else's child


def _start_ticks(pid: int) -> int | None:
    """None for a process that is not there, or dead and not waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets may hold anything; the state is the first field behind it.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def free_ports(count: int) -> list[int]:
    """Distinct loopback ports that nobody listens on, outside the kernel's range for clients.

    Inside it, a client that tries again and again to reach a server that was killed may be given
    that server's own port, and keeps it from coming back.
    """
    lowest_of_clients = int(_CLIENT_PORTS.read_text().split()[0])
    pool = range(_LOWEST_PORT, lowest_of_clients)
    if len(pool) < _SMALLEST_POOL:
        pool = range(_LOWEST_PORT, _HIGHEST_PORT)
    tried = random.sample(pool, _SMALLEST_POOL)
    return list(itertools.islice((port for port in tried if not port_in_use(port)), count))


def free_port() -> int:
    return free_ports(1)[0]


def port_in_use(port: int) -> bool:
    """Whether somebody listens on a loopback port.

    Raises:
        PermissionError: this user may not listen there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return True
        return False


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
