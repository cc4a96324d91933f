"""Content digests of tensors: they find bugs, signatures keep attackers out.

    digest(tensor) = sum over elements of mix(mix(index * step + key) XOR bits)  mod 2^64

`index` is the element's place in the flat tensor, `bits` its bit pattern, and mix a bijection of 64
bits (splitmix64's): one round spreads the index, the other mixes the bits in. A sum does not care
for order, so that shards are digested where they lie, and changing one element moves the digest by
the difference of two terms.
"""

import hashlib
from collections.abc import Iterable

import torch

from schemas.policy import TensorEntry

_CHUNK_ELEMENTS = 1 << 20
_WORD = (1 << 64) - 1
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_NAMES = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


# Odd 64-bit constants of splitmix64, as the signed integers that torch computes with mod 2^64.
_KEY = _signed(0x6A09E667F3BCC909)
_STEP = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def tensor_digest(tensor: torch.Tensor, *, first_index: int = 0) -> int:
    """Digest of a tensor, or of the part of a flat tensor that begins at `first_index`.

    The digests of a tensor's parts add up to the tensor's, mod 2^64.
    """
    bits = tensor.detach().contiguous().reshape(-1).view(_INTEGERS[tensor.element_size()])
    total = 0
    for start in range(0, bits.numel(), _CHUNK_ELEMENTS):
        chunk = bits[start : start + _CHUNK_ELEMENTS].to(torch.int64)
        index = torch.arange(
            first_index + start, first_index + start + chunk.numel(), device=chunk.device
        )
        terms = _mix(_mix(index * _STEP + _KEY) ^ chunk)
        total += int(terms.sum().item())
    return total & _WORD


def tensor_entry(name: str, tensor: torch.Tensor) -> TensorEntry:
    """A tensor as policy manifests name it."""
    return TensorEntry(
        name=name,
        dtype=_NAMES[tensor.dtype],
        shape=tuple(tensor.shape),
        digest=f"{tensor_digest(tensor):016x}",
    )


def weights_digest(entries: Iterable[TensorEntry]) -> str:
    """sha256 over all entries, a line each: equal digests mean bit-equal weights."""
    lines = (
        f"{entry.name} {entry.dtype} {','.join(map(str, entry.shape))} {entry.digest}\n"
        for entry in sorted(entries, key=lambda entry: entry.name)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _mix(words: torch.Tensor) -> torch.Tensor:
    words = (words ^ _shifted(words, 30)) * _MIX_1
    words = (words ^ _shifted(words, 27)) * _MIX_2
    return words ^ _shifted(words, 31)


def _shifted(words: torch.Tensor, num_bits: int) -> torch.Tensor:
    """Logical shift to the right; torch's own keeps the sign."""
    return (words >> num_bits) & ((1 << (64 - num_bits)) - 1)
