"""Each loss against a slow twin, written from the formulas of losses.py's docstrings in float64."""

import math
import random
from collections.abc import Callable

import pytest
import torch

from learner.trainer.losses import Loss, loss_for
from learner.trainer.losses.cross_entropy import cross_entropy
from learner.trainer.losses.mismatch import mismatch_kl
from schemas.settings import DppoSettings, PpoSettings

# Both sets have bounds that differ from each other, so that one swapped for the other shows.
DPPO = DppoSettings(mask_low=0.15, mask_high=0.1, kl_weight=0.02)
PPO = PpoSettings(clip_low=0.2, clip_high=0.28)

Twin = Callable[[float, float, float], tuple[float, bool]]


def slow_dppo(lp: float, mu: float, advantage: float) -> tuple[float, bool]:
    change = math.exp(lp) - math.exp(mu)
    drop = (advantage > 0 and change > 0.1) or (advantage <= 0 and change < -0.15)
    log_ratio = min(lp - mu, math.log(10))
    loss = 0.02 * log_ratio**2
    if not drop:
        loss -= advantage * math.exp(log_ratio)
    return loss, drop or lp - mu > math.log(10)


def slow_ppo(lp: float, mu: float, advantage: float) -> tuple[float, bool]:
    ratio = min(math.exp(lp - mu), 10.0)
    plain, clipped = ratio * advantage, min(max(ratio, 0.8), 1.28) * advantage
    return -min(plain, clipped), clipped < plain or lp - mu > math.log(10)


def slow_cross_entropy(lp: float, mu: float, advantage: float) -> tuple[float, bool]:
    return -advantage * lp, False


def draw(num_tokens: int) -> tuple[list[float], list[float], list[float]]:
    """Log-probabilities 0.8 apart in standard deviation, so that many tokens meet the bounds."""
    draws = random.Random(5)
    behaviour = [-draws.expovariate(0.7) - 1e-3 for _ in range(num_tokens)]
    logprobs = [min(mu + draws.gauss(0.0, 0.8), -1e-4) for mu in behaviour]
    advantages = [draws.choice([-0.75, -0.125, 0.0, 0.25, 0.875]) for _ in range(num_tokens)]
    return logprobs, behaviour, advantages


CASES = [
    pytest.param(loss_for(DPPO), slow_dppo, id="dppo"),
    pytest.param(loss_for(PPO), slow_ppo, id="ppo"),
    pytest.param(cross_entropy, slow_cross_entropy, id="cross-entropy"),
]


@pytest.mark.parametrize(("loss", "twin"), CASES)
def test_values_are_those_of_the_slow_twin(loss: Loss, twin: Twin) -> None:
    drawn = draw(2000)
    found = loss(*(torch.tensor(values, dtype=torch.float64) for values in drawn))
    expected = [twin(*token) for token in zip(*drawn, strict=True)]
    torch.testing.assert_close(
        found.loss_N,
        torch.tensor([value for value, _ in expected], dtype=torch.float64),
        rtol=0,
        atol=1e-12,
    )
    assert found.masked_N.tolist() == [masked for _, masked in expected]


@pytest.mark.parametrize("settings", [DPPO, PPO])
def test_masks_bite_on_both_sides(settings: DppoSettings | PpoSettings) -> None:
    drawn = [torch.tensor(values, dtype=torch.float64) for values in draw(2000)]
    masked_N = loss_for(settings)(*drawn).masked_N
    assert 0.05 < masked_N[drawn[2] > 0].double().mean() < 0.95
    assert 0.05 < masked_N[drawn[2] < 0].double().mean() < 0.95


@pytest.mark.parametrize(("loss", "twin"), CASES)
def test_gradients_are_the_slow_twins_finite_differences(loss: Loss, twin: Twin) -> None:
    drawn = draw(60)
    tensors = [torch.tensor(values, dtype=torch.float64) for values in drawn]
    tensors[0].requires_grad_()
    loss(*tensors).loss_N.sum().backward()
    step = 1e-6
    slopes = [
        (twin(lp + step, mu, a)[0] - twin(lp - step, mu, a)[0]) / (2 * step)
        for lp, mu, a in zip(*drawn, strict=True)
    ]
    found = tensors[0].grad
    assert found is not None
    torch.testing.assert_close(found, torch.tensor(slopes).double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [DPPO, PPO])
@pytest.mark.parametrize("advantage", [-0.75, 0.25])
@pytest.mark.parametrize("said", [-15.0, -30.0, -64.0])
def test_what_an_actor_says_of_one_token_does_not_make_the_gradient(
    settings: DppoSettings | PpoSettings, advantage: float, said: float
) -> None:
    """Rare tokens of a stranger, legal and a lie, beside an honest one."""
    logprobs_N = torch.tensor([-3.0, -3.0], requires_grad=True)
    behaviour_N = torch.tensor([-3.0, said])
    found = loss_for(settings)(logprobs_N, behaviour_N, torch.tensor([advantage, advantage]))
    found.loss_N.sum().backward()
    assert logprobs_N.grad is not None
    honest, lie = logprobs_N.grad.abs().tolist()
    assert lie == 0.0 < honest
    assert found.masked_N.tolist() == [False, True]


@pytest.mark.parametrize("settings", [DPPO, PPO])
def test_a_masked_token_whose_ratio_overflows_gives_a_finite_gradient(
    settings: DppoSettings | PpoSettings,
) -> None:
    logprobs_N = torch.tensor([-0.1], requires_grad=True)
    found = loss_for(settings)(logprobs_N, torch.tensor([-200.0]), torch.tensor([1.0]))
    found.loss_N.sum().backward()
    assert found.masked_N.tolist() == [True]
    assert torch.isfinite(found.loss_N).all()
    assert logprobs_N.grad is not None
    assert torch.isfinite(logprobs_N.grad).all()


def slow_mismatch(lp: float, mu: float) -> float:
    log_ratio = min(lp - mu, math.log(10))
    return math.exp(log_ratio) - log_ratio - 1


def test_mismatch_is_k3_and_never_below_zero() -> None:
    logprobs, behaviour, _ = draw(500)
    behaviour[:3] = [-64.0, 0.0, logprobs[2] - 2.0]
    drawn = (torch.tensor(values, dtype=torch.float64) for values in (logprobs, behaviour))
    found = mismatch_kl(*drawn)
    expected = [slow_mismatch(lp, mu) for lp, mu in zip(logprobs, behaviour, strict=True)]
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12
    )
    assert (found >= 0).all()


@pytest.mark.parametrize("said", [-64.0, -15.0, 0.0])
def test_one_liar_does_not_make_the_mismatch(said: float) -> None:
    """One of 16 rows; its probabilities have nothing to do with the trainer's."""
    logprobs_N = torch.full((1600,), -2.0)
    behaviour_N = logprobs_N.clone()
    behaviour_N[:100] = said
    assert 0.0 < mismatch_kl(logprobs_N, behaviour_N).mean() < 0.5
