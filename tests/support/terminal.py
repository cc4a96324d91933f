"""A program in a pseudo-terminal, with somebody at the keys."""

import contextlib
import os
import pty
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_POLL_S = 0.05
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal(NamedTuple):
    """The program, and what it has shown."""

    process: subprocess.Popen[bytes]
    keys: int
    shown: bytearray
    reading: threading.Thread
    """Ends when nobody has the terminal open any more."""

    @property
    def text(self) -> str:
        return self.shown.decode(errors="replace")

    def press_ctrl_c(self) -> None:
        """The kernel sends SIGINT to everybody in the terminal's foreground group."""
        os.write(self.keys, b"\x03")

    def until(self, condition: Callable[[], bool], *, timeout_s: float = 240.0) -> None:
        """Wait for something that the program shows or does."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, self.text
            assert time.monotonic() < end, self.text
            time.sleep(_POLL_S)


@contextlib.contextmanager
def in_terminal(command: Sequence[str]) -> Iterator[Terminal]:
    """Run a program in a terminal of its own; it is killed in the end."""
    keys, screen = pty.openpty()
    _echo_nothing(screen)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *command],
        stdin=screen,
        stdout=screen,
        stderr=screen,
        start_new_session=True,
    )
    os.close(screen)
    shown = bytearray()
    reading = threading.Thread(target=_read, args=(keys, shown))
    reading.start()
    try:
        yield Terminal(process, keys, shown, reading)
    finally:
        process.kill()
        process.wait()
        reading.join()
        os.close(keys)


def _echo_nothing(screen: int) -> None:
    attributes = termios.tcgetattr(screen)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(screen, termios.TCSANOW, attributes)


def _read(keys: int, shown: bytearray) -> None:
    """Until nobody has the terminal open any more, which is an error of the device."""
    with contextlib.suppress(OSError):
        while data := os.read(keys, 1 << 16):
            shown += data
