"""What becomes of a message on a rollouts subject, and why."""

from enum import StrEnum

from msgspec import Struct

from schemas.types import Count, Detail, Sha256, Token


class Outcome(StrEnum):
    """The verdict. Every judged message has exactly one."""

    ACCEPTED = "accepted"
    """Its rewards are verified; it waits for a batch, or carries no signal."""
    STALE = "stale"
    """Made with a policy older than the staleness limit: looked for behind `subject`."""
    LATE = "late"
    """Its lease had expired or been abandoned before it arrived: looked for behind
    `lease-foreign`."""
    DUPLICATE = "duplicate"
    """Its lease has been answered, and that was accepted or refused: looked for with `late`."""
    REJECTED = "rejected"
    """Something in it is wrong; the reason says what."""


class Reason(StrEnum):
    """Why a message was rejected. They are looked for in this order, and the first one is said.

    The last three are not looked for: they end the look at a message that has been taken up.
    """

    NONE = ""
    """Not rejected."""
    SUBJECT = "subject"
    """The subject is not that of a group, or names another run or shard."""
    CUT_OFF = "cut-off"
    """The sender is cut off: nothing of his is looked at until he is let in again."""
    OVERSIZE = "oversize"
    """More bytes, on the wire or decompressed, than the run allows."""
    ENVELOPE = "envelope"
    """Not our magic, an unknown schema version, or a broken or trailing zstd frame."""
    SCHEMA = "schema"
    """Not the message it should be: a field is missing, unknown, of another type, out of bounds."""
    MISMATCH = "subject-payload-mismatch"
    """Subject and payload name different runs, actors or policies, or the policy is not that of its
    oldest span."""
    POLICY_UNKNOWN = "policy-unknown"
    """Made with a policy that was never announced, or whose manifest digest differs. For the policy
    in the subject it is looked for behind `subject`."""
    LEASE_UNKNOWN = "lease-unknown"
    """No such lease was issued."""
    LEASE_FOREIGN = "lease-foreign"
    """The lease was issued to another actor."""
    LEASE_TERMS = "lease-terms"
    """Not what the lease asked for: shard or number of rollouts."""
    POLICY_OLD = "policy-older-than-lease"
    """Made with an older policy than the lease asked for."""
    TOKENS = "tokens"
    """Ids outside the vocabulary, lengths that disagree, log-probabilities that cannot be, or a
    completion that does not end as sampling ends."""
    RENDERING = "rendering"
    """A token that the environment renders is not the one that it renders. A rollout whose arrays
    have the right shape is compared turn by turn, for this and for the ends of completions."""
    REWARD_MISMATCH = "reward-mismatch"
    """A claimed reward is not the recomputed one."""
    MEMORY = "memory-limit"
    """Judging it took more memory than any honest group can need."""
    CPU = "cpu-limit"
    """Judging it took more CPU time than any honest group can need."""
    JUDGING_FAILED = "judging-failed"
    """The environment failed on it. The learner is at fault, not the actor; its log says how."""


class Verdict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Word to the actor about one of its messages."""

    stream: Token
    sequence: Count
    """Where the message stood in the queue, as the ledger names it; an actor goes by the digest."""
    sha256: Sha256
    """Of the message's wire bytes."""
    actor: Token
    lease_id: Count | None
    """None when the message could not be decoded far enough to know."""
    outcome: Outcome
    reason: Reason = Reason.NONE
    detail: Detail = ""
    """For the actor to read: what was expected and what was found."""
