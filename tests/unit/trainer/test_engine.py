"""One rank: steps repeat bit for bit, go on from checkpoints, and are what autograd says."""

import os
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from transformers import Glm4MoeForCausalLM

from learner.trainer.determinism import numerics
from learner.trainer.engine import learning_rate
from learner.trainer.losses import loss_for
from learner.trainer.rollout import num_trainable_tokens
from learner.trainer.world import World
from schemas.settings import PpoSettings, TrainerSettings
from tests.support.training import SETTINGS, make_folder, make_rollouts, open_engine, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_folder(tmp_path_factory.mktemp("model"))
    (made / "tokenizer.json").write_text("{}")
    return made


def test_equal_runs_give_equal_bits(folder: Path) -> None:
    one, two = open_engine(folder), open_engine(folder)
    before = one.weights_digest()
    train(one, range(1, 5))
    train(two, range(1, 5))
    assert before != one.weights_digest() == two.weights_digest()


def test_a_checkpoint_goes_on_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    straight, stopped, resumed = (open_engine(folder) for _ in range(3))
    expected = train(straight, range(1, 7))
    train(stopped, range(1, 4))
    stopped.save(tmp_path / "checkpoint-3")
    resumed.load(tmp_path / "checkpoint-3")
    assert resumed.version == 3
    found = train(resumed, range(4, 7))
    assert [one.metrics.loss for one in found] == [one.metrics.loss for one in expected[3:]]
    assert resumed.weights_digest() == straight.weights_digest()


def test_a_checkpoint_before_the_first_step_goes_on_too(folder: Path, tmp_path: Path) -> None:
    fresh, resumed = open_engine(folder), open_engine(folder)
    fresh.save(tmp_path / "checkpoint-0")
    train(resumed, [1])
    resumed.load(tmp_path / "checkpoint-0")
    train(fresh, [1])
    train(resumed, [1])
    assert fresh.weights_digest() == resumed.weights_digest()


def test_saving_replaces_an_older_checkpoint_and_leaves_nothing_else(
    folder: Path, tmp_path: Path
) -> None:
    engine = open_engine(folder)
    engine.save(tmp_path / "checkpoint")
    train(engine, [1])
    engine.save(tmp_path / "checkpoint")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    engine.load(tmp_path / "checkpoint")
    assert engine.version == 1


