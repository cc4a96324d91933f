"""The fence around a log: every write says which sequence it stands behind.

JetStream answers a resend of our own write exactly as it answers a write of ours that came too late
(err_code 10071; on three replicas also 10164 or `duplicate`), and no answer at all says nothing.
The record that stands there decides.
"""

from broker.interface import Record
from schemas.errors import BrokerError, BrokerUnavailable, Fenced
from schemas.wire import sha256_hex


class WrongLastSequence(BrokerError):
    """Raised when a stream does not end where a fenced write expects it to (10071)."""


def append_id(data: bytes, expected_last: int) -> str:
    """The message id of a fenced write: equal bytes at another place are another message."""
    return f"{sha256_hex(data)}-{expected_last}"


def settle(
    stream: str,
    subject: str,
    data: bytes,
    *,
    expected_last: int,
    found: Record | None,
    refused: bool,
) -> int:
    """The sequence of our write, told from the record found at `expected_last` + 1.

    `refused`: the server said that the log ends elsewhere, so nothing of ours is under way.

    Raises:
        Fenced: somebody else's record stands there, or the log has become shorter.
        BrokerUnavailable: nothing stands there yet.
    """
    if found is not None and (found.subject, found.data) == (subject, data):
        return found.sequence
    if found is None and not refused:
        raise BrokerUnavailable(f"{stream} did not confirm the write behind {expected_last}")
    raise Fenced(stream, expected_last)
