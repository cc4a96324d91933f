"""One optimizer step's rows, written once, before the step: the commit point of training."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from schemas.policy import PolicyId
from schemas.types import Count, SegmentName, Sha256, Token

_ENVELOPE_BYTES = 1024
"""Around the rows: our own five, the frame and the blocks of zstd, the length of a longer list."""


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One accepted group: where its wire bytes are, and what it counts."""

    segment: SegmentName
    offset: Count
    length: Count
    """Bytes of the segment that are this group's wire bytes."""
    sha256: Sha256
    """Of those bytes."""
    lease_id: Count
    actor: Token
    policy: PolicyId
    advantages: Annotated[tuple[float, ...], Meta(min_length=1, max_length=256)]
    """One per rollout: its reward minus the group's mean."""
    num_tokens: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=256)]
    """Tokens of each rollout, prompt included: ranks agree on a packing before they read."""


class Batch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rows of step `step`, which turns version step - 1 into version step."""

    run: Token
    """As in its subject: here the digest in the next batch covers it."""
    step: Annotated[int, Meta(ge=1, le=999_999_999)]
    rows: Annotated[tuple[Row, ...], Meta(min_length=1, max_length=65_536)]
    previous_sha256: Sha256 | None
    """Of the wire bytes of the batch before it; None in the first."""
    instance: Token
    """Of the coordinator that cut it."""


def most_rows(max_bytes: int, group_size: int) -> int:
    """Rows that fit into a message of so many bytes, whatever they hold and however badly they
    compress."""
    digest, token, count = "f" * 64, "x" * 64, 2**53
    row = Row(
        segment=f"{10**16 - 1}-{digest}",
        offset=count,
        length=count,
        sha256=digest,
        lease_id=count,
        actor=token,
        policy=PolicyId(999_999_999, 999_999_999),
        advantages=(0.1,) * group_size,
        num_tokens=(count,) * group_size,
    )
    batch = Batch(run=token, step=999_999_999, rows=(row,), previous_sha256=digest, instance=token)
    size, size_of_row = len(msgspec.msgpack.encode(batch)), len(msgspec.msgpack.encode(row))
    return max(0, (max_bytes - _ENVELOPE_BYTES - size) // size_of_row + 1)


def staleness(step: int, version: int) -> int:
    """How many versions behind a row of version `version` is in the batch of step `step`.

    That batch turns version step - 1 into version step.

    >>> staleness(step=8, version=5)
    2
    """
    return step - 1 - version
