"""The trainer's step, packed, against the padding that Hugging Face Trainer does.

Same rows, same model, one thread. The baseline does what Trainer's loop does for a causal model
(micro-batches of 8 rows in random order, padded to their longest; forward, loss, backward;
clipping, AdamW), without its callbacks and logging; Trainer itself needs accelerate, which is no
dependency.
Both compute the same loss. Tokens are real ones: padding counts for nothing.
"""

import random
import tempfile
import time
from array import array
from pathlib import Path

import torch

from benchmarks.table import Figure, of_rounds
from learner.trainer.engine import TrainEngine
from learner.trainer.model import build_model, load_model, save_folder
from learner.trainer.rollout import TrainRollout, num_trainable_tokens
from learner.trainer.world import World
from schemas.settings import ModelSettings, TrainerSettings

VOCABULARY = 48
_MICRO_BATCH = 8


def make_rollouts(chance: random.Random, count: int) -> list[TrainRollout]:
    """Lengths by a lognormal law, as rollouts have them, from 8 to 240 tokens."""
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


def measure(num_rounds: int = 3, num_rows: int = 128) -> list[Figure]:
    torch.set_num_threads(1)
    rollouts = make_rollouts(random.Random(0), num_rows)
    num_tokens = sum(one.num_tokens for one in rollouts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_folder(build_model(ModelSettings(), VOCABULARY, 0), folder)
        engine = TrainEngine(folder, TrainerSettings(), World(0, 1))
        padded = _Padded(folder)
        ratios, speeds = [], []
        for round_ in range(num_rounds + 1):
            theirs = _time(lambda: padded.step(rollouts))
            trained = num_trainable_tokens(rollouts)
            ours = _time(lambda n=round_ + 1, t=trained: engine.step(rollouts, t, n))
            if round_ > 0:  # The first round warms up.
                ratios.append(theirs / ours)
                speeds.append(num_tokens / ours)
    return [
        of_rounds(
            ratios,
            name="trainer: packed step / padded step, tokens/s",
            unit="x",
            aim="2",
            how=f"one thread, {num_rows} rows; packed: {speeds[0]:.0f} tokens/s",
        )
    ]


def _time(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class _Padded:
    def __init__(self, folder: Path) -> None:
        self._model = load_model(folder, torch.device("cpu"))
        self._model.set_attn_implementation("sdpa")
        self._model.train()
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=2e-4)

    def step(self, rollouts: list[TrainRollout]) -> None:
        order = list(rollouts)
        random.Random(1).shuffle(order)
        total = num_trainable_tokens(order)
        for start in range(0, len(order), _MICRO_BATCH):
            self._backward(order[start : start + _MICRO_BATCH], total)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _backward(self, rows: list[TrainRollout], total: int) -> None:
        longest = max(row.num_tokens for row in rows)
        ids_B_T = torch.zeros(len(rows), longest, dtype=torch.long)
        seen_B_T = torch.zeros(len(rows), longest, dtype=torch.long)
        mask_B_T = torch.zeros(len(rows), longest, dtype=torch.bool)
        behaviour_B_T = torch.zeros(len(rows), longest)
        for index, row in enumerate(rows):
            ids_B_T[index, : row.num_tokens] = torch.tensor(row.token_ids.tolist())
            seen_B_T[index, : row.num_tokens] = 1
            mask_B_T[index, : row.num_tokens] = torch.tensor(list(row.loss_mask)).bool()
            behaviour_B_T[index][mask_B_T[index]] = torch.tensor(row.logprobs.tolist())
        advantages_B = torch.tensor([row.advantage for row in rows])
        logits = self._model(input_ids=ids_B_T, attention_mask=seen_B_T, use_cache=False).logits
        logprobs = torch.log_softmax(logits[:, :-1].float(), dim=-1)
        chosen = logprobs.gather(-1, ids_B_T[:, 1:, None])[..., 0]
        behaviour, mask = behaviour_B_T[:, 1:], mask_B_T[:, 1:]
        log_ratio = chosen - behaviour
        move = chosen.detach().exp() - behaviour.exp()
        advantage = advantages_B[:, None].expand_as(move)
        keep = ~torch.where(advantage > 0, move > 0.2, move < -0.2)
        loss = -(keep * advantage * log_ratio.exp()) + 1e-3 * log_ratio**2
        ((loss * mask).sum() / total).backward()
