"""Packed rollouts give what each gives alone."""

from pathlib import Path

import pytest
import torch
from transformers import Glm4MoeForCausalLM

from learner.trainer.attention import stretches
from learner.trainer.micro_batch import collate
from learner.trainer.model import build_model, load_model
from learner.trainer.rollout import TrainRollout
from tests.support.training import SMALL_MODEL, VOCABULARY_SIZE, make_folder, make_rollouts

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def alone(folder: Path) -> list[torch.Tensor]:
    """Hidden states of each rollout by itself, by transformers' own eager attention and experts."""
    plain = Glm4MoeForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    )
    with torch.no_grad():
        return [
            plain.model(input_ids=torch.tensor([list(one.token_ids)])).last_hidden_state[0]
            for one in rollouts()
        ]


def rollouts() -> list[TrainRollout]:
    """Longest first, several of equal length among them."""
    return sorted(make_rollouts(3, 20), key=lambda one: -one.num_tokens)


@torch.no_grad()
def packed(folder: Path, *, reset: bool = True, separate: bool = True) -> torch.Tensor:
    batch = collate(rollouts(), CPU)
    num_tokens = len(batch.token_ids_N)
    position_ids_N = batch.position_ids_N if reset else torch.arange(num_tokens)
    return (
        load_model(folder, CPU)
        .model(
            input_ids=batch.token_ids_N[None],
            position_ids=position_ids_N[None],
            documents=batch.documents if separate else stretches([num_tokens]),
        )
        .last_hidden_state[0]
    )


def test_packed_equals_alone(folder: Path, alone: list[torch.Tensor]) -> None:
    assert len({len(one) for one in alone}) < len(alone)
    torch.testing.assert_close(packed(folder), torch.cat(alone), rtol=0, atol=1e-5)


@pytest.mark.parametrize("reset", [True, False])
def test_without_the_documents_it_is_something_else(
    folder: Path, alone: list[torch.Tensor], reset: bool
) -> None:
    wrong = packed(folder, reset=reset, separate=False)
    assert (wrong - torch.cat(alone)).abs().max() > 0.1


@torch.no_grad()
def test_transformers_own_packing_agrees_and_needs_the_reset(
    folder: Path, alone: list[torch.Tensor]
) -> None:
    """It tells documents apart by their positions; ours is then held against a second opinion."""
    plain = Glm4MoeForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    )
    batch = collate(rollouts(), CPU)
    running_N = torch.arange(len(batch.token_ids_N))
    for position_ids_N, agrees in ((batch.position_ids_N, True), (running_N, False)):
        hidden_1NH = plain.model(
            input_ids=batch.token_ids_N[None], position_ids=position_ids_N[None], use_cache=False
        ).last_hidden_state
        worst = (hidden_1NH[0] - torch.cat(alone)).abs().max()
        assert (worst < 1e-5) == agrees


def test_the_micro_batch_points_each_sampled_token_at_the_one_before_it() -> None:
    one, two = make_rollouts(7, 2)
    batch = collate([one, two], CPU)
    expected = [
        (offset + place - 1, rollout.token_ids[place], rollout.advantage)
        for rollout, offset in ((one, 0), (two, one.num_tokens))
        for place, sampled in enumerate(rollout.loss_mask)
        if sampled
    ]
    assert batch.predictors_S.tolist() == [before for before, _, _ in expected]
    assert batch.targets_S.tolist() == [target for _, target, _ in expected]
    assert batch.advantages_S.tolist() == pytest.approx([gain for _, _, gain in expected])
    assert batch.behaviour_S.tolist() == [*one.logprobs, *two.logprobs]


def test_random_weights_are_a_function_of_the_seed() -> None:
    one, same, other = (
        build_model(SMALL_MODEL, VOCABULARY_SIZE, seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])
    assert one["model.layers.1.mlp.gate.weight"].std() > 0, "a router of zeros ties all experts"
