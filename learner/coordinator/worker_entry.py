"""Where a judging process begins: its pipes are taken before anything is loaded that may use them.

What an environment prints goes to standard error, which is the coordinator's own and is not read by
it; what it reads from standard input is empty.
"""

import os
from typing import BinaryIO

from broker.program.process import die_with_parent


def main() -> None:
    """Serve jobs until the parent closes the pipe."""
    die_with_parent()
    jobs, findings = take_pipes()
    # An environment is ours, but what it imports may greet us.
    from learner.coordinator.worker import serve

    serve(jobs, findings)


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output, which from now on nobody else has."""
    jobs, findings = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(jobs, "rb"), os.fdopen(findings, "wb")


if __name__ == "__main__":
    main()
