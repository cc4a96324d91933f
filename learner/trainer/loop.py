"""The trainer's loop, as the first rank runs it.

    consumes    batches from LOG, their rows from the archive
    produces    checkpoints, policies, announcements and events in POLICIES, heartbeats
    waits for   the next batch

For every batch: train, checkpoint where one is due, publish the policy. A policy is uploaded and
announced while the next batch is waited for and trained on, but never before the one before it.

A kill at any instant changes no bit of any policy. What is announced is in the log; what is not is
computed again from the newest checkpoint, or from the initial policy, on the same batches. Versions
that are announced already are computed again on the way and compared; a difference, as another
numerics record, starts the next incarnation.
"""

import math
import time
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from learner.trainer import checkpoint, resume
from learner.trainer.crew import Crew
from learner.trainer.feed import BatchFeed
from learner.trainer.heartbeats import Heartbeats
from learner.trainer.history import History
from learner.trainer.orders import Load, Train
from learner.trainer.policy_log import PolicyLog
from learner.trainer.policy_publisher import PolicyPublisher
from learner.trainer.replica import Replica
from learner.trainer.shelf import Shelf
from schemas.errors import DigestMismatch, PolicyTaken
from schemas.heartbeat import State
from schemas.policy import PolicyId, StepMetrics
from schemas.settings import TrainerSettings
from schemas.trainer_events import IncarnationStarted, Numerics, StepSkipped

_LAST_UPLOAD_S = 15.0
"""How long a trainer that is told to stop goes on uploading."""

logger = structlog.get_logger()


