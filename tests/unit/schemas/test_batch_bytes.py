"""How large a batch can get, told from its settings alone."""

import random

import msgspec
import pytest

from schemas.batch import Batch, Row, most_rows
from schemas.policy import PolicyId
from schemas.wire import encode_own

LONGEST = "abcdefgh" * 8


def worst_batch(num_rows: int, group_size: int) -> Batch:
    """Every field at its longest, and nothing in it twice."""
    noise = random.Random(num_rows)
    rows = tuple(
        Row(
            segment=f"{noise.randrange(10**15, 10**16)}-{noise.randbytes(32).hex()}",
            offset=noise.randrange(2**52, 2**53),
            length=noise.randrange(2**52, 2**53),
            sha256=noise.randbytes(32).hex(),
            lease_id=noise.randrange(2**52, 2**53),
            actor=noise.randbytes(32).hex(),
            policy=PolicyId(*noise.choices(range(1 << 29, 999_999_999), k=2)),
            advantages=tuple(noise.random() for _ in range(group_size)),
            num_tokens=tuple(noise.randrange(2**52, 2**53) for _ in range(group_size)),
        )
        for _ in range(num_rows)
    )
    batch = Batch(
        run=LONGEST,
        step=999_999_999,
        rows=rows,
        previous_sha256=noise.randbytes(32).hex(),
        instance=LONGEST,
    )
    return msgspec.msgpack.decode(msgspec.msgpack.encode(batch), type=Batch)


@pytest.mark.parametrize(("max_bytes", "group_size"), [(4 << 20, 8), (1 << 20, 256), (8192, 2)])
def test_so_many_rows_fit_and_one_more_may_not(max_bytes: int, group_size: int) -> None:
    num_rows = most_rows(max_bytes, group_size)
    assert len(encode_own(worst_batch(num_rows, group_size))) <= max_bytes
    document = msgspec.msgpack.encode(worst_batch(num_rows, group_size))
    assert len(document) <= max_bytes - 512
    assert len(document) / num_rows * (num_rows + 1) > max_bytes - 1024


def test_where_no_row_fits_there_is_none() -> None:
    assert most_rows(1000, 256) == 0
