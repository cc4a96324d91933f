"""Starts ranks on this machine under torchrun, and ends as they do.

torchrun's own command ends with status 1 and a traceback whatever happened to a rank. Here a rank's
exit status is passed on, and a rank that died by a signal lets this process die by the same one, so
that whoever started it can tell a kill from a failure.

    python -m learner.trainer.agent --num-ranks 2 --num-threads 1 learner.trainer.rank settings.toml
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from broker.program.process import bound


def be_agent(
    module: str, arguments: Sequence[str], *, num_ranks: int, num_threads: int
) -> NoReturn:
    """Run a module as `num_ranks` ranks, and end this process as the one that failed, or with 0.

    SIGTERM is passed on to the ranks, which then have 30 seconds to end; the status is then 0.
    """
    status = _run_ranks(module, arguments, num_ranks=num_ranks, num_threads=num_threads)
    if status < 0:
        _die_by(-status)
    # torchrun leaves a thread behind that speaks with its store; an interpreter that is taken down
    # under it may abort, and a good end would look like a kill.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run_ranks(module: str, arguments: Sequence[str], *, num_ranks: int, num_threads: int) -> int:
    """0, or the exit status that says why the ranks ended: of a signal, as its negative number,
    before any other."""
    os.environ["OMP_NUM_THREADS"] = str(num_threads)

    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # What torchrun has to say about a rank's end, the exit status says. Each of its modules has a
    # level of its own, so all of them are kept from the handler above.
    logger = logging.getLogger("torch.distributed.elastic")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    # Bound, because a rank takes seconds to start, in which this process may be killed.
    command = bound([sys.executable, "-P", "-u", "-m", module, *arguments])
    torchrun = ["--standalone", f"--nproc-per-node={num_ranks}", "--no-python", *command]
    try:
        run.run(run.parse_args(torchrun))
    except ChildFailedError as failed:
        # A killed rank takes others down with errors of their own; the kill is the cause.
        return min(failure.exitcode for failure in failed.failures.values())
    except SignalException as stopped:
        return 0 if stopped.sigval == signal.SIGTERM else 128 + stopped.sigval
    return 0


def _die_by(number: int) -> None:
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def main() -> NoReturn:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="ranks under torchrun")
    parser.add_argument("--num-ranks", type=int, required=True)
    parser.add_argument("--num-threads", type=int, required=True, help="of each rank")
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    be_agent(
        arguments.module,
        arguments.arguments,
        num_ranks=arguments.num_ranks,
        num_threads=arguments.num_threads,
    )


if __name__ == "__main__":
    main()
