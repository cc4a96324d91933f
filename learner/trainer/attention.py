"""Attention over packed documents, each of which sees only itself.

Documents of a micro-batch lie one behind another, longest first, so that those of equal length are
neighbours. Each stretch of equal lengths is one call of scaled_dot_product_attention on a plain
[documents, heads, length, head size] view: no mask, no padding, and cost linear in the number of
documents where a block mask is quadratic in the micro-batch.

Dimensions: B batch, T tokens, H query heads, D head size, C documents of one length, L that length.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME: Final = "sdpa-per-document"
"""Under which transformers knows this attention; part of the numerics record."""


class Stretch(NamedTuple):
    """Neighbouring documents of equal length."""

    num_documents: int
    length: int


def stretches(lengths: Sequence[int]) -> tuple[Stretch, ...]:
    """Documents in the order in which they are packed, neighbours of equal length together.

    >>> stretches([5, 3, 3])
    (Stretch(num_documents=1, length=5), Stretch(num_documents=2, length=3))
    """
    found: list[Stretch] = []
    for length in lengths:
        if found and found[-1].length == length:
            found[-1] = Stretch(found[-1].num_documents + 1, length)
        else:
            found.append(Stretch(1, length))
    return tuple(found)


def register() -> None:
    """Make the attention known to transformers; doing it again changes nothing.

    It is not given a mask function, so transformers builds no mask for it.
    """
    AttentionInterface.register(NAME, attend)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    documents: tuple[Stretch, ...] | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """query [B, H, T, D] -> [B, T, H, D], as transformers' attention functions.

    Without `documents` every row of the batch is one document; a query of one token then attends to
    all of the key-value cache.
    """
    assert attention_mask is None, "documents are told apart by their lengths, not by a mask"
    if documents is None:
        is_causal = query.shape[2] > 1
        assert not is_causal or query.shape[2] == key.shape[2], "a cache is fed token by token"
        return _attend_rows(query, key, value, scaling, is_causal).transpose(1, 2), None
    outputs: list[torch.Tensor] = []
    start = 0
    for num_documents, length in documents:
        stop = start + num_documents * length
        rows_CHLD = (
            packed[0, :, start:stop].unflatten(1, (num_documents, length)).transpose(0, 1)
            for packed in (query, key, value)
        )
        attended_CHLD = _attend_rows(*rows_CHLD, scaling, is_causal=True)
        outputs.append(attended_CHLD.transpose(1, 2).flatten(0, 1))
        start = stop
    return torch.cat(outputs).unsqueeze(0), None


def _attend_rows(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float, is_causal: bool
) -> torch.Tensor:
    return scaled_dot_product_attention(
        query, key, value, is_causal=is_causal, scale=scaling, enable_gqa=True
    )
