"""What a worker finds out about a message, from its bytes alone: no verdict yet.

The verdict depends on the rest of the run too, see `learner.coordinator.verdicts`.
"""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.ledger import RewardParts, Rewards
from schemas.policy import PolicyId
from schemas.rollout import MAX_SPANS
from schemas.types import Detail, Sha256
from schemas.verdict import Reason


class Claim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a decoded group says of itself."""

    lease_id: int
    policy: PolicyId
    manifest_sha256: Sha256
    policies: Annotated[tuple[PolicyId, ...], Meta(min_length=1, max_length=MAX_SPANS)]
    """Of all its spans, each once, the oldest first."""


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The worker's answer."""

    reason: Reason = Reason.NONE
    """NONE: nothing is wrong with the message itself."""
    detail: Detail = ""
    claim: Claim | None = None
    """None when it did not decode."""
    lease_is_open: bool = False
    """The lease is one of the sender's open ones."""
    rewards: Rewards = ()
    parts: RewardParts = ()
    num_tokens: tuple[int, ...] = ()
    traceback: str = ""
    """Of an environment that failed; for the operator, not for the actor."""
