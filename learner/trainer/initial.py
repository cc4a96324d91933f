"""The policy that a run begins with, from object storage, as RunOpened pins it."""

import shutil
from pathlib import Path

from broker import publication, retry
from broker.store import Store
from schemas import names, wire
from schemas.errors import DigestMismatch
from schemas.ledger import RunOpened
from schemas.policy import PolicyManifest


async def fetch_initial(store: Store, opened: RunOpened, folder: Path) -> PolicyManifest:
    """Download the initial policy into a folder; what is in it already is replaced.

    Raises:
        SignatureInvalid, DigestMismatch, ObjectMissing
    """
    async for attempt in retry.until_available():
        with attempt:
            return await _fetch(store, opened, folder)
    raise AssertionError("the retry has no limit")


async def _fetch(store: Store, opened: RunOpened, folder: Path) -> PolicyManifest:
    run, policy = opened.settings.name, opened.initial_policy
    data = await store.get(names.policy_manifest_key(run, policy))
    if wire.sha256_hex(data) != opened.initial_manifest_sha256:
        raise DigestMismatch("the initial policy is not the one that the run was opened with")
    manifest, path_manifest = await publication.read_policy(store, run, policy, opened.run_key)
    shutil.rmtree(folder, ignore_errors=True)
    await publication.download(store, path_manifest, folder)
    return manifest
