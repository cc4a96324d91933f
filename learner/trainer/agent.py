"""Starts ranks on this machine under torchrun, and ends as they do.

torchrun's own command ends with status 1 and a traceback whatever happened to a rank. Here a rank's
exit status is passed on, and a rank that died by a signal lets this process die by the same one, so
that whoever started it can tell a kill from a failure.
"""

import os
import signal
import sys
from collections.abc import Sequence

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from learner.trainer.rank import AGENT_PID


def run_ranks(module: str, arguments: Sequence[str], *, num_ranks: int, num_threads: int) -> int:
    """Run a module as `num_ranks` ranks; returns the first bad exit status, or 0.

    SIGTERM is passed on to the ranks, which then have 30 seconds to end; the status is then 0.
    """
    os.environ["OMP_NUM_THREADS"] = str(num_threads)
    os.environ[AGENT_PID] = str(os.getpid())
    command = [sys.executable, "-P", "-u", "-m", module, *arguments]
    torchrun = ["--standalone", f"--nproc-per-node={num_ranks}", "--no-python", *command]
    try:
        run.run(run.parse_args(torchrun))
    except ChildFailedError as failed:
        # A killed rank takes others down with errors of their own; the kill is the cause.
        status = min(failure.exitcode for failure in failed.failures.values())
        if status < 0:
            _die_by(-status)
        return status
    except SignalException as stopped:
        return 0 if stopped.sigval == signal.SIGTERM else 128 + stopped.sigval
    return 0


def _die_by(number: int) -> None:
    signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
    os.kill(os.getpid(), number)
