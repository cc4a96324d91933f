"""Small models and random rollouts for tests of the trainer."""

import random
from array import array
from collections.abc import Sequence
from pathlib import Path

from learner.trainer.engine import StepResult, TrainEngine
from learner.trainer.model import build_model, save_folder
from learner.trainer.rollout import TrainRollout
from learner.trainer.world import World
from schemas.settings import ModelSettings, TrainerSettings

VOCABULARY_SIZE = 24
SMALL_MODEL = ModelSettings(
    hidden_size=32,
    num_layers=2,
    num_heads=4,
    num_key_value_heads=2,
    intermediate_size=48,
    num_experts=4,
    num_experts_per_token=2,
    moe_intermediate_size=16,
    max_positions=64,
)
SETTINGS = TrainerSettings(token_budget=48, learning_rate=1e-3, warmup_steps=4)


def make_folder(folder: Path, seed: int = 0) -> Path:
    """A small model's folder."""
    save_folder(build_model(SMALL_MODEL, VOCABULARY_SIZE, seed), folder)
    return folder


def make_rollouts(seed: int, count: int) -> list[TrainRollout]:
    """Random rollouts: several turns, lengths from 4 to 20, log-probabilities near chance."""
    draws = random.Random(seed)

    def make() -> TrainRollout:
        num_tokens = draws.randint(4, 20)
        mask = bytes([0, *(int(draws.random() < 0.6) for _ in range(num_tokens - 2)), 1])
        return TrainRollout(
            token_ids=array("I", [draws.randrange(VOCABULARY_SIZE) for _ in mask]),
            loss_mask=mask,
            logprobs=array("f", [draws.uniform(-4.5, -2.0) for _ in range(mask.count(1))]),
            advantage=draws.uniform(-1.0, 1.0),
        )

    return [make() for _ in range(count)]


def train(engine: TrainEngine, steps: Sequence[int], num_rollouts: int = 12) -> list[StepResult]:
    """Take these steps; the rollouts of a step are a function of its number."""
    results = []
    for step in steps:
        rollouts = make_rollouts(step, num_rollouts)
        results.append(engine.step(rollouts, step))
    return results


def open_engine(folder: Path, settings: TrainerSettings = SETTINGS) -> TrainEngine:
    """The only rank of a world of one."""
    return TrainEngine(folder, settings, World(0, 1))
