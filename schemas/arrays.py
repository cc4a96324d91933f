"""Token ids, masks and log-probabilities as raw little-endian bytes.

Raw bytes decode 250 times faster than msgpack lists and compress better. `Meta` bounds do not look
inside bytes, so whoever reads an array from outside checks its length and values (see
`schemas.rollout.check_shape`).

>>> list(unpack_u32(pack_u32([1, 70000])))
[1, 70000]
"""

import math
import sys
from array import array
from collections.abc import Callable, Iterable
from typing import Literal

Code = Literal["I", "f"]
"""What an array's bytes are: u32 or f32."""
Extremes = Callable[[Code, bytes], tuple[float, float]]
"""Finds an array's smallest and largest value. Both are NaN when one of its values is."""

assert array("I").itemsize == 4, "array('I') is 4 bytes on every platform that we run on"


def _pack(code: Code, values: Iterable[float]) -> bytes:
    items = array(code, values)
    if sys.byteorder == "big":
        items.byteswap()
    return items.tobytes()


def _unpack(code: Code, data: bytes) -> array:
    items = array(code)
    items.frombytes(data)
    if sys.byteorder == "big":
        items.byteswap()
    return items


def pack_u32(values: Iterable[int]) -> bytes:
    """Token ids to bytes, four each."""
    return _pack("I", values)


def unpack_u32(data: bytes) -> "array[int]":
    """Bytes to token ids. Raises ValueError when the length is no multiple of four."""
    return _unpack("I", data)


def pack_f32(values: Iterable[float]) -> bytes:
    """Log-probabilities to bytes, four each."""
    return _pack("f", values)


def unpack_f32(data: bytes) -> "array[float]":
    """Bytes to log-probabilities. Raises ValueError when the length is no multiple of four."""
    return _unpack("f", data)


def extremes(code: Code, data: bytes) -> tuple[float, float]:
    """An array's smallest and largest value, both NaN when one of its values is."""
    items = _unpack(code, data)
    # NaN compares false with everything, so that min and max may step over it. The sum is the quick
    # test; it is NaN for the two infinities too.
    if code == "f" and math.isnan(sum(items)) and any(map(math.isnan, items)):
        return math.nan, math.nan
    return min(items), max(items)
