"""What became of something: its words, and the one colour that it has in every picture.

The words are the ledger's and the audit's. A rejection says in plain words what was wrong, and then
the reason as the ledger has it.

>>> in_words("rejected(reward-mismatch)"), in_words("late")
('rejected, false reward claim (reward-mismatch)', 'late')
"""

from typing import Final

from broker.purged import purge_name
from learner.deeds import BATCH, POLICY
from schemas.purge import PurgeReason
from schemas.verdict import Outcome, Reason

_CLASSES: Final = {
    "accepted": "accepted",
    "in a batch": "batch",
    BATCH: "batch",
    POLICY: "batch",
    "no signal": "quiet",
    "waiting": "waiting",
    "open": "waiting",
    "stale at the cut": "stale",
    "stale": "stale",
    "late": "late",
    "expired": "late",
    "abandoned": "late",
    "duplicate": "quiet",
    "leases issued": "asked",
    "messages without an open lease": "asked",
}

PLAIN: Final = {
    Reason.SUBJECT: "not the subject of a group",
    Reason.CUT_OFF: "its sender is cut off",
    Reason.OVERSIZE: "too large",
    Reason.ENVELOPE: "broken envelope",
    Reason.SCHEMA: "not a group",
    Reason.MISMATCH: "subject and payload disagree",
    Reason.LEASE_UNKNOWN: "no such lease",
    Reason.LEASE_FOREIGN: "another actor's lease",
    Reason.LEASE_TERMS: "not what was leased",
    Reason.POLICY_UNKNOWN: "no such policy",
    Reason.POLICY_OLD: "older policy than leased",
    Reason.TOKENS: "impossible tokens",
    Reason.RENDERING: "not as the environment renders",
    Reason.REWARD_MISMATCH: "false reward claim",
    Reason.MEMORY: "too much memory to judge",
    Reason.CPU: "too much CPU time to judge",
    Reason.JUDGING_FAILED: "the learner failed to judge it",
}
"""Every reason for a rejection in a few words."""

_IN_WORDS: Final = {
    f"{Outcome.REJECTED}({reason})": f"{Outcome.REJECTED}, {plain} ({reason})"
    for reason, plain in PLAIN.items()
} | {
    purge_name(PurgeReason.CUT_OFF): "purged unseen, their sender was cut off (cut-off)",
    purge_name(PurgeReason.PURGED): "purged unseen, an operator wanted it (purged)",
}


def class_of(fate: str) -> str:
    """The class of a verdict or another fate; rejections for any reason share one."""
    return _CLASSES.get(fate, "rejected")


def in_words(fate: str) -> str:
    """A verdict or another fate as people read it."""
    return _IN_WORDS.get(fate, fate)
