"""A network of our own for a test: hosts on a bridge, which can be cut off or made unable to speak.

The test itself stands in a network namespace with the bridge, each host in one of its own: what is
cut here vanishes without a word, as on a real network, and no process is told. Needs root and the
`ip` command; everything is gone when the processes are.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from broker.program.process import ProcessId, spawn, stop

_CLONE_NEWNET = 0x40000000
_OWN = Path("/proc/thread-self/ns/net")
_NOWHERE = "02:00:00:00:00:fe"
"""Nobody's address: what is sent there is thrown away by whom it reaches."""
TEST = "10.77.0.254"
"""Where the test itself is."""


def host_address(number: int) -> str:
    return f"10.77.0.{number}"


class Network:
    """Hosts are numbered from 1. Made in the main thread, which alone moves into it."""

    def __init__(self, folder: Path, num_hosts: int) -> None:
        """Raises OSError when this user may not."""
        self._undo = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            self._move_in(undo)
            _ip("link add hub type bridge")
            _ip("link set lo up")
            _ip("link set hub up")
            _ip(f"addr add {TEST}/24 dev hub")
            self._hosts = [self._add_host(folder, n + 1, undo) for n in range(num_hosts)]
            self._undo = undo.pop_all()

    def _move_in(self, undo: contextlib.ExitStack) -> None:
        outside = os.open(_OWN, os.O_RDONLY)
        undo.callback(os.close, outside)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
        undo.callback(libc.setns, outside, _CLONE_NEWNET)

    def _add_host(self, folder: Path, number: int, undo: contextlib.ExitStack) -> ProcessId:
        unshare = shutil.which("unshare") or "unshare"
        ours = _namespace(os.getpid(), thread=True)
        host = spawn(
            [unshare, "-n", shutil.which("sleep") or "sleep", "infinity"],
            log=folder / f"host-{number}.log",
            detached=False,
        )
        undo.callback(stop, host, grace_s=0)
        end = time.monotonic() + 10
        while _namespace(host.pid) in (ours, None):
            assert time.monotonic() < end, "a host without a network of its own"
            time.sleep(0.01)
        _ip(f"link add port{number} type veth peer name eth0 netns {host.pid}")
        _ip(f"link set port{number} master hub up")
        inside = f"nsenter -t {host.pid} -n ip"
        _run(f"{inside} addr add {host_address(number)}/24 dev eth0")
        _run(f"{inside} link set eth0 up")
        _run(f"{inside} link set lo up")
        return host

    def command(self, number: int, command: list[str]) -> list[str]:
        """The command, to be run on a host."""
        nsenter = shutil.which("nsenter") or "nsenter"
        return [nsenter, "-t", str(self._hosts[number - 1].pid), "-n", *command]

    def cut_off(self, number: int) -> None:
        """Nothing reaches the host, and nothing leaves it."""
        _ip(f"link set port{number} nomaster")

    def reach(self, number: int) -> None:
        """It is cut off no longer."""
        _ip(f"link set port{number} master hub")

    def mute(self, number: int, towards: str = TEST) -> None:
        """The host hears an address, which no longer hears the host."""
        self._on(number, f"neigh replace {towards} lladdr {_NOWHERE} dev eth0 nud permanent")

    def unmute(self, number: int, towards: str = TEST) -> None:
        self._on(number, f"neigh del {towards} dev eth0")

    def _on(self, number: int, words: str) -> None:
        _run(" ".join(self.command(number, ["ip", words])))

    def close(self) -> None:
        self._undo.close()


def open_network(folder: Path, num_hosts: int) -> Network:
    """Skips the test where there can be no network of our own."""
    for program in ("ip", "unshare", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"needs the program {program}")
    try:
        return Network(folder, num_hosts)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this user may make no network namespaces: {error}")


def _namespace(pid: int, *, thread: bool = False) -> str | None:
    path = _OWN if thread else Path(f"/proc/{pid}/ns/net")
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return None


def _ip(words: str) -> None:
    _run(f"ip {words}")


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)
