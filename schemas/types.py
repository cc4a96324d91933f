"""Bounded scalars that several messages share, and the bound on a message."""

from typing import Annotated, Final

from msgspec import Meta

TOKEN_PATTERN = r"^[A-Za-z0-9_-]{1,64}\Z"
"""One dot-separated part of a subject: no separator, no wildcard (see `schemas.names`)."""

Token = Annotated[str, Meta(pattern=TOKEN_PATTERN)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
SegmentName = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,15}-[0-9a-f]{64}\Z")]
"""`<term of the coordinator that wrote it>-<sha256 of its bytes>`"""
Count = Annotated[int, Meta(ge=0, le=2**53)]
Reward = Annotated[float, Meta(ge=-1e6, le=1e6)]
"""Of one rollout; finite."""
Subject = Annotated[str, Meta(min_length=1, max_length=4096)]
"""Of a stored message, or a pattern of them; who publishes chooses it."""
Index = Annotated[int, Meta(ge=0, le=999_999_999)]
Detail = Annotated[str, Meta(max_length=500)]
"""A sentence for a person to read."""

MAX_WIRE_BYTES: Final = 4 << 20
"""Largest message that a queue can be told to take; our servers take its headers too."""
