"""What the learner makes of a recorded rollout: honest ones pass, every kind of tampering fails."""

import asyncio
import math

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from environments import characters, recorded, renderer
from environments.catalogue import BUILDERS, open_environment
from environments.interface import Environment
from environments.recorded import verify
from schemas import arrays
from schemas.arrays import pack_f32, pack_u32, unpack_u32
from schemas.errors import Rejected
from schemas.lease import Sampling
from schemas.policy import PolicyId
from schemas.rollout import Finish, Rollout, VersionSpan
from schemas.settings import EnvironmentSettings
from schemas.verdict import Reason

SAMPLING = Sampling(max_new_tokens=8, stop_ids=renderer.STOP_IDS)
A = characters.encode("a")[0]


def rollout_of(token_ids: list[int], mask: list[int], finish: Finish = Finish.STOP) -> Rollout:
    num_sampled = max(1, sum(mask))
    return Rollout(
        token_ids=pack_u32(token_ids),
        loss_mask=bytes(mask),
        logprobs=pack_f32([-1.0] * num_sampled),
        spans=(VersionSpan(num_tokens=num_sampled, policy=PolicyId(1, 0)),),
        finish=finish,
        claimed_reward=1.0,
    )


def reference(environment: Environment, task: int) -> tuple[list[int], list[int]]:
    turns = environment.reference(task)
    ids = [i for turn in turns for i in turn.token_ids]
    return ids, [int(turn.sampled) for turn in turns for _ in turn.token_ids]


@pytest.fixture(params=BUILDERS)
def environment(request: pytest.FixtureRequest) -> Environment:
    return open_environment(EnvironmentSettings(id=request.param))


async def refused(environment: Environment, rollout: Rollout, task: int = 0) -> Rejected:
    with pytest.raises(Rejected) as caught:
        await verify(environment, task, rollout, SAMPLING)
    return caught.value


async def test_honest_rollouts_pass(environment: Environment) -> None:
    for task in range(20):
        interaction = await verify(
            environment, task, rollout_of(*reference(environment, task)), SAMPLING
        )
        assert interaction.reward == 1.0
        assert interaction.turns == environment.reference(task)


async def test_a_completion_may_end_at_the_limit(environment: Environment) -> None:
    prompt = list(environment.prompt(0))
    rollout = rollout_of(prompt + [A] * 8, [0] * len(prompt) + [1] * 8, Finish.LENGTH)
    assert (await verify(environment, 0, rollout, SAMPLING)).reward == 0.0
    rollout = msgspec.structs.replace(rollout, finish=Finish.STOP)
    assert (await refused(environment, rollout)).reason is Reason.TOKENS


async def test_every_rendered_token_is_compared(environment: Environment) -> None:
    ids, mask = reference(environment, 0)
    for position, sampled in enumerate(mask):
        if not sampled:
            changed = [*ids]
            changed[position] = (changed[position] + 1) % characters.SIZE
            error = await refused(environment, rollout_of(changed, mask))
            assert error.reason is Reason.RENDERING
            assert f"token {position} " in error.detail


async def test_no_mask_value_can_be_turned(environment: Environment) -> None:
    ids, mask = reference(environment, 0)
    for position in range(len(mask)):
        changed = [*mask]
        changed[position] = 1 - changed[position]
        reason = (await refused(environment, rollout_of(ids, changed))).reason
        assert reason in (Reason.RENDERING, Reason.TOKENS)


async def test_the_prompt_is_that_of_the_task(environment: Environment) -> None:
    rollout = rollout_of(*reference(environment, 1))
    assert (await refused(environment, rollout, task=0)).reason is Reason.RENDERING


async def test_nothing_may_be_cut_off(environment: Environment) -> None:
    ids, mask = reference(environment, 0)
    for length in range(2, len(ids)):
        reason = (await refused(environment, rollout_of(ids[:length], mask[:length]))).reason
        assert reason in (Reason.RENDERING, Reason.TOKENS)


@pytest.mark.parametrize("extra", [renderer.result("1"), renderer.question("a")])
async def test_nothing_rendered_may_follow(environment: Environment, extra: tuple) -> None:
    ids, mask = reference(environment, 0)
    longer = rollout_of(ids + list(extra), mask + [0] * len(extra))
    assert (await refused(environment, longer)).reason is Reason.RENDERING


