"""One rank's copy of the model, and what it does when it is told to.

A batch is taken only behind the batch that made the state in hand: the chain of digests is checked
on every rank.
"""

from pathlib import Path

from learner.trainer import packing
from learner.trainer.engine import StepResult, TrainEngine
from learner.trainer.orders import Load, Train
from learner.trainer.rollout import from_group
from learner.trainer.rows import RowReader
from learner.trainer.world import World
from schemas.batch import Batch
from schemas.errors import DigestMismatch
from schemas.wire import decode_own, sha256_hex


class Replica:
    """Loads states and trains on batches. Every rank calls the same methods in the same order."""

    engine: TrainEngine
    """From the first `load` on."""

    def __init__(self, world: World, rows: RowReader) -> None:
        self._world = world
        self._rows = rows
        self._batch_sha256: str | None = None

    @property
    def version(self) -> int:
        return self.engine.version

    def load(self, order: Load) -> None:
        """Take the state that the order names."""
        self.engine = TrainEngine(Path(order.initial_folder), order.settings, self._world)
        if order.checkpoint_folder:
            self.engine.load(Path(order.checkpoint_folder))
        self._batch_sha256 = order.batch_sha256

    def train(self, order: Train) -> StepResult:
        """Take the step that turns the version in hand into the next one.

        Raises:
            DigestMismatch: the batch does not follow the one that made the version in hand, or a
                row's bytes are not what the batch says.
        """
        batch = decode_own(order.batch, Batch)
        if (batch.step, batch.previous_sha256) != (self.version + 1, self._batch_sha256):
            raise DigestMismatch(
                f"batch {batch.step} of the log does not follow the batch that made version "
                f"{self.version}"
            )
        dealt = packing.deal([sum(row.num_tokens) for row in batch.rows], self._world.size)
        rows = [batch.rows[index] for index in dealt[self._world.rank]]
        rollouts = [
            rollout
            for row, group in zip(rows, self._rows.read(rows), strict=True)
            for rollout in from_group(group, row.advantages)
        ]
        result = self.engine.step(rollouts, batch.step)
        self._batch_sha256 = sha256_hex(order.batch)
        return result
