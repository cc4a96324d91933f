"""Brings objects of the bucket into a backup: what is there with the right bytes is left alone.

An object comes in through a file beside its place, piece by piece, and gets its name when its
digest is right. One that was interrupted goes on where it was.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from broker import retry
from broker.backup.folder import BackupFolder, sha256_of
from broker.backup.manifest import File
from broker.backup.named import Named, NamedPolicy, named_file
from broker.backup.progress import Progress
from broker.backup.records import PATIENCE_S
from broker.parallel import for_each, run_in_thread
from broker.policies import signing
from broker.policies.part_file import PartFile
from broker.policies.policy_check import check_manifests
from broker.store import Store
from schemas import names
from schemas.errors import DigestMismatch, ObjectMissing, SignatureInvalid
from schemas.policy import FileEntry, PathManifest, PolicyManifest
from schemas.wire import sha256_hex

AT_ONCE: Final = 8
PIECE_BYTES: Final = 8 << 20
"""Of an object on its way: what it takes in memory."""


class ObjectCopy:
    """The objects of a backup."""

    def __init__(self, store: Store, run: str, run_key: str, folder: BackupFolder) -> None:
        self._store = store
        self._run = run
        self._run_key = run_key
        self._folder = folder
        self.files: list[File] = []
        """That are whole in the folder."""
        self.damaged: list[str] = []
        """What the bucket does not hold as the logs name it, in words."""
        self.num_fetched = 0
        self.num_fetched_bytes = 0
        self.num_bytes = 0
        """Of all objects that are whole in the folder."""

    async def bring(self, objects: Iterable[Named], progress: Progress) -> None:
        """Bring these.

        Raises:
            StoreUnavailable: what has come in stays.
            OSError, UserError: the folder cannot be written.
        """

        async def work(named: Named) -> None:
            await self._bring(named)
            progress.advance(1)

        await for_each(objects, work, at_once=AT_ONCE)

    async def bring_policies(
        self, policies: Iterable[NamedPolicy], progress: Progress
    ) -> set[Named]:
        """Bring the manifests of these policies, and return the objects that they name.

        Raises:
            StoreUnavailable, OSError, UserError: as `bring`.
        """
        found: set[Named] = set()

        async def work(named: NamedPolicy) -> None:
            key = names.policy_manifest_key(self._run, named.policy)
            if await self._bring(Named(key, named.manifest_sha256)):
                path = self._folder.object(key)
                files = await self._bring_path(named, await asyncio.to_thread(path.read_bytes))
                found.update(named_file(self._run, file) for file in files)
            progress.advance(1)

        await for_each(policies, work, at_once=AT_ONCE)
        return found

    async def _bring(self, named: Named) -> bool:
        """False: the bucket has not got it as it should be."""
        path = self._folder.object(named.key)
        if await run_in_thread(sha256_of, path) == named.sha256:
            self._count(path, named.sha256, path.stat().st_size)
            return True
        try:
            size = await self._fetch(named, path)
        except (DigestMismatch, ObjectMissing) as error:
            self.damaged.append(str(error))
            return False
        self._count(path, named.sha256, size, is_fetched=True)
        return True

    async def _fetch(self, named: Named, path: Path) -> int:
        """Returns its size."""
        is_begun, first = _part_path(path).exists(), b""
        if not is_begun:
            first = await self._piece(named.key, 0)
            if len(first) < PIECE_BYTES:
                await run_in_thread(_write_whole, path, first, named)
                return len(first)
        path.parent.mkdir(parents=True, exist_ok=True)
        with PartFile(_part_path(path)) as part:
            await run_in_thread(part.resume)
            await run_in_thread(part.write, first)
            await self._fetch_rest(named.key, part)
            if part.sha256() != named.sha256 and is_begun:
                part.clear()
                await self._fetch_rest(named.key, part)
            await run_in_thread(_finish, part, path, named)
            return part.size

    async def _fetch_rest(self, key: str, part: PartFile) -> None:
        try:
            while True:
                data = await self._piece(key, part.size)
                await run_in_thread(part.write, data)
                if len(data) < PIECE_BYTES:
                    return
        except ObjectMissing:
            part.discard()
            raise

    async def _piece(self, key: str, offset: int) -> bytes:
        get = retry.for_seconds(PATIENCE_S)
        return await get(self._store.get, key, offset=offset, length=PIECE_BYTES)

    async def _bring_path(self, named: NamedPolicy, manifest: bytes) -> tuple[FileEntry, ...]:
        key = names.path_manifest_key(self._run, named.policy)
        path = self._folder.object(key)
        is_fetched = False
        try:
            try:
                data = await asyncio.to_thread(path.read_bytes)
                opened = self._opened(named, manifest, data)
            except (FileNotFoundError, SignatureInvalid, DigestMismatch):
                data = await retry.for_seconds(PATIENCE_S)(self._store.get, key)
                opened = self._opened(named, manifest, data)
                await run_in_thread(_write_whole, path, data, Named(key, sha256_hex(data)))
                is_fetched = True
        except (SignatureInvalid, DigestMismatch, ObjectMissing) as error:
            self.damaged.append(f"{key}: {error}")
            return ()
        self._count(path, sha256_hex(data), len(data), is_fetched=is_fetched)
        return opened.files

    def _opened(self, named: NamedPolicy, manifest: bytes, data: bytes) -> PathManifest:
        opened = signing.open_manifest(self._run_key, data, PathManifest)
        whole = signing.open_manifest(self._run_key, manifest, PolicyManifest)
        check_manifests(whole, opened, run=self._run, policy=named.policy)
        return opened

    def _count(self, path: Path, sha256: str, size: int, *, is_fetched: bool = False) -> None:
        self.files.append(File(name=self._folder.name(path), sha256=sha256))
        self.num_bytes += size
        self.num_fetched += is_fetched
        self.num_fetched_bytes += size * is_fetched


def _part_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _write_whole(path: Path, data: bytes, named: Named) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with PartFile(_part_path(path)) as part:
        part.clear()
        part.write(data)
        _finish(part, path, named)


def _finish(part: PartFile, path: Path, named: Named) -> None:
    """Raises DigestMismatch when it is not what it should be; then nothing is left of it."""
    if part.sha256() != named.sha256:
        part.discard()
        raise DigestMismatch(f"{named.key} has other bytes than those that were written")
    part.finish(path)
