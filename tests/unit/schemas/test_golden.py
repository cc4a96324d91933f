"""Old messages must decode: the bytes of one example of every message, as first written.

A schema change that breaks these needs a new schema version; then the old bytes stay and new ones
are added. `python tests/unit/schemas/test_golden.py` writes what is missing, and changes nothing.
"""

from pathlib import Path

import msgspec
import pytest

from schemas import wire
from tests.support.examples import EXAMPLES

GOLDEN = Path(__file__).parents[2] / "golden" / f"v{wire.SCHEMA_VERSION}"
NAMES = [f"{index:02}-{type(message).__name__}" for index, message in enumerate(EXAMPLES)]
CASES = list(zip(NAMES, EXAMPLES, strict=True))


@pytest.mark.parametrize(("name", "message"), CASES, ids=NAMES)
def test_golden_bytes_decode_to_the_message(name, message):
    data = (GOLDEN / name).read_bytes()
    assert wire.decode(data, type(message)) == message


@pytest.mark.parametrize(("name", "message"), CASES, ids=NAMES)
def test_the_document_inside_is_written_as_it_was(name, message):
    """The msgpack, not the zstd frame, whose bytes may differ between versions of zstd."""
    written = wire._open_envelope((GOLDEN / name).read_bytes(), 1 << 20, 1 << 20)
    assert msgspec.msgpack.encode(message) == written


def test_there_is_no_golden_file_without_an_example():
    assert {path.name for path in GOLDEN.iterdir()} == set(NAMES)


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, message in CASES:
        if not (GOLDEN / name).exists():
            (GOLDEN / name).write_bytes(wire.encode(message))
