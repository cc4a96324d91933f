"""The learner's side of policies in object storage: publish one, read one back.

Order of writing: the files, under the digests of their bytes; the path manifest; the policy
manifest. Manifests are signed and written once. A reader who has a manifest can have everything
that it names, and a publication that was interrupted is simply repeated.
"""

import asyncio
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from broker.parallel import run_all
from broker.policies import blob, signing
from broker.policies.policy_check import check_manifests
from broker.store import Store
from schemas import names, wire
from schemas.errors import (
    DigestMismatch,
    ObjectExists,
    PolicyTaken,
    SignatureInvalid,
    UserError,
)
from schemas.policy import (
    FileEntry,
    FileName,
    PathManifest,
    PolicyId,
    PolicyKind,
    PolicyManifest,
    Probe,
    TensorEntry,
)

_AT_ONCE: Final = 4
"""Files on their way at once, each of them whole in memory."""
_WEIGHTS: Final = (".safetensors", ".safetensors.index.json")


async def publish_anchor(
    store: Store,
    key: signing.RunKey,
    folder: Path,
    *,
    run: str,
    policy: PolicyId,
    tensors: Sequence[TensorEntry],
    weights_digest: str,
    renderer: str,
    probe: Probe,
    previous_sha256: str | None,
) -> str:
    """Publish a plain Hugging Face folder, and return the digest for the announcement.

    A trainer that repeats a step meets its own manifests, and adopts them.

    Raises:
        UserError: something in the folder cannot be part of a policy; nothing is stored.
        PolicyTaken: another trainer has published something else as this policy.
        StoreUnavailable: call again with the same arguments.
    """
    paths = await asyncio.to_thread(_files_of, folder)
    files = await run_all(
        [functools.partial(blob.upload, store, run, path) for path in paths], at_once=_AT_ONCE
    )
    path_manifest = PathManifest(
        run=run, policy=policy, weights_digest=weights_digest, files=tuple(files)
    )
    manifest = PolicyManifest(
        run=run,
        policy=policy,
        kind=PolicyKind.FULL,
        weights_digest=weights_digest,
        tensors=tuple(tensors),
        files=tuple(file for file in files if not file.name.endswith(_WEIGHTS)),
        renderer=renderer,
        probe=probe,
        previous_sha256=previous_sha256,
    )
    check_manifests(manifest, path_manifest, run=run, policy=policy)
    await _write_once(store, key, names.path_manifest_key(run, policy), path_manifest)
    return await _write_once(store, key, names.policy_manifest_key(run, policy), manifest)


async def read_policy(
    store: Store, run: str, policy: PolicyId, run_key: str
) -> tuple[PolicyManifest, PathManifest]:
    """A policy's two manifests, verified.

    Raises:
        SignatureInvalid, DigestMismatch, ObjectMissing, StoreUnavailable
    """
    data = await store.get(names.policy_manifest_key(run, policy))
    manifest = signing.open_manifest(run_key, data, PolicyManifest)
    data = await store.get(names.path_manifest_key(run, policy))
    path_manifest = signing.open_manifest(run_key, data, PathManifest)
    check_manifests(manifest, path_manifest, run=run, policy=policy)
    return manifest, path_manifest


async def read_files(store: Store, path_manifest: PathManifest, folder: Path) -> None:
    """Write the files of a verified path manifest into a folder, which is made if need be.

    Raises:
        DigestMismatch: an object has other bytes than the manifest says; its file is not written.
        ObjectMissing, StoreUnavailable
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    jobs = [
        functools.partial(_read_file, store, path_manifest.run, file, folder)
        for file in path_manifest.files
    ]
    await run_all(jobs, at_once=_AT_ONCE)


def _files_of(folder: Path) -> list[Path]:
    """What a policy is made of; what begins with a dot belongs to the tools that fetched it."""
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} is no file, and a policy is a folder of files: take it out")
        try:
            msgspec.convert(path.name, FileName)
        except msgspec.ValidationError:
            raise UserError(
                f"{str(path)!r} is no name for a file of a policy: it takes 1 to 128 of "
                "A-Z a-z 0-9 _ . -, so rename it or take it out"
            ) from None
    return paths


async def _read_file(store: Store, run: str, file: FileEntry, folder: Path) -> None:
    data = await store.get(names.blob_key(run, file.sha256))
    if await asyncio.to_thread(wire.sha256_hex, data) != file.sha256:
        raise DigestMismatch(f"{file.name} has other bytes than the manifest says")
    await asyncio.to_thread((folder / file.name).write_bytes, data)


async def _write_once(
    store: Store, key: signing.RunKey, name: str, manifest: PolicyManifest | PathManifest
) -> str:
    """Write a signed manifest, or adopt the equal one that is there; the digest of the object."""
    data = signing.sign_manifest(key, manifest)
    try:
        await store.put_once(name, data)
    except ObjectExists:
        data = await store.get(name)
        # Compared as messages: equal ones may differ in bytes between versions of zstd.
        if not _is_ours(key, data, manifest):
            raise PolicyTaken(
                f"policy {manifest.policy} of run {manifest.run} is already published with other "
                "contents: another trainer has published other weights under this name"
            ) from None
    return wire.sha256_hex(data)


def _is_ours(key: signing.RunKey, data: bytes, manifest: PolicyManifest | PathManifest) -> bool:
    try:
        return signing.open_manifest(key.public, data, type(manifest)) == manifest
    except SignatureInvalid:
        return False
