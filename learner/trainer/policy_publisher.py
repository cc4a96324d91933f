"""Policies out: data, then manifests, then the announcement, one policy behind another.

Weights are exported while the trainer waits; the rest happens beside it, on the portal's loop.
"""

import asyncio
import shutil
import time
from pathlib import Path

import msgspec

from broker import retry
from broker.policies import publication
from broker.policies.signing import RunKey, sign_announcement
from broker.store import Store
from learner.trainer.digest import weights_digest
from learner.trainer.engine import TrainEngine
from learner.trainer.heartbeats import Heartbeats
from learner.trainer.policy_log import PolicyLog
from schemas.arrays import pack_f32, unpack_u32
from schemas.ledger import RunOpened
from schemas.policy import (
    PolicyId,
    PolicyManifest,
    Probe,
    StepMetrics,
    TensorEntry,
)


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that is ready to be published."""

    policy: PolicyId
    folder: Path
    """Of its export; removed when the policy is announced."""
    tensors: tuple[TensorEntry, ...]
    weights_digest: str
    probe: Probe
    metrics: StepMetrics


class PolicyPublisher:
    """Publishes the policies of one run."""

    def __init__(
        self,
        store: Store,
        log: PolicyLog,
        heartbeats: Heartbeats,
        key: RunKey,
        initial: PolicyManifest,
        opened: RunOpened,
        folder: Path,
    ) -> None:
        """`initial` says what is the same in every policy: run, renderer, the probe's text."""
        self._store = store
        self._log = log
        self._heartbeats = heartbeats
        self._key = key
        self._initial = initial
        self._opened = opened
        self._folder = folder
        self._publish_s = 0.0

    def export(
        self, engine: TrainEngine, policy: PolicyId, metrics: StepMetrics = StepMetrics()
    ) -> Product:
        """Write the engine's weights to disk; from then on it may change them."""
        folder = self._folder / str(policy)
        shutil.rmtree(folder, ignore_errors=True)
        engine.export(folder)
        tensors = engine.tensor_entries()
        token_ids = self._initial.probe.token_ids
        logprobs = pack_f32(engine.probe(unpack_u32(token_ids)))
        return Product(
            policy=policy,
            folder=folder,
            tensors=tensors,
            weights_digest=weights_digest(tensors),
            probe=Probe(token_ids=token_ids, logprobs=logprobs),
            metrics=metrics,
        )

    async def publish(self, product: Product) -> None:
        """Put a policy into object storage, and announce it.

        Raises:
            Fenced: another trainer has taken over.
            PolicyTaken: something else is published under the policy's name.
        """
        began = time.monotonic()
        await self._log.check_held()
        manifest_sha256 = await retry.until_available()(self._put, product)
        await self._announce(
            product.policy,
            manifest_sha256,
            msgspec.structs.replace(product.metrics, publish_s=self._publish_s),
        )
        self._publish_s = time.monotonic() - began
        await asyncio.to_thread(shutil.rmtree, product.folder, ignore_errors=True)

    async def announce_initial(self) -> None:
        """Announce the initial policy, which the launcher has put into object storage.

        Raises:
            Fenced: another trainer has taken over.
        """
        await self._announce(
            self._opened.initial_policy, self._opened.initial_manifest_sha256, StepMetrics()
        )

    async def weights_digest(self, policy: PolicyId) -> str:
        """That of a published policy.

        Raises:
            SignatureInvalid, DigestMismatch, ObjectMissing
        """
        manifest = await retry.until_available()(self._read_manifest, policy)
        return manifest.weights_digest

    async def _read_manifest(self, policy: PolicyId) -> PolicyManifest:
        with self._heartbeats.asking_store():
            manifest, _ = await publication.read_policy(
                self._store, self._initial.run, policy, self._key.public
            )
        return manifest

    async def _announce(self, policy: PolicyId, manifest_sha256: str, metrics: StepMetrics) -> None:
        announcement = sign_announcement(
            self._key,
            run=self._initial.run,
            policy=policy,
            manifest_sha256=manifest_sha256,
            instance=self._log.instance,
            metrics=metrics,
        )
        await self._log.announce(announcement)

    async def _put(self, product: Product) -> str:
        history = self._log.history
        before = history.before(product.policy)
        with self._heartbeats.asking_store():
            return await publication.publish_anchor(
                self._store,
                self._key,
                product.folder,
                run=self._initial.run,
                policy=product.policy,
                tensors=product.tensors,
                weights_digest=product.weights_digest,
                renderer=self._initial.renderer,
                probe=product.probe,
                previous_sha256=history.announced[before].manifest_sha256 if before else None,
            )
