"""Which colour a fate has: the same one in every picture."""

from typing import Final

_CLASSES: Final = {
    "accepted": "accepted",
    "in a batch": "batch",
    "batch": "batch",
    "policy": "batch",
    "no signal": "quiet",
    "waiting": "waiting",
    "still open": "waiting",
    "too old at the cut": "stale",
    "stale": "stale",
    "late": "late",
    "expired": "late",
    "given back": "late",
    "duplicate": "quiet",
    "leases issued": "asked",
    "messages that end no lease": "asked",
}


def class_of(fate: str) -> str:
    """The class of a verdict or another fate; rejections for any reason share one."""
    return _CLASSES.get(fate, "rejected")
