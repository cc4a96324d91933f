"""Who sends more than anybody honest would: a bucket for each account, that runs over. Pure.

What an account has sent so far is looked at now and then. Each look pours into its buckets what has
come since the last one, and takes out what the rate allows; a bucket above its burst runs over.
"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from schemas.settings import PositiveInt


class Traffic(Struct, frozen=True, kw_only=True):
    """What servers have had from an account."""

    num_messages: int = 0
    """Also those that it has refused."""
    num_bytes: int = 0
    num_connects: int = 0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            num_messages=self.num_messages + other.num_messages,
            num_bytes=self.num_bytes + other.num_bytes,
            num_connects=self.num_connects + other.num_connects,
        )

    def __sub__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            num_messages=self.num_messages - other.num_messages,
            num_bytes=self.num_bytes - other.num_bytes,
            num_connects=self.num_connects - other.num_connects,
        )


class FloodLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one contributor may send. An honest one sends some heartbeats and lease requests, and
    a group for each lease; on a line that fails at once it connects twice a second."""

    messages_per_s: Annotated[
        PositiveInt, Meta(description="messages a second of one contributor, on average")
    ] = 100
    burst_messages: Annotated[
        PositiveInt, Meta(description="messages that may come at once beyond the average")
    ] = 1000
    bytes_per_s: Annotated[
        PositiveInt, Meta(description="bytes a second of one contributor, on average")
    ] = 16 << 20
    burst_bytes: Annotated[
        PositiveInt, Meta(description="bytes that may come at once beyond the average")
    ] = 96 << 20
    connects_per_s: Annotated[
        PositiveInt, Meta(description="new connections a second of one contributor, on average")
    ] = 4
    burst_connects: Annotated[
        PositiveInt, Meta(description="new connections that may come at once beyond the average")
    ] = 60


class _Bucket(Struct):
    seen: Traffic
    messages: float = 0.0
    num_bytes: float = 0.0
    connects: float = 0.0


class Meter:
    """Looks at the traffic of accounts."""

    def __init__(self, limits: FloodLimits) -> None:
        self._limits = limits
        self._buckets: dict[str, _Bucket] = {}
        self._last_look: float | None = None

    def look(self, now: float, traffic: Mapping[str, Traffic]) -> dict[str, str]:
        """Take in what each account has sent so far; returns whose bucket runs over, and why.

        `now` is in seconds on a clock that never goes back, and what an account has sent never gets
        less. Who is seen for the first time, or after a time away, is counted from there: nobody
        knows when he sent what he sent before.
        """
        elapsed_s = 0.0 if self._last_look is None else now - self._last_look
        self._last_look = now
        limits, over = self._limits, dict[str, str]()
        for account, total in traffic.items():
            bucket = self._buckets.setdefault(account, _Bucket(seen=total))
            came = total - bucket.seen
            bucket.seen = total
            bucket.messages = _fill(
                bucket.messages, came.num_messages, limits.messages_per_s * elapsed_s
            )
            bucket.num_bytes = _fill(
                bucket.num_bytes, came.num_bytes, limits.bytes_per_s * elapsed_s
            )
            bucket.connects = _fill(
                bucket.connects, came.num_connects, limits.connects_per_s * elapsed_s
            )
            if why := self._excess(bucket):
                over[account] = why
        for gone in self._buckets.keys() - traffic.keys():
            del self._buckets[gone]
        return over

    def _excess(self, bucket: _Bucket) -> str:
        limits = self._limits
        if bucket.messages > limits.burst_messages:
            return (
                f"flood: {bucket.messages:.0f} messages at once, {limits.burst_messages} are "
                f"allowed beside {limits.messages_per_s} a second"
            )
        if bucket.num_bytes > limits.burst_bytes:
            return (
                f"flood: {bucket.num_bytes:.0f} bytes at once, {limits.burst_bytes} are allowed "
                f"beside {limits.bytes_per_s} a second"
            )
        if bucket.connects > limits.burst_connects:
            return (
                f"flood: {bucket.connects:.0f} connections at once, {limits.burst_connects} are "
                f"allowed beside {limits.connects_per_s} a second"
            )
        return ""


def _fill(level: float, came: float, ran_out: float) -> float:
    """As if it came evenly: after looks that failed for a minute, a minute's work is no flood."""
    return max(0.0, level + came - ran_out)
