"""A file of a policy in object storage, under the digest of its bytes.

Whoever writes under such a key writes the same bytes, so it may be written again: that is how an
object that was damaged gets its bytes back.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from broker.store import Store
from schemas import names
from schemas.errors import ObjectMissing
from schemas.policy import FileEntry

_CHUNK_BYTES: Final = 8 << 20
"""Of an object that is read to be hashed: what it takes in memory."""


def file_entry(path: Path) -> FileEntry:
    """A file on disk as manifests name it."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(name=path.name, size=path.stat().st_size, sha256=sha256)


async def find_damage(store: Store, run: str, file: FileEntry) -> str:
    """What is wrong with a file's object; empty when every byte is there.

    Raises:
        StoreUnavailable
    """
    key = names.blob_key(run, file.sha256)
    there = await store.head(key)
    if there is None:
        return "is missing"
    if there.size != file.size:
        return f"has {there.size} bytes instead of {file.size}"
    sha256 = hashlib.sha256()
    try:
        for offset in range(0, file.size, _CHUNK_BYTES):
            data = await store.get(key, offset=offset, length=_CHUNK_BYTES)
            await asyncio.to_thread(sha256.update, data)
    except ObjectMissing:
        return "is missing"
    return "" if sha256.hexdigest() == file.sha256 else "has other bytes"


async def upload(store: Store, run: str, path: Path) -> FileEntry:
    """Write a file's object unless it is there whole; the file is in memory meanwhile.

    Raises:
        StoreUnavailable
    """
    file = await asyncio.to_thread(file_entry, path)
    if await find_damage(store, run, file):
        data = await asyncio.to_thread(path.read_bytes)
        await store.put(names.blob_key(run, file.sha256), data)
    return file
