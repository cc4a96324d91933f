"""Which announcements in POLICIES count."""

import msgspec
import pytest

from broker.interface import Record
from broker.logbook import PolicyReader, Unreadable
from schemas.names import policy_subject, trainer_subject
from schemas.policy import PolicyId
from schemas.trainer_events import TrainerEntry
from schemas.wire import encode
from tests.support.histories import KEY, announcement, started

FORGERIES = {
    "garbage": (policy_subject("r"), b"\0\1\2"),
    "no event": (trainer_subject("r"), b"\0\1\2"),
    "something else": (policy_subject("r"), encode(TrainerEntry(event=started(1, 0)))),
    "signed by another key": (
        policy_subject("r"),
        encode(msgspec.structs.replace(announcement(1, 2), manifest_sha256="f" * 64)),
    ),
    "the last one again": (policy_subject("r"), encode(announcement(1, 1))),
    "an earlier one again": (policy_subject("r"), encode(announcement(1, 0))),
    "with other figures": (
        policy_subject("r"),
        encode(msgspec.structs.replace(announcement(1, 1), instance="somebody")),
    ),
}


def record(sequence: int, subject: str, data: bytes) -> Record:
    return Record(stream="POLICIES_r", subject=subject, sequence=sequence, time=0.0, data=data)


def announced(sequence: int, incarnation: int, version: int) -> Record:
    return record(sequence, policy_subject("r"), encode(announcement(incarnation, version)))


@pytest.mark.parametrize(("subject", "data"), FORGERIES.values(), ids=FORGERIES)
def test_what_the_trainer_did_not_write_announces_nothing(subject: str, data: bytes) -> None:
    """The log keeps it for ever, so that everybody has to live with it."""
    reader = PolicyReader("r", KEY.public)
    for sequence, version in enumerate((0, 1), start=1):
        reader.read(announced(sequence, 1, version))
    assert isinstance(reader.read(record(3, subject, data)).content, Unreadable)
    assert reader.read(announced(4, 1, 2)).content == announcement(1, 2)
    assert reader.last == announcement(1, 2)


def test_a_later_incarnation_announces_versions_again() -> None:
    reader = PolicyReader("r", KEY.public)
    for sequence, pair in enumerate([(1, 0), (1, 1), (1, 2), (2, 1)], start=1):
        reader.read(announced(sequence, *pair))
    assert reader.last is not None
    assert reader.last.policy == PolicyId(2, 1)
