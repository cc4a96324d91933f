"""Which groups an export is of: one by its id, those of some steps, or those of some leases.

Steps come as plain numbers, because a range of steps is what was trained on: `12..20`, `12..`,
`..20`. A range of leases says so: `lease-7..40`.
"""

import re
from typing import NamedTuple

from broker.look.message import Message, Messages
from schemas.errors import UserError

_RANGE = re.compile(r"^(lease-)?([0-9]{0,15})\.\.(?:lease-)?([0-9]{0,15})\Z")


class Steps(NamedTuple):
    """The rows of these batches, both ends included."""

    first: int
    last: int | None
    """None: the last there is."""


class Leases(NamedTuple):
    """Every judged message that names one of these leases, both ends included."""

    first: int
    last: int | None


def parse_range(text: str) -> Steps | Leases | None:
    """Read a range; None for what is an id.

    >>> parse_range("12..20"), parse_range("lease-7.."), parse_range("s0:12")
    (Steps(first=12, last=20), Leases(first=7, last=None), None)

    Raises:
        UserError: it is neither, or ends before it begins.
    """
    if ".." not in text:
        return None
    matched = _RANGE.match(text)
    if matched is None:
        raise UserError(
            f"{text[:80]!r} is no range: of steps it is 12..20, 12.. or ..20, of leases lease-7..40"
        )
    kind = Leases if matched[1] else Steps
    found = kind(int(matched[2] or 0), int(matched[3]) if matched[3] else None)
    if found.last is not None and found.last < found.first:
        raise UserError(f"{text} ends before it begins")
    return found


def select(messages: Messages, chosen: Steps | Leases) -> list[Message]:
    """The messages of a range: rows in the order of their batches, answers by their leases.

    Raises:
        UserError: there are none.
    """
    match chosen:
        case Steps(first=first, last=last):
            steps = [cut.batch.step for cut in messages.tally.batches]
            found = [
                message
                for step in steps
                if first <= step and (last is None or step <= last)
                for message in messages.of_step(step)
            ]
            there = f"steps {steps[0]} to {steps[-1]}" if steps else "no step yet"
        case Leases(first=first, last=last):
            found = [
                message
                for message in messages
                if message.lease_id is not None
                and first <= message.lease_id
                and (last is None or message.lease_id <= last)
            ]
            found.sort(key=lambda message: (message.lease_id, message.stream, message.sequence))
            count = len(messages.tally.leases)
            there = f"leases 0 to {count - 1}" if count else "no lease yet"
    if not found:
        raise UserError(f"nothing is in this range: run {messages.run} has {there}")
    return found
