"""Starting a server program: find it, wait until it answers, or say in one sentence why not."""

import shutil
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from broker.program.process import ProcessId, is_running, last_line, port_in_use, stop
from schemas.errors import ServerMissing

_START_S = 60.0
_PROBE_S = 0.05


def find_program(name: str, wheel: str) -> str:
    """The program that the wheel brought into this environment, or the one on the PATH.

    Raises:
        ServerMissing
    """
    ours = Path(sysconfig.get_path("scripts")) / name
    found = str(ours) if ours.exists() else shutil.which(name)
    if found is None:
        raise ServerMissing(f"{name} is not installed; `pip install {wheel}` brings it")
    return found


def check_port_free(what: str, port: int) -> None:
    """Raises ServerMissing when somebody listens on the port already, or this user may not."""
    try:
        in_use = port_in_use(port)
    except PermissionError:
        raise ServerMissing(f"{what} cannot start: this user may not use port {port}") from None
    if in_use:
        raise ServerMissing(f"{what} cannot start: port {port} is in use")


def wait_until_up(what: str, process: ProcessId, log: Path, answers: Callable[[], bool]) -> None:
    """Wait until the server answers.

    Raises:
        ServerMissing: it ended, or gave no answer in a minute; it is stopped then.
    """
    end = time.monotonic() + _START_S
    # A port gives no event when it opens, so it is tried.
    while not answers():
        running = is_running(process)
        if not running or time.monotonic() > end:
            stop(process, grace_s=0)
            trouble = "does not answer" if running else "ended at its start"
            raise ServerMissing(f"{what} {trouble}: {last_line(log)[:300]}")
        time.sleep(_PROBE_S)
