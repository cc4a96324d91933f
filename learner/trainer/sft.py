"""Supervised fine-tuning: from random weights to a policy that is sometimes right.

consumes: the environment's own perfect rollouts
produces: a Hugging Face folder, the initial policy of a run
waits for: nothing

Loop: train on a batch of references; every few steps sample rollouts of tasks that are kept apart,
and stop when their mean exact-match reward reaches the target. Stopping early is the point:
reinforcement learning needs room above, and groups with both right and wrong rollouts.
"""

import asyncio
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

from msgspec import Struct

from broker.program.words import size
from environments.catalogue import open_environment
from environments.characters import write_tokenizer_files
from environments.interface import Environment, Interaction, Turn
from learner.trainer.engine import TrainEngine
from learner.trainer.losses.cross_entropy import cross_entropy
from learner.trainer.model import build_model, num_parameters, save_folder
from learner.trainer.rollout import TrainRollout, from_turns
from learner.trainer.sampler import Sampler, run_tasks
from learner.trainer.world import World
from schemas.errors import SettingsError
from schemas.settings import RunSettings, TrainerSettings

_NUM_TASKS = 2**53
_BYTES_PER_PARAMETER = 16
"""Weight, gradient and the optimizer's two moments, in float32."""


class SftProgress(Struct, frozen=True, kw_only=True):
    """Where supervised fine-tuning stands when it has sampled."""

    step: int
    loss: float
    """Mean cross-entropy of the last batch, in nats per token."""
    reward: float
    """Mean exact-match reward of sampled rollouts."""


def check_memory(settings: RunSettings) -> None:
    """Compare what the model takes at least with what this machine has.

    Raises:
        SettingsError: it cannot be trained here.
    """
    vocabulary_size = open_environment(settings.environment).vocabulary_size
    needed = num_parameters(settings.model, vocabulary_size) * _BYTES_PER_PARAMETER
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise SettingsError(
            f"the model takes at least {size(needed)} to train, and this machine has "
            f"{size(there)}: lower the sizes in [model]"
        )


def run_sft(
    settings: RunSettings, folder: Path, on_progress: Callable[[SftProgress], None]
) -> SftProgress:
    """Train, write the policy into `folder`, and return where it ended.

    The folder is a function of the settings alone (on one machine). When `sft.max_steps` come
    first, the policy is written as it is, and its reward is below the target.
    """
    environment = open_environment(settings.environment)
    with tempfile.TemporaryDirectory() as scratch:
        start = Path(scratch)
        model = build_model(settings.model, environment.vocabulary_size, settings.seed)
        save_folder(model, start)
        write_tokenizer_files(start)
        engine = TrainEngine(start, _engine_settings(settings), World(0, 1), loss=cross_entropy)
        progress = _train(engine, environment, settings, on_progress)
        engine.export(folder)
    return progress


def reference_rollout(turns: Sequence[Turn]) -> TrainRollout:
    """A perfect rollout for the trainer: every token of the policy's turns is trained on."""
    num_sampled = sum(len(turn.token_ids) for turn in turns if turn.sampled)
    return from_turns(turns, [0.0] * num_sampled, advantage=1.0)


def exact_match(interaction: Interaction) -> float:
    """The reward that measures progress, whichever part the run trains on."""
    return next(part.value for part in interaction.parts if part.name == "exact")


def _train(
    engine: TrainEngine,
    environment: Environment,
    settings: RunSettings,
    on_progress: Callable[[SftProgress], None],
) -> SftProgress:
    evaluation, training = _tasks(settings.seed, "evaluation"), _tasks(settings.seed, "training")
    held_out = [next(evaluation) for _ in range(settings.sft.num_evaluation_tasks)]
    sampler = Sampler(
        engine.model,
        stop_ids=environment.stop_ids,
        max_new_tokens=settings.sampling.max_new_tokens,
        seed=settings.seed,
    )
    step = 0
    while True:
        step += 1
        rollouts = [
            reference_rollout(environment.reference(next(training)))
            for _ in range(settings.sft.batch_size)
        ]
        result = engine.step(rollouts, step)
        if step % settings.sft.evaluate_every and step < settings.sft.max_steps:
            continue
        sampled = asyncio.run(run_tasks(environment, held_out, sampler))
        progress = SftProgress(
            step=step,
            loss=result.metrics.loss,
            reward=fmean(exact_match(rollout.interaction) for rollout in sampled),
        )
        on_progress(progress)
        if progress.reward >= settings.sft.target_reward or step >= settings.sft.max_steps:
            return progress


def _tasks(seed: int, purpose: str) -> Iterator[int]:
    """Task indices without end; two purposes share a task by chance only."""
    draws = random.Random(f"sft {seed} {purpose}")
    while True:
        yield draws.randrange(_NUM_TASKS)


def _engine_settings(settings: RunSettings) -> TrainerSettings:
    return TrainerSettings(
        num_threads=settings.trainer.num_threads,
        learning_rate=settings.sft.learning_rate,
        token_budget=settings.trainer.token_budget,
    )
