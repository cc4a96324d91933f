"""The noise is the plain-Python function that its module describes, and draws are fair."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.sampling import draw, gumbel_noise
from actors.seeds import member_seed

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def plain_noise(seed: int, position: int, token_id: int) -> float:
    key = mix((mix(seed) + (position + 1) * GOLDEN) & MASK)
    bits = mix((key + (token_id + 1) * GOLDEN) & MASK) >> 12
    return -math.log(-math.log1p(-(bits + 0.5) / 2**52))


def noise(seeds: list[int], positions: list[int], vocabulary_size: int) -> torch.Tensor:
    return gumbel_noise(torch.tensor(seeds), torch.tensor(positions), vocabulary_size)


seeds = st.integers(min_value=0, max_value=2**63 - 1)
positions = st.integers(min_value=0, max_value=2**31)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(seeds, positions), min_size=1, max_size=4))
def test_the_tensor_is_the_plain_function(rows: list[tuple[int, int]]) -> None:
    found = noise([seed for seed, _ in rows], [position for _, position in rows], 5)
    expected = [[plain_noise(*row, token_id) for token_id in range(5)] for row in rows]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_golden_values() -> None:
    assert plain_noise(0, 0, 0) == pytest.approx(-0.055285579698789625)
    assert plain_noise(2**63 - 1, 131071, 150000) == pytest.approx(2.5851920442240672)
    assert noise([12345], [7], 3)[0].tolist() == pytest.approx(
        [0.7180663764527302, -0.2715483778790717, -0.37196545803304626]
    )
    assert [member_seed(1, 0), member_seed(1, 1)] == [603947252244676871, 8412826378592085793]


def test_seeds_of_members_differ() -> None:
    found = {member_seed(s, m) for s in range(30) for m in range(40)}
    assert len(found) == 1200
    assert all(0 <= seed < 2**63 for seed in found)


def test_a_row_does_not_depend_on_its_batch() -> None:
    together = noise([3, 4, 5], [0, 9, 1], 48)
    assert torch.equal(together[1], noise([4], [9], 48)[0])
    assert torch.equal(together[:, :7], noise([3, 4, 5], [0, 9, 1], 7))


def test_noise_is_gumbel() -> None:
    """Mean is Euler's constant, variance pi^2 / 6, and the largest of n values about log n."""
    values = noise([9] * 500, list(range(500)), 2000).flatten()
    assert values.mean().item() == pytest.approx(0.57722, abs=0.005)
    assert values.var().item() == pytest.approx(math.pi**2 / 6, abs=0.01)
    assert torch.isfinite(values).all()
    assert 11.0 < values.max().item() < 20.0


def chi_square(counts: torch.Tensor, probabilities: torch.Tensor) -> float:
    expected = probabilities * counts.sum()
    return ((counts - expected) ** 2 / expected).sum().item()


def test_draws_follow_softmax() -> None:
    """For 47 degrees of freedom chi-square has mean 47 and standard deviation 9.7."""
    logits_V = torch.randn(48, generator=torch.Generator().manual_seed(0)) * 1.5
    num_draws = 100_000
    for first_seed, position in ((0, 0), (10**15, 3)):
        seeds_B = torch.arange(num_draws) + first_seed
        drawn = draw(logits_V.expand(num_draws, 48), seeds_B, torch.full((num_draws,), position))
        counts = torch.bincount(drawn, minlength=48).double()
        assert 20.0 < chi_square(counts, logits_V.double().softmax(-1)) < 90.0


def test_draws_at_consecutive_positions_are_independent() -> None:
    """The table of pairs has 225 degrees of freedom and standard deviation 21."""
    logits_V = torch.linspace(-1.0, 1.0, 16)
    num_draws = 100_000
    drawn = draw(
        logits_V.expand(num_draws, 16),
        torch.full((num_draws,), 77),
        torch.arange(num_draws),
    )
    pairs = torch.bincount(drawn[:-1] * 16 + drawn[1:], minlength=256).double()
    probabilities = logits_V.double().softmax(-1)
    statistic = chi_square(pairs, torch.outer(probabilities, probabilities).flatten())
    assert 150.0 < statistic < 340.0


def test_draws_of_neighbouring_seeds_are_independent() -> None:
    logits_V = torch.zeros(16)
    seeds_B = torch.arange(100_000)
    drawn = draw(logits_V.expand(100_000, 16), seeds_B, torch.zeros_like(seeds_B))
    pairs = torch.bincount(drawn[:-1] * 16 + drawn[1:], minlength=256).double()
    assert 150.0 < chi_square(pairs, torch.full((256,), 1 / 256, dtype=torch.float64)) < 340.0


def test_rare_tokens_keep_their_chance() -> None:
    """A token of probability 1e-5 is drawn about ten times in a million."""
    num_draws = 1_000_000
    seeds_B = torch.arange(num_draws)
    logits_V = torch.tensor([0.0, math.log(1e-5)])
    drawn = draw(logits_V.expand(num_draws, 2), seeds_B, torch.full((num_draws,), 11))
    assert 1 <= int(drawn.sum()) <= 25


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_other_dtypes(dtype: torch.dtype) -> None:
    logits_B_V = torch.tensor([[0.0, 100.0, 0.0]], dtype=dtype)
    assert draw(logits_B_V, torch.tensor([1]), torch.tensor([2])).tolist() == [1]
