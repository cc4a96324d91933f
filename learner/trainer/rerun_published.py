"""What was published as one version, against what a replay has computed.

Three things must agree: the announcement in POLICIES, which is believed; the manifests and files in
the bucket, of which every byte is read; and the tensors and files that the log computes.
"""

import functools
from collections.abc import Collection, Sequence
from typing import Final

from broker import retry
from broker.parallel import run_all
from broker.policies import blob, publication
from broker.store import Store
from learner.trainer.digest import weights_digest
from learner.trainer.replay_legs import Compared
from schemas import names, wire
from schemas.errors import DigestMismatch, ObjectMissing, SignatureInvalid
from schemas.policy import (
    FileEntry,
    PathManifest,
    PolicyId,
    PolicyManifest,
    TensorEntry,
)

_AT_ONCE: Final = 4
"""Files that are read at once."""
_PATIENCE_S: Final = 30.0
"""With object storage that is away: somebody sits there and waits for the comparison."""


class Published:
    """The published versions of one run."""

    def __init__(self, store: Store, run: str, run_key: str) -> None:
        self._store = store
        self._run = run
        self._run_key = run_key

    async def compare(
        self,
        policy: PolicyId,
        manifest_sha256: str,
        tensors: Sequence[TensorEntry],
        files: Collection[FileEntry],
    ) -> Compared:
        """`manifest_sha256` is the announced digest, `tensors` and `files` are computed.

        Raises:
            StoreUnavailable: object storage does not answer.
        """
        patient = retry.for_seconds(_PATIENCE_S)
        try:
            manifest, path = await patient(self._read_manifests, policy, manifest_sha256)
        except (DigestMismatch, ObjectMissing, SignatureInvalid) as error:
            return Compared(policy=policy, differing=(), damaged=(str(error),))
        found = await run_all(
            [
                functools.partial(patient, blob.find_damage, self._store, self._run, file)
                for file in path.files
            ],
            at_once=_AT_ONCE,
        )
        return Compared(
            policy=policy,
            differing=_differing(manifest, path, tensors, files),
            damaged=tuple(
                f"{file.name} {damage}"
                for file, damage in zip(path.files, found, strict=True)
                if damage
            ),
        )

    async def _read_manifests(
        self, policy: PolicyId, manifest_sha256: str
    ) -> tuple[PolicyManifest, PathManifest]:
        data = await self._store.get(names.policy_manifest_key(self._run, policy))
        if wire.sha256_hex(data) != manifest_sha256:
            raise DigestMismatch("its manifest is not the one that was announced")
        return await publication.read_policy(self._store, self._run, policy, self._run_key)


def _differing(
    manifest: PolicyManifest,
    path: PathManifest,
    tensors: Sequence[TensorEntry],
    files: Collection[FileEntry],
) -> tuple[str, ...]:
    """The names of tensors; if all are equal, of files; if these are too, of the digest."""
    for computed, published in ((tensors, manifest.tensors), (files, path.files)):
        if names_ := {entry.name for entry in set(computed) ^ set(published)}:
            return tuple(sorted(names_))
    return () if manifest.weights_digest == weights_digest(tensors) else ("weights_digest",)
