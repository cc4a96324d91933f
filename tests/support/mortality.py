"""A trainer that is killed at its n-th write, by twins of broker and store that die with it."""

from pathlib import Path
from typing import Any

from broker.memory import MemoryBroker, MemoryServer, MemoryStore


class Killed(BaseException):
    """No code may catch this."""


class Mortality:
    """Counts writes; odd moments are before a write, even ones behind it, without an answer."""

    def __init__(self, moment: int) -> None:
        self._left = moment
        self.dead = False

    def tick(self) -> None:
        self._left -= 1
        self.dead = self.dead or self._left == 0
        if self.dead:
            raise Killed


class MortalBroker(MemoryBroker):
    def __init__(self, server: MemoryServer, mortality: Mortality) -> None:
        super().__init__(server)
        self._mortality = mortality

    async def append(self, *args: Any, **kwargs: Any) -> int:
        self._mortality.tick()
        sequence = await super().append(*args, **kwargs)
        self._mortality.tick()
        return sequence


class MortalStore:
    """Shares its objects with the store that it stands before."""

    def __init__(self, store: MemoryStore, mortality: Mortality) -> None:
        self._store = store
        self._mortality = mortality

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def put(self, key: str, data: bytes) -> None:
        self._mortality.tick()
        await self._store.put(key, data)
        self._mortality.tick()

    async def put_file_once(self, key: str, path: Path, *, sha256: str) -> None:
        self._mortality.tick()
        await self._store.put_file_once(key, path, sha256=sha256)
        self._mortality.tick()

    async def put_once(self, key: str, data: bytes) -> None:
        self._mortality.tick()
        await self._store.put_once(key, data)
        self._mortality.tick()
