"""The trainer's step, packed, against Hugging Face Trainer padding the same rows.

Same rows, same initial weights, same loss, optimizer and clipping, one thread, taking turns step by
step: after each padded step the packed one is timed. Lengths follow a lognormal law, as those of
rollouts do. Tokens are real ones: padding counts for nothing. Where accelerate is not installed, a
loop stands in for Trainer (`benchmarks.padded`), and the row says so.
"""

import random
import tempfile
import time
from array import array
from pathlib import Path
from statistics import median

import torch

from benchmarks import padded
from benchmarks.table import Figure, of_rounds
from learner.trainer.engine import TrainEngine
from learner.trainer.model import build_model, save_folder
from learner.trainer.rollout import TrainRollout
from learner.trainer.world import World
from schemas.settings import ModelSettings, TrainerSettings

VOCABULARY = 48


def make_rollouts(chance: random.Random, count: int) -> list[TrainRollout]:
    """From 8 to 240 tokens, 45 in the median."""
    rollouts = []
    for _ in range(count):
        length = max(8, min(240, round(chance.lognormvariate(3.8, 0.8))))
        ids = array("I", [chance.randrange(6, VOCABULARY) for _ in range(length)])
        mask = b"\0" * 4 + b"\1" * (length - 4)
        logprobs = array("f", [-chance.expovariate(0.5) for _ in range(length - 4)])
        rollouts.append(
            TrainRollout(
                token_ids=ids, loss_mask=mask, logprobs=logprobs, advantage=chance.uniform(-1, 1)
            )
        )
    return rollouts


class _Turns:
    """Called after each padded step: notes its time, then takes and times a packed one."""

    def __init__(self, engine: TrainEngine, rollouts: list[TrainRollout]) -> None:
        self._engine = engine
        self._rollouts = rollouts
        self._began = time.perf_counter()
        self.theirs_s: list[float] = []
        self.ours_s: list[float] = []

    def __call__(self) -> None:
        turned = time.perf_counter()
        step = len(self.ours_s) + 1
        self._engine.step(self._rollouts, step)
        ended = time.perf_counter()
        self.theirs_s.append(turned - self._began)
        self.ours_s.append(ended - turned)
        self._began = ended


def measure(num_rounds: int = 11, num_rows: int = 128) -> list[Figure]:
    torch.set_num_threads(1)
    rollouts = make_rollouts(random.Random(0), num_rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_folder(build_model(ModelSettings(), VOCABULARY, 0), folder)
        turns = _Turns(TrainEngine(folder, TrainerSettings(), World(0, 1)), rollouts)
        kind = padded.HuggingFace if padded.has_accelerate() else padded.Loop
        kind(folder, rollouts).run(num_rounds + 1, turns)
    theirs_s, ours_s = turns.theirs_s[1:], turns.ours_s[1:]  # The first round warms up.
    num_tokens = sum(one.num_tokens for one in rollouts)
    ours, theirs = num_tokens / median(ours_s), num_tokens / median(theirs_s)
    if padded.has_accelerate():
        against = f"{theirs:.0f} tokens/s of Hugging Face Trainer"
    else:
        against = f"{theirs:.0f} tokens/s of a loop like Trainer's (accelerate is not installed)"
    return [
        of_rounds(
            [their / our for their, our in zip(theirs_s, ours_s, strict=True)],
            name="trainer: packed step / padded step, tokens/s",
            unit="x",
            aim="2",
            how=f"one thread, {num_rows} rows; {ours:.0f} against {against}",
        )
    ]
