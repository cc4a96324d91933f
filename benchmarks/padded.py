"""Padded training with a Hugging Face model, in two forms: Trainer itself, and a loop like it.

Both take micro-batches of 8 rows in random order, padded to their longest row, and do forward,
loss, backward, clipping and AdamW with the loss that our step computes: DPPO's mask, the sum over
trained tokens divided by all trained tokens. Trainer needs accelerate, which is no dependency; the
loop stands in for it, without callbacks, logging and a data loader.
"""

import importlib.util
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from learner.trainer.losses import loss_for
from learner.trainer.model import load_model
from learner.trainer.rollout import TrainRollout, num_trainable_tokens
from schemas.settings import TrainerSettings

MICRO_BATCH = 8
Padded = dict[str, Tensor]


def has_accelerate() -> bool:
    """True when Trainer can run."""
    return importlib.util.find_spec("accelerate") is not None


def collate(rows: Sequence[TrainRollout]) -> Padded:
    """Rows padded on the right to the longest: B rows, T tokens."""
    shape = len(rows), max(row.num_tokens for row in rows)
    ids_B_T = torch.zeros(shape, dtype=torch.long)
    attended_B_T = torch.zeros(shape, dtype=torch.long)
    mask_B_T = torch.zeros(shape, dtype=torch.bool)
    behaviour_B_T = torch.zeros(shape)
    for index, row in enumerate(rows):
        ids_B_T[index, : row.num_tokens] = torch.tensor(row.token_ids.tolist())
        attended_B_T[index, : row.num_tokens] = 1
        mask_B_T[index, : row.num_tokens] = torch.tensor(list(row.loss_mask)).bool()
        behaviour_B_T[index][mask_B_T[index]] = torch.tensor(row.logprobs.tolist())
    return {
        "input_ids": ids_B_T,
        "attention_mask": attended_B_T,
        "mask": mask_B_T,
        "behaviour": behaviour_B_T,
        "advantages": torch.tensor([row.advantage for row in rows]),
    }


def open_model(folder: Path) -> torch.nn.Module:
    """Our policy as transformers runs it: its own sdpa attention instead of our packed one."""
    model = load_model(folder, torch.device("cpu"))
    model.set_attn_implementation("sdpa")
    return model.train()


def padded_loss(model: torch.nn.Module, batch: Padded, num_tokens: float) -> Tensor:
    """A micro-batch's part of the step's loss."""
    logits_B_T_V = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
    ).logits
    mask_B_T = batch["mask"][:, 1:]
    scores_B_T_V = logits_B_T_V[:, :-1].float().log_softmax(-1)
    logprobs_B_T = scores_B_T_V.gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
    advantages_B_T = batch["advantages"][:, None].expand_as(logprobs_B_T)
    loss = loss_for(TrainerSettings().loss)
    token_loss = loss(
        logprobs_B_T[mask_B_T], batch["behaviour"][:, 1:][mask_B_T], advantages_B_T[mask_B_T]
    )
    return token_loss.loss_N.sum() / num_tokens


class Loop:
    """Trainer's arithmetic without Trainer."""

    def __init__(self, folder: Path, rows: Sequence[TrainRollout]) -> None:
        self.model = open_model(folder)
        self._settings = TrainerSettings()
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self._settings.learning_rate, fused=True
        )
        self._rows = list(rows)
        self._draw = random.Random(1)

    def run(self, num_steps: int, between: Callable[[], None]) -> None:
        """Take so many steps, with a call after each."""
        num_tokens = num_trainable_tokens(self._rows)
        for _ in range(num_steps):
            self._draw.shuffle(self._rows)
            for start in range(0, len(self._rows), MICRO_BATCH):
                batch = collate(self._rows[start : start + MICRO_BATCH])
                padded_loss(self.model, batch, num_tokens).backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._settings.max_grad_norm)
            self._optimizer.step()
            self._optimizer.zero_grad()
            between()


class _AfterStep(transformers.TrainerCallback):
    def __init__(self, between: Callable[[], None]) -> None:
        self._between = between

    def on_step_end(self, *_args: object, **_kwargs: object) -> None:
        self._between()


class _OurLoss(transformers.Trainer):
    num_tokens = 0.0
    """What a micro-batch's sum of losses is divided by."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        return padded_loss(model, inputs, self.num_tokens)


class HuggingFace:
    """Trainer itself, on one thread; it accumulates all micro-batches into one step."""

    def __init__(self, folder: Path, rows: Sequence[TrainRollout]) -> None:
        self._folder = folder
        self._rows = list(rows)

    def run(self, num_steps: int, between: Callable[[], None]) -> None:
        """Take so many steps, with a call after each."""
        settings = TrainerSettings()
        with tempfile.TemporaryDirectory() as out:
            arguments = transformers.TrainingArguments(
                output_dir=out,
                per_device_train_batch_size=MICRO_BATCH,
                gradient_accumulation_steps=len(self._rows) // MICRO_BATCH,
                max_steps=num_steps,
                learning_rate=settings.learning_rate,
                lr_scheduler_type="constant",
                max_grad_norm=settings.max_grad_norm,
                optim="adamw_torch_fused",
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                use_cpu=True,
                disable_tqdm=True,
                remove_unused_columns=False,
                dataloader_pin_memory=False,
            )
            trainer = _OurLoss(
                model=open_model(self._folder),
                args=arguments,
                train_dataset=self._rows,  # pyright: ignore[reportArgumentType]
                data_collator=collate,  # pyright: ignore[reportArgumentType]
                callbacks=[_AfterStep(between)],
            )
            trainer.remove_callback(transformers.PrinterCallback)
            # Trainer divides each micro-batch's loss by the number of micro-batches.
            num_tokens = num_trainable_tokens(self._rows)
            trainer.num_tokens = num_tokens / arguments.gradient_accumulation_steps
            trainer.train()
