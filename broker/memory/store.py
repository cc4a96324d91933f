"""Object storage in this process's memory: the twin that unit tests and simulations run on."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from broker.store import ObjectInfo
from schemas.errors import DigestMismatch, ObjectExists, ObjectMissing, StoreUnavailable
from schemas.wire import sha256_hex


class MemoryStore:
    """A `broker.store.Store`. While `away` is True every call raises StoreUnavailable."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self.away = False
        self._now = now
        self._objects: dict[str, tuple[bytes, float]] = {}

    async def put(self, key: str, data: bytes) -> None:
        self._check_here()
        self._objects[key] = (bytes(data), self._now())

    async def put_once(self, key: str, data: bytes) -> None:
        self._check_here()
        if key in self._objects:
            raise ObjectExists(f"{key} is already written")
        self._objects[key] = (bytes(data), self._now())

    async def put_file_once(self, key: str, path: Path, *, sha256: str) -> None:
        data = await asyncio.to_thread(path.read_bytes)
        if sha256_hex(data) != sha256:
            raise DigestMismatch(f"{path} has other bytes than it should have")
        await self.put_once(key, data)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        assert offset >= 0
        assert length is None or length > 0
        self._check_here()
        if key not in self._objects:
            raise ObjectMissing(f"there is no object {key}")
        data, _ = self._objects[key]
        return data[offset:] if length is None else data[offset : offset + length]

    async def head(self, key: str) -> ObjectInfo | None:
        self._check_here()
        if key not in self._objects:
            return None
        return self._info(key)

    async def list(self, prefix: str) -> list[ObjectInfo]:
        self._check_here()
        return [self._info(key) for key in sorted(self._objects) if key.startswith(prefix)]

    async def delete(self, key: str) -> None:
        self._check_here()
        self._objects.pop(key, None)

    def presign_get(self, key: str, *, lifetime_s: float) -> str:
        return f"memory://{key}"

    async def close(self) -> None:
        pass

    def _info(self, key: str) -> ObjectInfo:
        data, modified = self._objects[key]
        return ObjectInfo(key=key, size=len(data), modified=modified)

    def _check_here(self) -> None:
        if self.away:
            raise StoreUnavailable("the object storage is away")
