"""Content digests: additive, and different for different contents."""

import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner.trainer.digest import tensor_digest, tensor_entry, weights_digest

WORD = (1 << 64) - 1
floats = st.lists(st.floats(width=32), min_size=1, max_size=50)


def mix(word: int) -> int:
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & WORD
    return word ^ (word >> 31)


def slow_digest(values: list[float], first_index: int = 0) -> int:
    total = 0
    for index, value in enumerate(values, start=first_index):
        # Bit patterns are taken as signed integers, hence "<i".
        bits = struct.unpack("<i", struct.pack("<f", value))[0] & WORD
        place = (index * 0x9E3779B97F4A7C15 + 0x6A09E667F3BCC909) & WORD
        total += mix(mix(place) ^ bits)
    return total & WORD


@given(values=floats, first_index=st.integers(0, 2**40))
def test_it_is_the_formula(values: list[float], first_index: int) -> None:
    assert tensor_digest(torch.tensor(values), first_index=first_index) == slow_digest(
        torch.tensor(values).tolist(), first_index
    )


@given(values=floats, cut=st.integers(0, 50))
def test_digests_of_parts_add_up(values: list[float], cut: int) -> None:
    whole = torch.tensor(values)
    first, second = whole[:cut], whole[cut:]
    parts = tensor_digest(first) + tensor_digest(second, first_index=len(first))
    assert parts & WORD == tensor_digest(whole)


@given(values=floats, place=st.integers(0, 49), bit=st.integers(0, 31))
def test_one_bit_changes_it(values: list[float], place: int, bit: int) -> None:
    tensor = torch.tensor(values)
    changed = tensor.clone()
    changed.view(torch.int32)[place % len(values)] ^= torch.tensor(1 << bit).to(torch.int32)
    assert tensor_digest(changed) != tensor_digest(tensor)


def test_order_counts() -> None:
    assert tensor_digest(torch.tensor([1.0, 2.0])) != tensor_digest(torch.tensor([2.0, 1.0]))


def test_layout_in_memory_does_not_count() -> None:
    tensor = torch.arange(12.0).reshape(3, 4)
    assert tensor_digest(tensor.T) == tensor_digest(tensor.T.contiguous())


@pytest.mark.parametrize(("dtype", "name"), [(torch.float32, "f32"), (torch.bfloat16, "bf16")])
def test_an_entry_says_what_the_tensor_is(dtype: torch.dtype, name: str) -> None:
    entry = tensor_entry("lm_head.weight", torch.zeros(2, 3, dtype=dtype))
    assert (entry.name, entry.dtype, entry.shape) == ("lm_head.weight", name, (2, 3))


def test_the_digest_of_all_does_not_care_for_their_order_but_for_their_names() -> None:
    one, two = tensor_entry("a", torch.zeros(3)), tensor_entry("b", torch.ones(3))
    swapped = [tensor_entry("b", torch.zeros(3)), tensor_entry("a", torch.ones(3))]
    assert weights_digest([one, two]) == weights_digest([two, one])
    assert weights_digest([one, two]) != weights_digest(swapped)
