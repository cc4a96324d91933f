"""How an operator names a group or a message."""

import re
from typing import NamedTuple

from schemas import names
from schemas.errors import UserError

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