async def test_no_turn_may_follow(environment: Environment) -> None:
    ids, mask = reference(environment, 0)
    extra = [*renderer.result("1"), A, characters.STOP]
    longer = rollout_of(ids + extra, mask + [0] * (len(extra) - 2) + [1, 1])
    assert (await refused(environment, longer)).reason is Reason.RENDERING


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ([A, characters.STOP, A], "goes on behind a stop id"),
        ([characters.STOP, characters.STOP], "goes on behind a stop id"),
        ([A, A], "ends without a stop id after 2 of 8"),
        ([A] * 9, "has 9 tokens, limit 8"),
        ([A] * 8 + [characters.STOP], "has 9 tokens, limit 8"),
    ],
)
async def test_completions_end_as_sampling_ends(
    environment: Environment, said: list[int], detail: str
) -> None:
    prompt = list(environment.prompt(0))
    for finish in Finish:
        rollout = rollout_of(prompt + said, [0] * len(prompt) + [1] * len(said), finish)
        error = await refused(environment, rollout)
        assert error.reason is Reason.TOKENS
        assert detail in error.detail


async def test_the_finish_is_that_of_the_tokens(environment: Environment) -> None:
    rollout = rollout_of(*reference(environment, 0), finish=Finish.LENGTH)
    error = await refused(environment, rollout)
    assert (error.reason, error.detail) == (
        Reason.TOKENS,
        "finish is length; its tokens say stop",
    )


async def test_ids_outside_the_vocabulary(environment: Environment) -> None:
    ids, mask = reference(environment, 0)
    rollout = rollout_of([*ids[:-2], characters.SIZE, ids[-1]], mask)
    assert (await refused(environment, rollout)).reason is Reason.TOKENS


@given(
    st.lists(st.floats(width=32), min_size=1, max_size=8),
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8),
)
@example([math.inf, -math.inf], [0])
def test_long_arrays_have_the_same_extremes(logprobs: list[float], ids: list[int]) -> None:
    """What numpy finds in a long array is what Python finds; both see every NaN."""
    for code, data in (("f", pack_f32(logprobs) * 300), ("I", pack_u32(ids) * 300)):
        fast, slow = recorded._extremes(code, data), arrays.extremes(code, data)
        assert fast == slow or (math.isnan(fast[0]) and math.isnan(slow[1]))


small = st.integers(min_value=0, max_value=characters.SIZE)


@given(
    st.sampled_from(sorted(BUILDERS)),
    st.lists(st.tuples(small, st.integers(0, 1)), min_size=2, max_size=24),
    st.integers(0, 12),
    st.sampled_from(list(Finish)),
)
def test_random_arrays_raise_nothing_but_rejected(
    name: str, tail: list[tuple[int, int]], kept: int, finish: Finish
) -> None:
    """The rollout is an honest one's first `kept` tokens, then noise."""
    environment = open_environment(EnvironmentSettings(id=name))
    ids, mask = reference(environment, 7)
    ids, mask = ids[:kept] + [i for i, _ in tail], mask[:kept] + [m for _, m in tail]
    rollout = rollout_of(ids, mask, finish)
    try:
        interaction = asyncio.run(verify(environment, 7, rollout, SAMPLING))
    except Rejected:
        return
    assert list(unpack_u32(rollout.token_ids)) == [
        i for turn in interaction.turns for i in turn.token_ids
    ]


@given(
    st.binary(min_size=8, max_size=64),
    st.binary(min_size=2, max_size=16),
    st.binary(min_size=4, max_size=32),
)
def test_random_bytes_raise_nothing_but_rejected(ids: bytes, mask: bytes, logprobs: bytes) -> None:
    environment = open_environment(EnvironmentSettings())
    rollout = msgspec.structs.replace(
        rollout_of([1, 2], [0, 1]), token_ids=ids, loss_mask=mask, logprobs=logprobs
    )
    with pytest.raises(Rejected):
        asyncio.run(verify(environment, 0, rollout, SAMPLING))
