"""Our envelope against msgpack lists with zstd, and against Parquet with zstd.

The same groups in all three: 8 rollouts of 2,048 tokens, ids by a Zipf-like law over a vocabulary
of 151,552, log-probabilities as float32 with the spread of a sampled model; zstd level 3.
Decoding ends with the values in arrays that can be indexed.
"""

import io
import random
import time
from array import array
from collections.abc import Callable
from itertools import accumulate

import msgspec
import zstandard

from benchmarks.table import Figure, missing, of_rounds
from schemas import wire
from schemas.arrays import pack_f32, pack_u32, unpack_f32, unpack_u32
from schemas.lease import EngineProfile
from schemas.policy import PolicyId
from schemas.rollout import Finish, Rollout, RolloutGroup, VersionSpan

VOCABULARY = 151_552
NUM_ROLLOUTS = 8
NUM_TOKENS = 2048
Rows = list[tuple[list[int], list[int], list[float]]]
"""Token ids, mask and log-probabilities of each rollout."""
_PROFILE = EngineProfile(engine="b", version="1", dtype="f32", track="f32", max_context=4096)


def make_group(chance: random.Random) -> RolloutGroup:
    weights = list(accumulate(1.0 / (rank + 3) for rank in range(VOCABULARY)))
    policy = PolicyId(1, 0)
    rollouts = []
    for _ in range(NUM_ROLLOUTS):
        ids = chance.choices(range(VOCABULARY), cum_weights=weights, k=NUM_TOKENS)
        logprobs = [-chance.expovariate(1.5) for _ in range(NUM_TOKENS - 1)]
        rollouts.append(
            Rollout(
                token_ids=pack_u32(ids),
                loss_mask=b"\0" + b"\1" * (NUM_TOKENS - 1),
                logprobs=pack_f32(logprobs),
                spans=(VersionSpan(num_tokens=NUM_TOKENS - 1, policy=policy),),
                finish=Finish.LENGTH,
                claimed_reward=0.0,
            )
        )
    return RolloutGroup(
        run="bench",
        lease_id=1,
        actor="A",
        policy=policy,
        manifest_sha256="0" * 64,
        profile=_PROFILE,
        rollouts=tuple(rollouts),
    )


def measure(num_rounds: int = 25) -> list[Figure]:
    group = make_group(random.Random(0))
    ours, lists = wire.encode(group), _to_lists(group)
    num_tokens = NUM_ROLLOUTS * NUM_TOKENS
    sizes = f"{len(ours) / num_tokens:.2f} against {len(lists) / num_tokens:.2f} bytes per token"
    speeds = [_time(_from_lists, lists) / _time(_decode, ours) for _ in range(num_rounds)]
    figures = [
        of_rounds(
            [len(lists) / len(ours)],
            name="codec: size of msgpack lists / ours",
            unit="x",
            aim="above 1",
            how=f"both with zstd level 3; {sizes}",
        ),
        of_rounds(
            speeds,
            name="codec: decode time of msgpack lists / ours",
            unit="x",
            aim="above 1",
            how="to arrays; ours with all guards",
        ),
    ]
    return figures + _against_parquet(group, ours, num_rounds)


def _decode(data: bytes) -> list[tuple["array[int]", "array[float]"]]:
    group = wire.decode(data, RolloutGroup)
    return [(unpack_u32(one.token_ids), unpack_f32(one.logprobs)) for one in group.rollouts]


def _to_lists(group: RolloutGroup) -> bytes:
    rows = [
        (unpack_u32(one.token_ids).tolist(), list(one.loss_mask), _floats(one.logprobs))
        for one in group.rollouts
    ]
    # Single-precision floats, five bytes each in msgpack: the smallest that lists can be.
    return zstandard.compress(_pack_single(rows), 3)


def _floats(data: bytes) -> list[float]:
    return unpack_f32(data).tolist()


def _pack_single(rows: Rows) -> bytes:
    """msgpack with float32; msgspec writes only float64."""
    parts = [b"\xdd" + len(rows).to_bytes(4, "big")]
    for ids, mask, logprobs in rows:
        parts += [b"\x93", msgspec.msgpack.encode(ids), msgspec.msgpack.encode(mask)]
        parts.append(b"\xdd" + len(logprobs).to_bytes(4, "big"))
        big_endian = unpack_f32(pack_f32(logprobs))
        big_endian.byteswap()
        raw = big_endian.tobytes()
        parts += [b"\xca" + raw[place : place + 4] for place in range(0, len(raw), 4)]
    return b"".join(parts)


def _from_lists(data: bytes) -> Rows:
    return msgspec.msgpack.decode(zstandard.decompress(data), type=Rows)


def _against_parquet(group: RolloutGroup, ours: bytes, num_rounds: int) -> list[Figure]:
    size, decode = "codec: size of Parquet / ours", "codec: decode time of Parquet / ours"
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
        import pyarrow.parquet as parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        how = "pyarrow is not installed; it is no dependency"
        return [missing(name, unit="x", aim="above 1", how=how) for name in (size, decode)]
    table = pyarrow.table(
        {
            "token_ids": pyarrow.array(
                [unpack_u32(one.token_ids).tolist() for one in group.rollouts],
                pyarrow.list_(pyarrow.uint32()),
            ),
            "loss_mask": pyarrow.array(
                [list(one.loss_mask) for one in group.rollouts], pyarrow.list_(pyarrow.uint8())
            ),
            "logprobs": pyarrow.array(
                [_floats(one.logprobs) for one in group.rollouts],
                pyarrow.list_(pyarrow.float32()),
            ),
        }
    )
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd", compression_level=3)
    data = sink.getvalue()

    def read(raw: bytes) -> object:
        found = parquet.read_table(io.BytesIO(raw))
        return [column.combine_chunks().flatten() for column in found.columns]

    speeds = [_time(read, data) / _time(_decode, ours) for _ in range(num_rounds)]
    how = f"zstd level 3, list columns, pyarrow {pyarrow.__version__}"
    return [
        of_rounds([len(data) / len(ours)], name=size, unit="x", aim="above 1", how=how),
        of_rounds(speeds, name=decode, unit="x", aim="above 1", how=how),
    ]


def _time(decode: Callable[[bytes], object], data: bytes, repeats: int = 20) -> float:
    decode(data)
    began = time.perf_counter()
    for _ in range(repeats):
        decode(data)
    return (time.perf_counter() - began) / repeats
