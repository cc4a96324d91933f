"""Where a trainer goes on: a pure choice from the log, this machine's numerics and its checkpoints.

A version has one state: that of the last incarnation that has the version (its *owner*). Equal
numerics go on in the same incarnation and must reproduce what is published. Anything else starts
the next incarnation, on the same batches. So does a restore from a backup: in the life that was
lost the incarnation may have gone on, to policies that others have seen.
"""

from collections.abc import Collection

import msgspec
from msgspec import Struct

from learner.trainer.history import History
from schemas.policy import PolicyId
from schemas.trainer_events import Numerics


class Start(Struct, frozen=True, kw_only=True):
    """What to load, and in which incarnation to go on."""

    loaded: PolicyId
    """The policy whose state is loaded."""
    from_checkpoint: bool
    """False: the initial policy, with an optimizer that has seen nothing."""
    incarnation: int
    begins: bool
    """The incarnation does not stand in the log yet."""

    @property
    def version(self) -> int:
        return self.loaded.version


def choose(history: History, numerics: Numerics, checkpoints: Collection[PolicyId]) -> Start:
    """Go on from the newest usable checkpoint, or else from the initial policy.

    A checkpoint is usable when its incarnation owns its version and has announced it (or begins
    with it). One above the last announcement is left alone: what it holds can be computed again,
    and the versions between have yet to be published.
    """
    usable = [policy for policy in checkpoints if _is_usable(history, policy)]
    loaded = max(usable, default=PolicyId(history.owner(0), 0))
    current = history.current
    if current is None:
        incarnation, begins = 1, True
    else:
        begins = (
            current.numerics != numerics
            or loaded.incarnation != current.incarnation
            or current.incarnation == history.ended
        )
        incarnation = current.incarnation + begins
    return Start(
        loaded=loaded, from_checkpoint=bool(usable), incarnation=incarnation, begins=begins
    )


def next_incarnation(start: Start) -> Start:
    """Load the same state again, but go on in the next incarnation."""
    return msgspec.structs.replace(start, incarnation=start.incarnation + 1, begins=True)


def _is_usable(history: History, policy: PolicyId) -> bool:
    return (
        policy.incarnation in history.incarnations
        and history.owner(policy.version) == policy.incarnation
        and policy.version <= history.last_version(policy.incarnation)
    )
