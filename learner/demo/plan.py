"""Who takes part in the demo, and who is killed when: data, with the arithmetic on it."""

from typing import Final

from msgspec import Struct

from learner.deeds import NATS
from schemas import names
from schemas.heartbeat import State

HONEST: Final = ("honest-1", "honest-2", "honest-3")
LIAR: Final = "liar"
ACTORS: Final = (*HONEST, LIAR)


class Kill(Struct, frozen=True, kw_only=True):
    """One SIGKILL."""

    who: str
    at: float
    """Share of the run's steps that have a policy by then."""
    during: State | None
    """Strike when the victim says that it does this; None: at once, it never rests."""
    after_s: float = 0.0
    """Wait so long before."""


KILLS: Final = (
    Kill(who="honest-2", at=0.15, during=State.GENERATING),
    Kill(who=names.COORDINATOR, at=0.35, during=None),
    Kill(who=names.TRAINER, at=0.55, during=State.TRAINING),
    Kill(who=NATS, at=0.75, during=None),
)


def step_of(kill: Kill, num_steps: int) -> int:
    """The step behind which it strikes.

    >>> step_of(KILLS[0], 100), step_of(KILLS[0], 3)
    (15, 1)
    """
    return max(1, round(kill.at * num_steps))
