"""The pure heart of the trainer: rollouts in, one optimizer step, new weights.

Each rank holds the whole model and is given its own rollouts. A step is: pack them into
micro-batches, add up their gradients, sum over the ranks in one all-reduce, clip by the global
norm, one AdamW update. All that a step computes is a function of the weights, the optimizer's
state, the rollouts of every rank and the settings; the engine knows no queue and no log.
"""

import math
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from msgspec import Struct
from safetensors.torch import load_file

from learner.trainer import checkpoint, digest, model
from learner.trainer.determinism import make_deterministic
from learner.trainer.gradients import FlatGradients
from learner.trainer.logprobs import TokenLogprobs, token_logprobs
from learner.trainer.losses import Loss, loss_for
from learner.trainer.losses.mismatch import mismatch_kl
from learner.trainer.micro_batch import MicroBatch, collate
from learner.trainer.packing import pack
from learner.trainer.rollout import TrainRollout, num_trainable_tokens
from learner.trainer.tensor_file import write_tensors
from learner.trainer.world import World
from schemas.policy import StepMetrics, TensorEntry
from schemas.settings import TrainerSettings

_NUM_FIGURES = 4
"""Loss, entropy, mismatch, share of masked tokens: each a mean over the trained tokens."""


class StepResult(Struct, frozen=True, kw_only=True):
    """What a step did."""

    metrics: StepMetrics
    """Of all ranks together; what the loop measures (publishing, waiting) is 0 in it."""
    skipped: bool
    """The gradient was not finite, and neither weights nor optimizer have changed."""


