"""The wire codec: one message is `TRIB`, one version byte, and one zstd frame of msgpack.

Decoding treats its input as hostile. The guards act before anything is allocated: the size on the
wire, the magic, the schema version, the content size and the window that the zstd header declares.
The one-shot decompressor then cannot write more than the declared size. (`max_output_size` alone is
no guard: zstandard ignores it when the header declares a size.)

Two different byte strings may decode to the same message, so digests, signatures and deduplication
are always taken over the wire bytes.
"""

import hashlib
import threading
from typing import Final, TypeVar

import msgspec
import zstandard

from schemas.errors import MessageTooLarge, Rejected
from schemas.types import MAX_WIRE_BYTES
from schemas.verdict import Reason

MAGIC: Final = b"TRIB"
SCHEMA_VERSION: Final = 1
_PREFIX: Final = MAGIC + bytes([SCHEMA_VERSION])

MAX_DECODED_BYTES: Final = 4 << 20
"""Largest msgpack document inside a message. As one text of four bytes a character, twice over, it
takes ten times that to refuse: 40 MiB of the 64 that judging may take (80 if it were 8 MiB)."""
MAX_OWN_WIRE_BYTES: Final = 64 << 20
_MAX_OWN_DECODED_BYTES: Final = 256 << 20
"""Far above what a server stores as one message, which is what binds a writer of our own."""
_MAX_WINDOW_BYTES: Final = 8 << 20
_ZSTD_LEVEL: Final = 3
_of_thread = threading.local()
"""Holds the decompressor of each thread: making one costs more than most messages do."""

T = TypeVar("T")


def sha256_hex(data: bytes) -> str:
    """Digest of wire bytes: the archive's and the manifests' digest."""
    return hashlib.sha256(data).hexdigest()


def encode(message: msgspec.Struct) -> bytes:
    """Encode a message to its wire bytes.

    Raises:
        MessageTooLarge: `decode` would refuse it.
    """
    return _encode(message, MAX_WIRE_BYTES, MAX_DECODED_BYTES)


def encode_own(message: msgspec.Struct) -> bytes:
    """Encode what only `decode_own` reads.

    Raises:
        MessageTooLarge: it would refuse it.
    """
    return _encode(message, MAX_OWN_WIRE_BYTES, _MAX_OWN_DECODED_BYTES)


def decode(
    data: bytes,
    kind: type[T],
    *,
    max_wire_bytes: int = MAX_WIRE_BYTES,
    max_decoded_bytes: int = MAX_DECODED_BYTES,
) -> T:
    """Decode wire bytes to a message of the given kind.

    Raises:
        Rejected: for whatever is wrong with the bytes; nothing else is raised.
    """
    document = _open_envelope(data, max_wire_bytes, max_decoded_bytes)
    try:
        return msgspec.msgpack.decode(document, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Rejected(Reason.SCHEMA, str(error)[:300]) from None


def decode_own(data: bytes, kind: type[T]) -> T:
    """Decode what we wrote: a record of LOG or POLICIES, or a group that passed intake.

    Such bytes may be larger than a stranger's. Every reader has the same bounds, so that none
    refuses what another one wrote.

    Raises:
        Rejected: they are not what we write.
    """
    return decode(
        data,
        kind,
        max_wire_bytes=MAX_OWN_WIRE_BYTES,
        max_decoded_bytes=_MAX_OWN_DECODED_BYTES,
    )


def _encode(message: msgspec.Struct, max_wire_bytes: int, max_decoded_bytes: int) -> bytes:
    document = msgspec.msgpack.encode(message)
    if len(document) > max_decoded_bytes:
        raise MessageTooLarge(
            f"{len(document)} bytes before compression, a message has at most {max_decoded_bytes}"
        )
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_content_size=True)
    data = _PREFIX + compressor.compress(document)
    if len(data) > max_wire_bytes:
        raise MessageTooLarge(f"{len(data)} bytes, a message has at most {max_wire_bytes}")
    return data


def _open_envelope(data: bytes, max_wire_bytes: int, max_decoded_bytes: int) -> bytes:
    if len(data) > max_wire_bytes:
        raise Rejected(Reason.OVERSIZE, f"{len(data)} bytes on the wire, limit {max_wire_bytes}")
    if data[: len(MAGIC)] != MAGIC or len(data) <= len(_PREFIX):
        raise Rejected(Reason.ENVELOPE, "does not begin as a Tributary message does")
    if data[len(MAGIC)] != SCHEMA_VERSION:
        raise Rejected(
            Reason.ENVELOPE,
            f"schema version {data[len(MAGIC)]}, this side reads {SCHEMA_VERSION}: please update",
        )
    frame = memoryview(data)[len(_PREFIX) :]
    try:
        parameters = zstandard.get_frame_parameters(frame)
        # The binding reports a size that the header does not declare as 2**64 - 1 (or - 2).
        if parameters.content_size > max_decoded_bytes:
            raise Rejected(
                Reason.OVERSIZE, f"declares more than {max_decoded_bytes} bytes, or no size"
            )
        if parameters.window_size > _MAX_WINDOW_BYTES:
            raise Rejected(Reason.OVERSIZE, f"zstd window above {_MAX_WINDOW_BYTES} bytes")
        return _decompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Rejected(Reason.ENVELOPE, f"broken zstd frame: {error}"[:300]) from None


def _decompressor() -> zstandard.ZstdDecompressor:
    """It remembers nothing of one frame when it begins the next."""
    try:
        return _of_thread.decompressor
    except AttributeError:
        made = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        _of_thread.decompressor = made
        return made
