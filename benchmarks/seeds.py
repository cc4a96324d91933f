"""How far the demo's setting gets, over seeds and staleness, without the queue.

    python -m benchmarks.seeds --seeds 0-9 --lags 2,4 --steps 200 [--trainer.learning_rate 3e-4 ...]

One process plays both sides: it samples groups with the weights of `lag` steps ago, keeps those
with signal, and trains on the oldest of them, as the coordinator would cut a batch. A step's reward
is the mean over all groups that were sampled for it, with signal or without. Each finished run is a
line of JSON in the file that `--out` names, where it is not run again; then the table is printed.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import msgspec
from msgspec import Struct

from environments.catalogue import open_environment
from learner.coordinator.advantages import group_advantages, has_signal
from learner.trainer.engine import TrainEngine
from learner.trainer.model import load_model
from learner.trainer.rollout import TrainRollout, from_turns
from learner.trainer.sampler import Sampler, run_tasks
from learner.trainer.sft import run_sft
from learner.trainer.world import World
from schemas.resolve import resolve
from schemas.settings import RunSettings

_EDGE = 10
"""Steps at either end that the table averages over, as the demo's check does."""


class Study(Struct, frozen=True, kw_only=True):
    """One run."""

    seed: int
    lag: int
    sft_reward: float
    sft_s: float
    train_s: float
    """Of all steps, sampling not counted."""
    total_s: float
    """Sampling and training."""
    rewards: list[float]
    """Of each step, over all groups sampled for it."""
    masked: list[float]
    """Share of trained tokens outside the trust region."""


class GroupSource:
    """Samples groups with weights of some steps ago and hands out those with signal."""

    def __init__(self, settings: RunSettings, folder: Path, world: World) -> None:
        self._settings = settings
        self._environment = open_environment(settings.environment)
        self._model = load_model(folder, world.device)
        self._tasks = random.Random(f"study {settings.seed}")
        self._sampler = Sampler(
            self._model,
            stop_ids=self._environment.stop_ids,
            max_new_tokens=settings.sampling.max_new_tokens,
            seed=settings.seed,
        )
        self._with_signal: deque[list[TrainRollout]] = deque()

    def load(self, weights: dict) -> None:
        """Sample with these weights from now on."""
        self._model.load_state_dict(weights)

    def take_batch(self) -> tuple[list[TrainRollout], float]:
        """The oldest groups with signal, and the mean reward of all that were sampled for them."""
        num_groups = self._settings.batch.num_groups
        rewards: list[float] = []
        while len(self._with_signal) < num_groups or not rewards:
            missing = num_groups - len(self._with_signal)
            rewards.extend(self._sample(max(missing, num_groups // 4)))
        rollouts = [rollout for _ in range(num_groups) for rollout in self._with_signal.popleft()]
        return rollouts, fmean(rewards)

    def _sample(self, num_groups: int) -> list[float]:
        size = self._settings.sampling.group_size
        tasks = [self._tasks.randrange(2**53) for _ in range(num_groups)]
        repeated = [task for task in tasks for _ in range(size)]
        sampled = asyncio.run(run_tasks(self._environment, repeated, self._sampler))
        rewards = [rollout.interaction.reward for rollout in sampled]
        for start in range(0, len(sampled), size):
            group, own = sampled[start : start + size], rewards[start : start + size]
            if has_signal(own):
                self._with_signal.append(
                    [
                        from_turns(rollout.interaction.turns, rollout.logprobs, advantage)
                        for rollout, advantage in zip(group, group_advantages(own), strict=True)
                    ]
                )
        return rewards


def study(settings: RunSettings, lag: int) -> Study:
    """Fine-tune from random weights, then train all steps."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        began = time.perf_counter()
        tuned = run_sft(settings, folder, lambda _: None)
        sft_s = time.perf_counter() - began
        world = World(0, 1)
        engine = TrainEngine(folder, settings.trainer, world)
        source = GroupSource(settings, folder, world)
    began = time.perf_counter()
    history = deque([_weights(engine)], maxlen=lag + 1)
    rewards, masked, train_s = [], [], 0.0
    for step in range(1, settings.trainer.num_steps + 1):
        source.load(history[0])
        rollouts, reward = source.take_batch()
        metrics = engine.step(rollouts, step).metrics
        history.append(_weights(engine))
        rewards.append(round(reward, 4))
        masked.append(round(metrics.masked_fraction, 4))
        train_s += metrics.step_s
    return Study(
        seed=settings.seed,
        lag=lag,
        sft_reward=round(tuned.reward, 4),
        sft_s=round(sft_s, 1),
        train_s=round(train_s, 1),
        total_s=round(time.perf_counter() - began, 1),
        rewards=rewards,
        masked=masked,
    )


def _weights(engine: TrainEngine) -> dict:
    return {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}


def table(studies: Sequence[Study], num_steps: Sequence[int]) -> str:
    """Rise of the reward, from the first steps to the last, had the run ended after so many."""
    ends = [steps for steps in num_steps if steps <= min(len(one.rewards) for one in studies)]
    lines = [
        "| lag | seed | SFT | first 10 | " + " | ".join(f"{steps}" for steps in ends) + " | s |",
        "|--|--|--|--|" + "--|" * len(ends) + "--|",
    ]
    for one in sorted(studies, key=lambda one: (one.lag, one.seed)):
        first = fmean(one.rewards[:_EDGE])
        rises = " | ".join(_rise(one, first, steps) for steps in ends)
        lines.append(
            f"| {one.lag} | {one.seed} | {one.sft_reward:.2f} | {first:.3f} | {rises} "
            f"| {one.sft_s:.0f} + {one.total_s:.0f} |"
        )
    for lag in sorted({one.lag for one in studies}):
        own = [one for one in studies if one.lag == lag]
        for name, choose in (("least", min), ("mean", fmean)):
            figures = " | ".join(f"{choose([_gain(o, s) for o in own]):+.3f}" for s in ends)
            lines.append(f"| {lag} | {name} rise | | | {figures} | |")
    return "\n".join(lines)


def _rise(one: Study, first: float, steps: int) -> str:
    last = fmean(one.rewards[steps - _EDGE : steps])
    return f"{last:.3f} ({last - first:+.3f})"


def _gain(one: Study, steps: int) -> float:
    return fmean(one.rewards[steps - _EDGE : steps]) - fmean(one.rewards[:_EDGE])


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=_seeds("0-9"))
    parser.add_argument("--lags", default="2,4")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("seeds.jsonl"))
    arguments, overrides = parser.parse_known_args()
    named = ["--name", "seeds", *overrides, "--trainer.num_steps", str(arguments.steps)]
    settings = resolve(RunSettings, named)
    known = arguments.out.read_text().splitlines() if arguments.out.exists() else []
    studies = [msgspec.convert(json.loads(line), Study) for line in known]
    done = {(one.seed, one.lag) for one in studies}
    for lag in map(int, arguments.lags.split(",")):
        for seed in arguments.seeds:
            if (seed, lag) in done:
                continue
            one = study(msgspec.structs.replace(settings, seed=seed), lag)
            studies.append(one)
            with arguments.out.open("ab") as file:
                file.write(msgspec.json.encode(one) + b"\n")
    print(table(studies, [80, 100, 120, 140, 160, 180, 200, 250, 300]))


if __name__ == "__main__":
    main()
