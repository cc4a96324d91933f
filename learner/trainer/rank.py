"""Entry of each rank under torchrun.

`learner trainer` starts the ranks of one machine. On several machines, with a folder of runs that
all of them see:

    torchrun --nnodes 2 --nproc-per-node 8 ... -m learner.trainer.rank runs/<name>/settings.toml

Settings are parsed before torch is imported, so that a wrong one is said at once.
"""

import argparse
import sys
from collections.abc import Callable

from broker.program.logs import log_to_stderr
from broker.program.os_error import in_words
from broker.program.process import die_with_parent
from broker.program.sanitise import sanitise
from learner.trainer.libraries import pin_libraries
from schemas.errors import TributaryError, UserError
from schemas.resolve import resolve
from schemas.settings import LearnerSettings


def as_rank(body: Callable[[], None]) -> int:
    """Run `body` in a process that dies with the one that started it; returns the exit status.

    `body` imports torch, whose libraries are pinned by then.

    An error of our tree, or one of the machine such as a full disk, is one sentence as of any other
    verb of `learner`.
    """
    die_with_parent()
    log_to_stderr()
    pin_libraries()
    try:
        body()
    except TributaryError as error:
        return _say(str(error), error.exit_status)
    except OSError as error:
        return _say(in_words(error), UserError.exit_status)
    return 0


def _say(sentence: str, exit_status: int) -> int:
    print(f"learner: {sanitise(sentence, max_length=2000)}", file=sys.stderr)
    return exit_status


def main() -> None:
    """Be a rank of the trainer."""
    parser = argparse.ArgumentParser(description="one rank of the trainer")
    parser.add_argument("settings", help="TOML file with resolved settings")
    parser.add_argument("--take-over", action="store_true", help="replace a frozen trainer")
    arguments = parser.parse_args()
    settings = resolve(LearnerSettings, ["@", arguments.settings])

    from learner.trainer.service import run_rank

    run_rank(settings, take_over=arguments.take_over)


if __name__ == "__main__":
    sys.exit(as_rank(main))