@dataclass(kw_only=True)
class Leader:
    """Decides what all ranks do, and tells the world what came of it."""

    crew: Crew
    replica: Replica
    feed: BatchFeed
    log: PolicyLog
    publisher: PolicyPublisher
    heartbeats: Heartbeats
    shelf: Shelf
    initial_folder: Path
    settings: TrainerSettings
    numerics: Numerics
    _incarnation: int = 0
    _publishing: "Future[None] | None" = None

    @property
    def _history(self) -> History:
        return self.log.history

    def run(self) -> None:
        """Train until the last step, or until the feed is told to stop.

        Raises:
            Fenced: another trainer has taken over.
        """
        in_next_incarnation = False
        while True:
            try:
                self._resume(in_next_incarnation)
                self._train()
                break
            except PolicyTaken as difference:
                logger.warning("computed-other-weights", detail=str(difference))
                in_next_incarnation = True

    # Where to go on

    def _resume(self, in_next_incarnation: bool) -> None:
        start = self._load_newest()
        if in_next_incarnation:
            start = resume.next_incarnation(start)
        self._incarnation = start.incarnation
        first = PolicyId(start.incarnation, start.version)
        logger.info("training-from", loaded=str(start.loaded), incarnation=start.incarnation)
        if start.begins:
            self._begin(first, from_checkpoint=start.from_checkpoint)
        if first not in self._history.announced:
            self._publish_first(first)
        self.heartbeats.say(State.WAITING_FOR_BATCH, policy=first)

    def _load_newest(self) -> resume.Start:
        """Load the newest state that is what was published; a checkpoint that is not is removed."""
        while True:
            start = resume.choose(self._history, self.numerics, self.shelf.policies())
            if self._load(start):
                return start
            if not start.from_checkpoint:
                raise DigestMismatch("the files of the initial policy hold other weights")
            logger.warning("checkpoint-damaged", checkpoint=str(start.loaded))
            self.shelf.discard(start.loaded)

    def _load(self, start: resume.Start) -> bool:
        """Load a state on all ranks; False when it is not the one that was published."""
        path = self.shelf.path(start.loaded)
        if start.from_checkpoint and not checkpoint.is_intact(path):
            return False
        order = Load(
            settings=self.settings,
            initial_folder=str(self.initial_folder),
            checkpoint_folder=str(path) if start.from_checkpoint else "",
            batch_sha256=self.crew.call(self.feed.seek(start.version)),
        )
        self.crew.give(order)
        self.replica.load(order)
        return self._is_as_published(start.loaded)

    def _is_as_published(self, policy: PolicyId) -> bool:
        """False when the weights in hand are not those of a policy that is announced."""
        if policy not in self._history.announced:
            return True
        published = self.crew.call(self.publisher.weights_digest(policy))
        return self.replica.engine.weights_digest() == published

    def _begin(self, first: PolicyId, *, from_checkpoint: bool) -> None:
        # The state goes under the incarnation's own name first: without it, a kill right behind
        # the event would leave an incarnation that can only be started by yet another one.
        if from_checkpoint:
            self.replica.engine.save(self.shelf.path(first))
        started = IncarnationStarted(
            instance=self.log.instance,
            incarnation=first.incarnation,
            numerics=self.numerics,
            resumed_from=first.version,
        )
        self.crew.call(self.log.write(started))

    def _publish_first(self, first: PolicyId) -> None:
        """Publish the policy that an incarnation begins with; the run's initial one is there."""
        if first.incarnation == 1:
            self.crew.call(self.publisher.announce_initial())
        else:
            product = self.publisher.export(self.replica.engine, first)
            self.crew.call(self.publisher.publish(product))

    # Steps

    def _train(self) -> None:
        while self.replica.version < self.settings.num_steps:
            self.heartbeats.say(State.WAITING_FOR_BATCH, waiting_for="the next batch")
            began = time.monotonic()
            batch = self.crew.call(self.feed.next())
            if batch is None:
                break
            self._step(batch, waited_s=time.monotonic() - began)
        self._finish()

    def _step(self, batch: bytes, waited_s: float) -> None:
        self.heartbeats.say(State.TRAINING)
        order = Train(batch=batch)
        self.crew.give(order)
        result = self.replica.train(order)
        policy = PolicyId(self._incarnation, self.replica.version)
        if policy in self._history.announced:
            if not self._is_as_published(policy):
                raise PolicyTaken(f"policy {policy} is published with other weights")
            self._checkpoint_if_due(policy)
            return
        self._settle()
        self._checkpoint_if_due(policy)
        if result.skipped and policy not in self._history.skipped:
            self._say_skipped(policy, result.metrics)
        metrics = msgspec.structs.replace(_finite(result.metrics), waited_s=waited_s)
        product = self.publisher.export(self.replica.engine, policy, metrics)
        self._publishing = self.crew.start(self.publisher.publish(product))
        logger.info("step", policy=str(policy), loss=metrics.loss, step_s=metrics.step_s)
        rate = metrics.num_packed_tokens / max(metrics.step_s, 1e-9)
        self.heartbeats.say(State.TRAINING, policy=policy, tokens_per_s=rate)

    def _say_skipped(self, policy: PolicyId, metrics: StepMetrics) -> None:
        detail = f"the gradient's norm is {metrics.grad_norm}"
        logger.warning("step-skipped", policy=str(policy), detail=detail)
        skipped = StepSkipped(
            instance=self.log.instance,
            incarnation=policy.incarnation,
            step=policy.version,
            detail=detail,
        )
        self.crew.call(self.log.write(skipped))

    def _settle(self) -> None:
        """Wait for the policy that is being published."""
        if self._publishing is None:
            return
        publishing, self._publishing = self._publishing, None
        self.crew.wait(publishing)
        last = self._history.last_version(self._incarnation)
        self.shelf.prune(self.settings.keep_checkpoints, PolicyId(self._incarnation, last))

    def _checkpoint_if_due(self, policy: PolicyId) -> None:
        version = policy.version
        due = version % self.settings.checkpoint_every == 0
        if due or version == self.settings.num_steps:
            self.replica.engine.save(self.shelf.path(policy))

    def _finish(self) -> None:
        """Leave the newest state on disk, and the last policy announced."""
        self.heartbeats.say(State.DRAINING)
        policy = PolicyId(self._incarnation, self.replica.version)
        if policy not in self.shelf.policies():
            self.replica.engine.save(self.shelf.path(policy))
        if self._publishing is not None and self.feed.stopping:
            wait([self._publishing], timeout=_LAST_UPLOAD_S)
            if not self._publishing.done():
                logger.warning("left-unannounced", policy=str(policy))
                self._publishing.cancel()
                return
        self._settle()
        if policy.version >= self.settings.num_steps:
            logger.info("run-finished", policy=str(policy), num_steps=self.settings.num_steps)


def _finite(metrics: StepMetrics) -> StepMetrics:
    """As an announcement carries them: 0 for what is not finite."""
    figures = msgspec.structs.asdict(metrics)
    return StepMetrics(**{name: x if math.isfinite(x) else 0 for name, x in figures.items()})
