"""Sampling on the learner's side, single turn and several, and supervised fine-tuning with it."""

import asyncio
from pathlib import Path

import pytest
import torch

from environments.catalogue import open_environment
from learner.trainer.model import build_model
from learner.trainer.sampler import SampledRollout, Sampler, run_tasks
from learner.trainer.sft import SftProgress, run_sft
from schemas.rollout import Finish
from schemas.settings import EnvironmentSettings, RunSettings, SamplingSettings, SftSettings
from tests.support.training import SMALL_MODEL

SETTINGS = RunSettings(
    name="test",
    model=SMALL_MODEL,
    sampling=SamplingSettings(max_new_tokens=6),
    sft=SftSettings(max_steps=12, evaluate_every=6, num_evaluation_tasks=8, batch_size=16),
)


def sample(environment_id: str, seed: int) -> list[SampledRollout]:
    environment = open_environment(EnvironmentSettings(id=environment_id))
    model = build_model(SMALL_MODEL, environment.vocabulary_size, 0)
    sampler = Sampler(model, stop_ids=environment.stop_ids, max_new_tokens=6, seed=seed)
    return asyncio.run(run_tasks(environment, [*range(60), 3, 3], sampler))


@pytest.mark.parametrize("environment_id", ["reverse", "lookup"])
def test_draws_are_a_function_of_the_seed(environment_id: str) -> None:
    assert sample(environment_id, 1) == sample(environment_id, 1)
    assert sample(environment_id, 1) != sample(environment_id, 2)


@torch.no_grad()
def test_logprobs_are_those_of_the_model_without_a_cache() -> None:
    environment = open_environment(EnvironmentSettings(id="reverse"))
    model = build_model(SMALL_MODEL, environment.vocabulary_size, 0)
    finishes = set()
    for rollout in sample("reverse", 1):
        prompt, answer = (turn.token_ids for turn in rollout.interaction.turns)
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(dim=-1).gather(1, torch.tensor(answer)[:, None])[:, 0]
        assert rollout.logprobs == pytest.approx(expected.tolist(), abs=1e-5)
        assert (rollout.interaction.finish is Finish.STOP) == (answer[-1] in environment.stop_ids)
        assert len(answer) <= 6
        finishes.add(rollout.interaction.finish)
    assert finishes == {Finish.STOP, Finish.LENGTH}


def test_fine_tuning_learns_and_is_a_function_of_its_settings(tmp_path: Path) -> None:
    seen: list[SftProgress] = []
    end = run_sft(SETTINGS, tmp_path / "a", seen.append)
    again = run_sft(SETTINGS, tmp_path / "b", lambda _: None)
    assert [one.step for one in seen] == [6, 12]
    assert seen[1].loss < seen[0].loss < 3.9  # log 48, the loss of a guess
    assert end == again == seen[-1]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= {
        path.name for path in (tmp_path / "a").iterdir()
    }
