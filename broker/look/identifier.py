"""How an operator names a group or a message."""

import re
from typing import Final, NamedTuple

from broker.inventory import short_name
from broker.tally import Tally
from schemas import names
from schemas.errors import UserError
from schemas.nearest import nearest

_SHORTEST_DIGEST: Final = 8

_LEASE = re.compile(r"^(?:lease-)?([0-9]{1,15})\Z")
_MESSAGE = re.compile(r"^([A-Za-z0-9_-]{1,64}):([0-9]{1,15})\Z")
_DIGEST = re.compile(r"^[0-9a-f]{8,64}\Z")


class Place(NamedTuple):
    """Where a message is, or was."""

    stream: str
    sequence: int


class Identifier(NamedTuple):
    """What an id may mean. Digits are a lease first, and the beginning of a digest if not."""

    lease_id: int | None = None
    place: Place | None = None
    digest: str = ""


def parse_identifier(run: str, text: str) -> Identifier:
    """Read `7`, `lease-7`, `s0:12` or the beginning of a message's sha256.

    Raises:
        UserError: it is none of these.
    """
    if message := _MESSAGE.match(text):
        stream = names.rollouts_stream(run, message[1])
        return Identifier(place=Place(stream, int(message[2])))
    lease = _LEASE.match(text)
    digest = text if _DIGEST.match(text) else ""
    if lease or digest:
        return Identifier(lease_id=int(lease[1]) if lease else None, digest=digest)
    raise UserError(
        f"{text[:80]!r} is no id: a lease is 7 or lease-7, a message s0:12, "
        "a digest at least 8 of its hex digits"
    )


def nothing_has(run: str, text: str, known: Tally) -> UserError:
    """What to raise where nothing in a run has an id: it says which ids there are.

    Raises:
        UserError: it is no id at all.
    """
    identifier = parse_identifier(run, text)
    sentence = f"nothing in run {run} has the id {text[:80]}"
    if identifier.place is not None:
        return UserError(f"{sentence}; {_messages(run, identifier.place, known)}")
    if identifier.lease_id is not None and len(text) < _SHORTEST_DIGEST:
        leases = (
            f"leases {min(known.leases)} to {max(known.leases)}" if known.leases else "no lease"
        )
        return UserError(f"{sentence}; it has {leases}")
    return UserError(sentence)


def _messages(run: str, place: Place, known: Tally) -> str:
    """Which messages of a shard the log knows, or which shards there are."""
    shards = known.opened.settings.intake.shards if known.opened else ()
    shard = short_name(run, place.stream)
    if shard not in shards:
        near = nearest(shard, shards)
        return f"the nearest shard is {near}" if near else f"its shards are {', '.join(shards)}"
    last = max((number for stream, number in known.judged if stream == place.stream), default=0)
    return f"the last judged message of {shard} is {last}" if last else f"{shard} has none judged"
