"""What an actor publishes: one group, the rollouts of one lease."""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas import arrays
from schemas.errors import Rejected
from schemas.lease import MAX_GROUP_SIZE, EngineProfile
from schemas.policy import PolicyId
from schemas.types import Count, Index, Reward, Sha256, Token
from schemas.verdict import Reason

MAX_ROLLOUT_TOKENS = 1 << 18
MAX_TRACE_BYTES = 1 << 18
MIN_LOGPROB = -64.0
"""No sampler draws a token this unlikely: its noise has 52 bits. A smaller value would make the
importance ratio overflow, and with it the whole step."""
MAX_SPANS = 128
"""Policies that one rollout may see go by."""
_TOKEN_BYTES: Final = 4 + 1 + 4
"""Its id, its place in the mask, its log-probability."""
_ROLLOUT_BYTES: Final = 160
_GROUP_BYTES: Final = 800
"""All that has no token: field names, lengths, ids, the profile, one span a rollout."""


class Finish(StrEnum):
    """Why the last completion of a rollout ended."""

    STOP = "stop"
    """A stop id was sampled; it is the last sampled token."""
    LENGTH = "length"
    """max_new_tokens were sampled."""


class VersionSpan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of sampled tokens that one policy made."""

    num_tokens: Annotated[int, Meta(ge=1, le=MAX_ROLLOUT_TOKENS)]
    """Sampled tokens, counted in order; the spans of a rollout add up to all of them."""
    policy: PolicyId


class Rollout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One completion of a task with its interaction. T tokens, of which S are sampled.

    Example: prompt [5, 6], sampled [7, 2] gives token_ids [5, 6, 7, 2], loss_mask [0, 0, 1, 1] and
    logprobs of 7 and of 2.
    """

    token_ids: Annotated[bytes, Meta(min_length=8, max_length=4 * MAX_ROLLOUT_TOKENS)]
    """u32, T values: prompt, completions and what the environment put between them."""
    loss_mask: Annotated[bytes, Meta(min_length=2, max_length=MAX_ROLLOUT_TOKENS)]
    """u8, T values: 1 where the policy sampled the token, 0 where the environment rendered it."""
    logprobs: Annotated[bytes, Meta(min_length=4, max_length=4 * MAX_ROLLOUT_TOKENS)]
    """f32, S values: behaviour log-probabilities of the sampled tokens, in nats."""
    spans: Annotated[tuple[VersionSpan, ...], Meta(min_length=1, max_length=MAX_SPANS)]
    finish: Finish
    claimed_reward: Reward
    """What the actor computed, for its own screen; the learner computes its own."""
    trace: Annotated[bytes, Meta(max_length=MAX_TRACE_BYTES)] = b""
    """What the environment needs beside the tokens to compute the reward again. Reserved: those
    that there are need nothing, so a rollout that has one is refused."""


class RolloutGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rollouts of one lease: one message, one verification, one advantage baseline."""

    run: Token
    lease_id: Count
    actor: Token
    policy: PolicyId
    """The oldest one that sampled any token of it: the smallest version, then incarnation."""
    manifest_sha256: Sha256
    """Of that policy's manifest."""
    profile: EngineProfile
    rollouts: Annotated[tuple[Rollout, ...], Meta(min_length=1, max_length=MAX_GROUP_SIZE)]


def largest_group_bytes(num_rollouts: int, num_tokens: int) -> int:
    """Bytes of a group that one policy made, before compression, at most; and so on the wire."""
    return _GROUP_BYTES + num_rollouts * (_ROLLOUT_BYTES + _TOKEN_BYTES * num_tokens)


def check_shape(
    rollout: Rollout, vocabulary_size: Index, extremes: arrays.Extremes = arrays.extremes
) -> None:
    """Check what `Meta` bounds cannot see inside the arrays; `extremes` may be a faster one.

    Raises:
        Rejected: with Reason.TOKENS, when lengths disagree, a mask value is not 0 or 1, the first
            token is a sampled one, an id is outside the vocabulary, or a log-probability is not a
            number from MIN_LOGPROB to 0.
    """
    if len(rollout.token_ids) % 4 or len(rollout.logprobs) % 4:
        raise Rejected(Reason.TOKENS, "an array is cut in the middle of a value")
    num_tokens, num_sampled = len(rollout.token_ids) // 4, len(rollout.logprobs) // 4
    mask, num_ones = rollout.loss_mask, rollout.loss_mask.count(1)
    if len(mask) != num_tokens:
        raise Rejected(Reason.TOKENS, f"{num_tokens} tokens but {len(mask)} mask values")
    if mask.count(0) + num_ones != num_tokens or mask[0] != 0:
        raise Rejected(Reason.TOKENS, "the mask must be 0 and 1, and 0 at the first token")
    if num_ones != num_sampled:
        raise Rejected(
            Reason.TOKENS, f"{num_ones} sampled tokens but {num_sampled} log-probabilities"
        )
    if sum(span.num_tokens for span in rollout.spans) != num_sampled:
        raise Rejected(Reason.TOKENS, "the version spans do not add up to the sampled tokens")
    _, largest_id = extremes("I", rollout.token_ids)
    if largest_id >= vocabulary_size:
        raise Rejected(Reason.TOKENS, f"a token id is outside the vocabulary of {vocabulary_size}")
    smallest, largest = extremes("f", rollout.logprobs)
    # NaN compares false with everything, so the test is written to fail on it.
    if not MIN_LOGPROB <= smallest <= largest <= 0.0:
        raise Rejected(
            Reason.TOKENS, f"log-probabilities must be numbers from {MIN_LOGPROB:g} to 0"
        )