class TrainEngine:
    """A model with its optimizer, on one rank of a world."""

    def __init__(
        self,
        folder: Path,
        settings: TrainerSettings,
        world: World,
        *,
        loss: Loss | None = None,
    ) -> None:
        """Open the Hugging Face folder of the policy to start from.

        `loss` replaces the one that the settings name (supervised fine-tuning has its own).
        """
        make_deterministic(settings.num_threads)
        self.version = 0
        """Optimizer steps taken, skipped ones included."""
        self.model = model.load_model(folder, world.device)
        self._folder = folder
        self._settings = settings
        self._world = world
        self._loss = loss or loss_for(settings.loss)
        self._parameters = dict(self.model.named_parameters())
        self._gradients = FlatGradients(self._parameters.values(), _NUM_FIGURES, world.device)
        self._optimizer = torch.optim.AdamW(
            self._parameters.values(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )

    # Training

    def step(self, rollouts: Sequence[TrainRollout], step: int) -> StepResult:
        """Train on batch `step`, of which `rollouts` are this rank's part (possibly none)."""
        assert step == self.version + 1, f"step {step} does not follow version {self.version}"
        began = time.perf_counter()
        lengths = [rollout.num_tokens for rollout in rollouts]
        num_trained, num_packed = self._world.sum_counts(
            [num_trainable_tokens(rollouts), sum(lengths)]
        )
        self._gradients.clear()
        for indices in pack(lengths, self._settings.token_budget):
            batch = collate([rollouts[index] for index in indices], self._world.device)
            self._accumulate(batch, num_trained)
        loss, entropy, mismatch, masked = self._gradients.sum_over_ranks(self._world)
        grad_norm = self._gradients.clip(self._settings.max_grad_norm)
        rate = learning_rate(self._settings, step)
        skipped = not math.isfinite(grad_norm)
        if not skipped:
            self._optimizer.param_groups[0]["lr"] = rate
            self._optimizer.step()
        self.version = step
        metrics = StepMetrics(
            loss=loss,
            grad_norm=grad_norm,
            learning_rate=rate,
            entropy=entropy,
            mismatch_kl=mismatch,
            masked_fraction=masked,
            num_tokens=num_trained,
            num_packed_tokens=num_packed,
            step_s=time.perf_counter() - began,
        )
        return StepResult(metrics=metrics, skipped=skipped)

    def _accumulate(self, batch: MicroBatch, num_trained: int) -> None:
        """Add a micro-batch's gradient; `num_trained` counts the tokens of all ranks."""
        logprobs_S, entropy_S = self._score(batch)
        token_loss = self._loss(logprobs_S, batch.behaviour_S, batch.advantages_S)
        loss = token_loss.loss_N.sum() / num_trained
        loss.backward()
        mismatch_S = mismatch_kl(logprobs_S, batch.behaviour_S)
        sums = (entropy_S.sum(), mismatch_S.sum(), token_loss.masked_N.sum())
        self._gradients.add([loss.detach(), *(value / num_trained for value in sums)])

    def _score(self, batch: MicroBatch) -> TokenLogprobs:
        hidden_1NH = self.model.model(
            input_ids=batch.token_ids_N[None],
            position_ids=batch.position_ids_N[None],
            documents=batch.documents,
            use_cache=False,
        ).last_hidden_state
        return token_logprobs(
            hidden_1NH[0, batch.predictors_S], self.model.lm_head.weight, batch.targets_S
        )

    # What others see of the weights

    @torch.no_grad()
    def probe(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        """log p of each token after the first, given those before it: N ids, N - 1 values."""
        ids_N = torch.tensor(token_ids, device=self._world.device)
        hidden_1NH = self.model.model(input_ids=ids_N[None], use_cache=False).last_hidden_state
        scored = token_logprobs(hidden_1NH[0, :-1], self.model.lm_head.weight, ids_N[1:])
        return tuple(scored.logprobs_N.tolist())

    def tensor_entries(self) -> tuple[TensorEntry, ...]:
        """Every published tensor with its content digest, in the order of the names."""
        return tuple(
            digest.tensor_entry(name, tensor)
            for name, tensor in model.published_tensors(self.model).items()
        )

    def weights_digest(self) -> str:
        """Equal digests mean bit-equal weights."""
        return digest.weights_digest(self.tensor_entries())

    def export(self, folder: Path) -> None:
        """Write the policy as a Hugging Face folder: weights in float32, and every other file
        (configuration, tokenizer) as it stood in the folder that was opened."""
        folder.mkdir(parents=True, exist_ok=True)
        model.save_weights(self.model, folder)
        for path in sorted(self._folder.iterdir()):
            if path.name != model.WEIGHTS_FILE:
                shutil.copyfile(path, folder / path.name)

    # Checkpoints

    def save(self, path: Path) -> None:
        """Write a checkpoint folder, whole or not at all; every rank holds the same, one saves.

        Raises:
            UserError: the disk is full; what lay there before is untouched.
        """
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for name, parameter in self._parameters.items():
            for kind, value in self._optimizer.state[parameter].items():
                tensors[f"optimizer.{name}.{kind}"] = value
        checkpoint.write_checkpoint(path, self.version, partial(write_tensors, tensors=tensors))

    def load(self, path: Path) -> None:
        """Go on from a checkpoint: the next step gives the bits that it would have given."""
        saved = checkpoint.read_checkpoint(path)
        self.version = saved.version
        tensors = load_file(saved.tensors)
        self.model.load_state_dict(
            {name: tensors[f"model.{name}"] for name in self.model.state_dict()}
        )
        self._optimizer.state.clear()
        for name, parameter in self._parameters.items():
            prefix = f"optimizer.{name}."
            self._optimizer.state[parameter] = {
                key.removeprefix(prefix): value.to(self._world.device)
                for key, value in tensors.items()
                if key.startswith(prefix)
            }


def learning_rate(settings: TrainerSettings, step: int) -> float:
    """Linear warm-up over `warmup_steps`, then constant. Steps count from 1.

    >>> learning_rate(TrainerSettings(learning_rate=1e-3, warmup_steps=4), 2)
    0.0005
    """
    if step >= settings.warmup_steps:
        return settings.learning_rate
    return settings.learning_rate * step / settings.warmup_steps
