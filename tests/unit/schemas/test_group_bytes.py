"""How large a group can get, told from its lease alone."""

import random

import msgspec
import pytest
from msgspec.structs import replace

from schemas import wire
from schemas.lease import MAX_GROUP_SIZE, EngineProfile
from schemas.policy import PolicyId
from schemas.rollout import Finish, RolloutGroup, VersionSpan, largest_group_bytes
from tests.support.examples import GROUP, ROLLOUT

LONGEST = "x" * 64
NEWEST = PolicyId(999_999_999, 999_999_999)


def wordy_group(num_rollouts: int, num_tokens: int) -> RolloutGroup:
    """Every field at its longest, and arrays that no compression makes smaller."""
    noise = random.Random(num_tokens)
    rollouts = tuple(
        replace(
            ROLLOUT,
            token_ids=noise.randbytes(4 * num_tokens),
            loss_mask=noise.randbytes(num_tokens),
            logprobs=noise.randbytes(4 * num_tokens),
            spans=(VersionSpan(num_tokens=num_tokens, policy=NEWEST),),
            finish=Finish.LENGTH,
            claimed_reward=0.1,
        )
        for _ in range(num_rollouts)
    )
    group = replace(
        GROUP,
        run=LONGEST,
        actor=LONGEST,
        lease_id=2**53,
        policy=NEWEST,
        profile=EngineProfile(
            engine=LONGEST,
            version="ä" * 64,
            dtype=LONGEST,
            track=LONGEST,
            max_context=999_999_999,
        ),
        rollouts=rollouts,
    )
    return msgspec.msgpack.decode(msgspec.msgpack.encode(group), type=RolloutGroup)


@pytest.mark.parametrize(
    ("num_rollouts", "num_tokens"), [(2, 2), (MAX_GROUP_SIZE, 2), (2, 100_000), (50, 9000)]
)
def test_no_group_is_larger(num_rollouts: int, num_tokens: int) -> None:
    group = wordy_group(num_rollouts, num_tokens)
    most = largest_group_bytes(num_rollouts, num_tokens)
    size = len(msgspec.msgpack.encode(group))
    assert 0 <= most - size < 1000 + 50 * num_rollouts
    assert len(wire.encode(group)) <= most


def test_the_largest_that_settings_may_ask_for_is_decoded() -> None:
    num_tokens = 7200
    assert largest_group_bytes(64, num_tokens) <= wire.MAX_WIRE_BYTES
    group = wordy_group(64, num_tokens)
    assert wire.decode(wire.encode(group), RolloutGroup) == group
