"""What the actors of `broker top` can be sorted by. Light: the command line names them all."""

from enum import StrEnum


class Sort(StrEnum):
    """The columns, from left to right."""

    ACTOR = "actor"
    TIER = "tier"
    STATE = "state"
    POLICY = "policy"
    """The one that it holds."""
    GROUPS = "groups"
    """Judged per minute."""
    TOKENS = "tokens"
    """Per second."""
    BYTES = "bytes"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    PURGED = "purged"
    """Removed from a queue without a verdict."""
    LEASES = "leases"
    """Open ones."""
    STALENESS = "staleness"
    LATENCY = "latency"
    REASONS = "reasons"
