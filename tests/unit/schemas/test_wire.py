"""The codec's guards: what is wrong is refused with its reason, cheaply, and by nothing else."""

import contextlib
import math
import random
import struct
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import wire
from schemas.errors import MessageTooLarge, Rejected
from schemas.lease import LeaseRequest
from schemas.policy import PolicyAnnouncement, Signed
from schemas.rollout import RolloutGroup
from schemas.types import MAX_WIRE_BYTES
from schemas.verdict import Reason
from tests.support.examples import ANNOUNCEMENT, EXAMPLES, GROUP

PREFIX = wire.MAGIC + bytes([wire.SCHEMA_VERSION])
KINDS = st.sampled_from([RolloutGroup, LeaseRequest])


def framed(document: bytes, **options: object) -> bytes:
    return PREFIX + zstandard.ZstdCompressor(**options).compress(document)


def lying_frame(document: bytes, claimed: int) -> bytes:
    """A frame whose header claims another content size (4-byte field)."""
    frame = bytearray(zstandard.ZstdCompressor().compress(document))
    end = zstandard.frame_header_size(bytes(frame))
    frame[end - 4 : end] = struct.pack("<I", claimed)
    return PREFIX + bytes(frame)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_every_message_survives_the_wire(message):
    assert wire.decode(wire.encode(message), type(message)) == message


@pytest.mark.parametrize("figure", [math.inf, -math.inf, math.nan])
def test_no_announcement_has_a_figure_that_is_not_finite(figure):
    announcement = replace(ANNOUNCEMENT, metrics=replace(ANNOUNCEMENT.metrics, grad_norm=figure))
    with pytest.raises(Rejected) as refusal:
        wire.decode(wire.encode(announcement), PolicyAnnouncement)
    assert refusal.value.reason is Reason.SCHEMA


def bomb() -> bytes:
    return framed(bytes(1 << 28))


def nested(depth: int) -> bytes:
    return framed(b"\x91" * depth + b"\xc0")


HOSTILE = {
    "empty": (b"", Reason.ENVELOPE),
    "magic alone": (wire.MAGIC, Reason.ENVELOPE),
    "prefix alone": (PREFIX, Reason.ENVELOPE),
    "other magic": (b"GRIB\x01" + wire.encode(GROUP)[5:], Reason.ENVELOPE),
    "future version": (wire.MAGIC + b"\x63" + wire.encode(GROUP)[5:], Reason.ENVELOPE),
    "not zstd": (PREFIX + b"hello, world", Reason.ENVELOPE),
    "truncated": (wire.encode(GROUP)[:-3], Reason.ENVELOPE),
    "trailing bytes": (wire.encode(GROUP) + b"x", Reason.ENVELOPE),
    "second frame": (wire.encode(GROUP) + wire.encode(GROUP)[5:], Reason.ENVELOPE),
    "bomb": (bomb(), Reason.OVERSIZE),
    "bomb that claims to be small": (lying_frame(bytes(1 << 28), 1000), Reason.ENVELOPE),
    "no declared size": (framed(b"x", write_content_size=False), Reason.OVERSIZE),
    "oversize on the wire": (PREFIX + bytes(MAX_WIRE_BYTES), Reason.OVERSIZE),
    "array of 4 billion": (framed(b"\xdd\xff\xff\xff\xff"), Reason.SCHEMA),
    "map of 4 billion": (framed(b"\xdf\xff\xff\xff\xff"), Reason.SCHEMA),
    "bytes of 4 billion": (framed(b"\xc6\xff\xff\xff\xff"), Reason.SCHEMA),
    "deep nesting": (nested(1_000_000), Reason.SCHEMA),
    "another message": (framed(msgspec.msgpack.encode({"a": 1})), Reason.SCHEMA),
    "unknown field": (
        framed(msgspec.msgpack.encode(msgspec.to_builtins(GROUP) | {"extra": 1})),
        Reason.SCHEMA,
    ),
    "invalid text": (framed(b"\x81\xa3run\xa2\xff\xfe"), Reason.SCHEMA),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_with_their_reason(name):
    data, reason = HOSTILE[name]
    with pytest.raises(Rejected) as refusal:
        wire.decode(data, RolloutGroup)
    assert refusal.value.reason is reason
    assert len(refusal.value.detail) <= 500
    # Nothing of them is left for what comes next.
    assert wire.decode(wire.encode(GROUP), RolloutGroup) == GROUP


def test_threads_decode_side_by_side():
    data = wire.encode(GROUP)
    with ThreadPoolExecutor(max_workers=4) as threads:
        decoded = threads.map(lambda _: wire.decode(data, RolloutGroup), range(2000))
    assert all(group == GROUP for group in decoded)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_cheap(name):
    data, _ = HOSTILE[name]
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(Rejected):
            wire.decode(data, RolloutGroup)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 0.25
    assert peak < 64 << 20


@given(KINDS, st.binary(max_size=2000))
def test_random_bytes_raise_nothing_else(kind, data):
    with pytest.raises(Rejected):
        wire.decode(data, kind)


@given(KINDS, st.binary(max_size=500))
def test_random_documents_raise_nothing_else(kind, document):
    with pytest.raises(Rejected):
        wire.decode(framed(document), kind)


@given(st.integers(0, len(wire.encode(GROUP)) - 1), st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_decodes(position, bit):
    data = bytearray(wire.encode(GROUP))
    data[position] ^= 1 << bit
    with contextlib.suppress(Rejected):
        assert isinstance(wire.decode(bytes(data), RolloutGroup), RolloutGroup)


def test_what_we_wrote_may_be_larger_than_what_a_stranger_sends():
    own = Signed(payload=bytes(wire.MAX_DECODED_BYTES + 1), signature=bytes(64))
    data = wire.encode_own(own)
    with pytest.raises(Rejected) as raised:
        wire.decode(data, Signed)
    assert raised.value.reason is Reason.OVERSIZE
    assert wire.decode_own(data, Signed) == own


def test_nobody_encodes_what_its_reader_refuses():
    empty = len(msgspec.msgpack.encode(Signed(payload=bytes(1 << 20), signature=bytes(64)))) - (
        1 << 20
    )
    largest = wire.MAX_DECODED_BYTES - empty
    fits = Signed(payload=bytes(largest), signature=bytes(64))
    assert wire.decode(wire.encode(fits), Signed) == fits
    for payload, said in (
        (bytes(largest + 1), "before compression"),
        (random.Random(0).randbytes(largest), "a message has at most 4194304"),
    ):
        with pytest.raises(MessageTooLarge, match=said):
            wire.encode(Signed(payload=payload, signature=bytes(64)))


def test_what_we_wrote_has_bounds_too():
    with pytest.raises(Rejected) as raised:
        wire.decode_own(framed(bytes((256 << 20) + 1)), Signed)
    assert raised.value.reason is Reason.OVERSIZE
