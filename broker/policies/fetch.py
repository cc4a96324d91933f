"""An actor's side of policies: from a signed announcement to a verified folder on disk.

    consumes:  announcements; URLs from the grant; objects over HTTP, believed only when verified
    produces:  <cache>/<run>-<key>/policies/<incarnation>-<version>/, a plain Hugging Face folder

Files come to `blobs/` under their digests, so that equal files of two policies come once, and are
linked into the policy's folder when all are there. The folder appears whole, by one rename.
"""

import asyncio
import functools
import os
import re
import shutil
from pathlib import Path
from typing import Final

import httpx
from msgspec import Struct

from broker.parallel import run_all, run_in_thread
from broker.policies import signing
from broker.policies.download import Downloader, Grant
from broker.policies.policy_check import check_manifests
from broker.policies.watermark import Watermark
from schemas import names, wire
from schemas.errors import DigestMismatch, SignatureInvalid, UserError
from schemas.policy import FileEntry, PathManifest, PolicyAnnouncement, PolicyId, PolicyManifest

_AT_ONCE: Final = 4
_KEPT_POLICIES: Final = 2
_FOLDER: Final = re.compile(r"^(\d{1,9})-(\d{1,9})\Z")


class FetchedPolicy(Struct, frozen=True, kw_only=True):
    """A policy on this machine's disk."""

    folder: Path
    manifest: PolicyManifest


class PolicyFetcher:
    """Fetches a run's policies, one at a time, and never goes back behind one that it has seen."""

    def __init__(
        self, *, run: str, run_key: str, grant: Grant, cache: Path, http: httpx.AsyncClient
    ) -> None:
        """`run_key` is the public half in hex, from the run card. Creates its part of the cache."""
        self._run = run
        self._run_key = run_key
        # By key as well as by name: another run of the same name has its own versions.
        home = cache / f"{names.token(run)}-{run_key[:16]}"
        self._blobs = home / "blobs"
        self._policies = home / "policies"
        for folder in (self._blobs, self._policies):
            folder.mkdir(parents=True, exist_ok=True)
        self._seen = Watermark(home / "seen")
        self._downloader = Downloader(http, grant)
        self._lock = asyncio.Lock()

    async def fetch(self, announcement: PolicyAnnouncement) -> FetchedPolicy:
        """Fetch an announced policy, or find it on disk.

        What has come in stays on disk when this fails, and the next call goes on from there.

        Raises:
            SignatureInvalid, DigestMismatch, RollbackRefused: do not use this policy.
            ObjectMissing, StoreDenied, StoreUnavailable: it cannot be had from the storage.
            UserError: the disk has no room for it.
        """
        async with self._lock:
            self._accept(announcement)
            manifest, path_manifest = await self._read_manifests(announcement)
            folder = self._policies / str(announcement.policy)
            if not _is_whole(folder, path_manifest.files):
                await self._fetch_blobs(path_manifest.files)
                await run_in_thread(self._assemble, folder, path_manifest.files)
            await run_in_thread(self._prune)
            return FetchedPolicy(folder=folder, manifest=manifest)

    def _accept(self, announcement: PolicyAnnouncement) -> None:
        signing.verify_announcement(self._run_key, announcement)
        if announcement.run != self._run:
            raise SignatureInvalid(f"an announcement of run {announcement.run}, not {self._run}")
        self._seen.advance(announcement.policy)

    async def _read_manifests(
        self, announcement: PolicyAnnouncement
    ) -> tuple[PolicyManifest, PathManifest]:
        policy = announcement.policy
        read = functools.partial(self._downloader.read, max_bytes=signing.MAX_MANIFEST_BYTES)
        data = await read(names.policy_manifest_key(self._run, policy))
        if wire.sha256_hex(data) != announcement.manifest_sha256:
            raise DigestMismatch(f"the manifest of policy {policy} is not the announced one")
        manifest = signing.open_manifest(self._run_key, data, PolicyManifest)
        data = await read(names.path_manifest_key(self._run, policy))
        path_manifest = signing.open_manifest(self._run_key, data, PathManifest)
        check_manifests(manifest, path_manifest, run=self._run, policy=policy)
        return manifest, path_manifest

    async def _fetch_blobs(self, files: tuple[FileEntry, ...]) -> None:
        missing = {
            file.sha256: file for file in files if _size(self._blobs / file.sha256) != file.size
        }.values()
        self._check_room(sum(file.size for file in missing))
        jobs = [
            functools.partial(
                self._downloader.fetch,
                names.blob_key(self._run, file.sha256),
                self._blobs / file.sha256,
                size=file.size,
                sha256=file.sha256,
            )
            for file in missing
        ]
        await run_all(jobs, at_once=_AT_ONCE)

    def _check_room(self, needed_bytes: int) -> None:
        here = sum(_size(part) for part in self._blobs.glob("*.part"))
        free_bytes = shutil.disk_usage(self._blobs).free
        if needed_bytes - here > free_bytes:
            raise UserError(
                f"a policy needs {needed_bytes} bytes in {self._blobs}, and {free_bytes} are free"
            )

    def _assemble(self, folder: Path, files: tuple[FileEntry, ...]) -> None:
        staging = folder.with_name(f".{folder.name}")
        for leftover in (staging, folder):
            shutil.rmtree(leftover, ignore_errors=True)
        staging.mkdir()
        for file in files:
            _link(self._blobs / file.sha256, staging / file.name)
        os.replace(staging, folder)

    def _prune(self) -> None:
        """Keep the newest policies and their blobs; a blob that no folder links is not needed."""
        found = sorted(
            (PolicyId(int(matched[1]), int(matched[2])), folder)
            for folder in self._policies.iterdir()
            if (matched := _FOLDER.match(folder.name))
        )
        for _, folder in found[:-_KEPT_POLICIES]:
            shutil.rmtree(folder)
        for blob in self._blobs.iterdir():
            if blob.stat().st_nlink == 1:
                blob.unlink()


def _is_whole(folder: Path, files: tuple[FileEntry, ...]) -> bool:
    """True when every file is there in its size; the bytes were verified before they got there."""
    return all(_size(folder / file.name) == file.size for file in files)


def _size(path: Path) -> int:
    """Bytes; -1 when there is no such file."""
    return path.stat().st_size if path.is_file() else -1


def _link(blob: Path, path: Path) -> None:
    try:
        os.link(blob, path)
    except OSError:
        # Some file systems have no hard links.
        shutil.copyfile(blob, path)
