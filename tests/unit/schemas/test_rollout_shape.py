"""What `Meta` bounds cannot see inside a rollout's arrays."""

import math

import msgspec
import pytest

from schemas.arrays import pack_f32, pack_u32
from schemas.errors import Rejected
from schemas.policy import PolicyId
from schemas.rollout import VersionSpan, check_shape
from schemas.verdict import Reason
from tests.support.examples import ROLLOUT


def test_a_good_rollout_passes():
    check_shape(ROLLOUT, vocabulary_size=8)


@pytest.mark.parametrize(
    "change",
    [
        {"token_ids": ROLLOUT.token_ids[:-1]},
        {"token_ids": pack_u32([5, 6, 7])},
        {"token_ids": pack_u32([5, 6, 7, 8])},
        {"token_ids": pack_u32([5, 6, 7, 2**32 - 1])},
        {"loss_mask": bytes([0, 0, 1])},
        {"loss_mask": bytes([0, 0, 1, 2])},
        {"loss_mask": bytes([1, 0, 1, 0])},
        {"loss_mask": bytes([0, 0, 0, 1])},
        {"logprobs": pack_f32([-0.5])},
        {"logprobs": pack_f32([-0.5, -0.5])[:-1]},
        {"logprobs": pack_f32([-0.5, math.nan])},
        {"logprobs": pack_f32([math.nan, -0.5])},
        {"logprobs": pack_f32([-0.5, -math.inf])},
        {"logprobs": pack_f32([-0.5, math.inf])},
        {"logprobs": pack_f32([-0.5, 0.1])},
        {"logprobs": pack_f32([-0.5, -1e4])},
        {"spans": (VersionSpan(num_tokens=1, policy=PolicyId(1, 1)),)},
        {"spans": (VersionSpan(num_tokens=3, policy=PolicyId(1, 1)),)},
    ],
    ids=str,
)
def test_a_bad_array_is_refused(change):
    with pytest.raises(Rejected) as refusal:
        check_shape(msgspec.structs.replace(ROLLOUT, **change), vocabulary_size=8)
    assert refusal.value.reason is Reason.TOKENS