def test_an_exported_folder_is_the_policy(folder: Path, tmp_path: Path) -> None:
    engine = open_engine(folder)
    train(engine, range(1, 4))
    engine.export(tmp_path / "a")
    engine.export(tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer.json"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert open_engine(tmp_path / "a").weights_digest() == engine.weights_digest()

    # What transformers itself reads from the folder computes the probe's log-probabilities.
    probe = list(range(1, 15))
    plain = Glm4MoeForCausalLM.from_pretrained(
        tmp_path / "a", dtype=torch.float32, attn_implementation="eager"
    )
    assert plain.config.use_cache, "whoever calls generate would wait without it"
    with torch.no_grad():
        logits = plain(input_ids=torch.tensor([probe])).logits[0, :-1]
    expected = logits.log_softmax(dim=-1).gather(1, torch.tensor(probe)[1:, None])[:, 0]
    assert engine.probe(probe) == pytest.approx(expected.tolist(), abs=1e-5)


def test_entries_name_every_expert_and_buffer(folder: Path) -> None:
    names = [entry.name for entry in open_engine(folder).tensor_entries()]
    assert names == sorted(names)
    assert "model.layers.1.mlp.experts.3.gate_proj.weight" in names
    assert "model.layers.1.mlp.gate.e_score_correction_bias" in names


def test_the_gradient_is_that_of_the_loss_over_single_rollouts(folder: Path) -> None:
    engine, plain = open_engine(folder), open_engine(folder).model
    rollouts = make_rollouts(1, 12)
    num_tokens = num_trainable_tokens(rollouts)
    result = engine.step(rollouts, 1)

    plain.zero_grad()
    total = torch.zeros(())
    for rollout in rollouts:
        ids = torch.tensor(list(rollout.token_ids))
        logprobs_NV = plain(input_ids=ids[None]).logits[0, :-1].log_softmax(dim=-1)
        trained = torch.tensor(list(rollout.loss_mask[1:])).bool()
        logprobs = logprobs_NV.gather(1, ids[1:, None])[:, 0][trained]
        advantages = torch.full_like(logprobs, rollout.advantage)
        loss = loss_for(SETTINGS.loss)(logprobs, torch.tensor(rollout.logprobs), advantages)
        total = total + loss.loss_N.sum() / num_tokens
    total.backward()
    squares = [one.grad.square().sum() for one in plain.parameters() if one.grad is not None]
    assert result.metrics.loss == pytest.approx(total.item(), abs=1e-6)
    norm = torch.stack(squares).sum().sqrt().item()
    assert result.metrics.grad_norm == pytest.approx(norm, rel=1e-5)
    assert result.metrics.num_tokens == num_tokens
    assert result.metrics.num_packed_tokens == sum(one.num_tokens for one in rollouts)
    assert 0 < result.metrics.mismatch_kl < 1
    assert 0 < result.metrics.entropy <= 3.18  # log 24


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, loss=PpoSettings())])
def test_the_token_budget_changes_rounding_only(folder: Path, settings: TrainerSettings) -> None:
    small = open_engine(folder, replace(settings, token_budget=8))
    large = open_engine(folder, replace(settings, token_budget=4096))
    for one, two in zip(train(small, [1, 2]), train(large, [1, 2]), strict=True):
        assert one.metrics.loss == pytest.approx(two.metrics.loss, abs=1e-6)
        assert one.metrics.grad_norm == pytest.approx(two.metrics.grad_norm, rel=1e-5)


def test_an_update_that_is_not_finite_is_left_out(folder: Path, tmp_path: Path) -> None:
    engine, other = open_engine(folder), open_engine(folder)
    train(engine, [1])
    train(other, [1])
    before = engine.weights_digest()
    (rollout, *_) = make_rollouts(2, 1)
    poisoned = replace(rollout, advantage=float("inf"))
    assert engine.step([poisoned], 2).skipped
    assert engine.weights_digest() == before
    # The optimizer has not taken it in either: the next update is what it would be without.
    other.version = 2
    train(engine, [3])
    train(other, [3])
    assert engine.weights_digest() == other.weights_digest()


def test_the_gradient_is_clipped_by_its_global_norm(folder: Path) -> None:
    free, bound = open_engine(folder), open_engine(folder, replace(SETTINGS, max_grad_norm=1e-9))
    train(free, [1])
    (result,) = train(bound, [1])
    assert result.metrics.grad_norm > 1e-3
    start = open_engine(folder).model.lm_head.weight
    # Far below AdamW's epsilon the step shrinks with the gradient.
    assert (bound.model.lm_head.weight - start).abs().max() < 1e-5
    assert (free.model.lm_head.weight - start).abs().max() > 1e-4


def test_the_learning_rate_warms_up_and_stays() -> None:
    settings = replace(SETTINGS, learning_rate=1e-3, warmup_steps=4)
    rates = [learning_rate(settings, step) for step in range(1, 7)]
    assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3])
    assert learning_rate(replace(settings, warmup_steps=0), 1) == 1e-3


def test_numerics_say_how_this_process_computes(folder: Path) -> None:
    open_engine(folder)
    record = numerics(SETTINGS, World(0, 1))
    assert record.deterministic
    assert (record.world_size, record.num_threads, record.device) == (1, 1, "cpu")
    assert record.mkl == os.environ["MKL_CBWR"]
    assert record.cpu_model
    assert record.token_budget == SETTINGS.token_budget
