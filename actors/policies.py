"""Follows the run's policies, and keeps the engine on the newest one that can be had.

    consumes    announcements (`policy.<run>`, and the one in each lease reply)
    produces    the policy that groups are made with
    waits for   a policy newer than the held one; then the groups under way, before it loads

Versions are skipped freely: when a download ends, only the newest announcement counts. A policy
whose probe does not come out as the trainer's is never served, and while none is served no group
starts.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, Protocol

import structlog
from msgspec import Struct

from actors.engine import Engine
from actors.obstacle import obstacle_to
from actors.state import Said
from actors.status import Status
from broker import retry
from broker.interface import Broker
from broker.policies.signing import verify_announcement
from schemas import wire
from schemas.errors import (
    BrokerError,
    PolicyError,
    Rejected,
    RollbackRefused,
    SignatureInvalid,
    StoreError,
    UserError,
)
from schemas.heartbeat import State
from schemas.names import policy_subject
from schemas.policy import PolicyAnnouncement, PolicyId, PolicyManifest, Probe

_HOPEFUL_S: Final = 20.0
"""A download that has not failed by then gets on: silences end sooner, see `broker.policies`."""

_log = structlog.get_logger(__name__)


class Fetched(Protocol):
    """A policy on disk, every byte of it verified."""

    @property
    def folder(self) -> Path: ...

    @property
    def manifest(self) -> PolicyManifest: ...


Fetch = Callable[[PolicyAnnouncement], Awaitable[Fetched]]
CheckProbe = Callable[[Engine, Probe], Awaitable[None]]


class Served(Struct, frozen=True, kw_only=True):
    """The policy that the engine has loaded, and whose probe came out right."""

    policy: PolicyId
    manifest_sha256: str


class Policies:
    """The feed of policies and the engine's turn-taking between groups and loads."""

    def __init__(
        self,
        *,
        broker: Broker,
        run: str,
        run_key: str,
        engine: Engine,
        fetch: Fetch,
        check_probe: CheckProbe,
        status: Status,
    ) -> None:
        self._broker = broker
        self._run = run
        self._run_key = run_key
        self._engine = engine
        self._fetch = fetch
        self._check_probe = check_probe
        self._status = status
        self._changes = status.changes
        self._failures = 0
        """Downloads that failed in a row."""
        self._newest: PolicyAnnouncement | None = None
        self._settled: PolicyId | None = None
        """The last policy that was loaded, or refused for good."""
        self._served: Served | None = None
        self._loading = False
        self._num_groups = 0
        self._awaited: list[PolicyId] = []
        """The least policy of each group that cannot start yet."""

    @property
    def served(self) -> PolicyId | None:
        """None before the first one, and after a probe that came out wrong.

        While another one is loaded it is still the old one, though no group starts.
        """
        return self._served.policy if self._served else None

    def offer(self, announcement: PolicyAnnouncement) -> None:
        """Take note of an announcement, wherever it came from."""
        newest = self._newest
        if announcement.run != self._run or (newest and announcement.policy <= newest.policy):
            return
        try:
            verify_announcement(self._run_key, announcement)
        except SignatureInvalid as error:
            _log.warning("announcement ignored", policy=str(announcement.policy), why=str(error))
            return
        self._newest = announcement
        self._changes.notify()

    async def listen(self) -> None:
        """Take note of every announcement that is published from now on."""
        async for _subject, data in self._broker.listen(policy_subject(self._run)):
            try:
                self.offer(wire.decode(data, PolicyAnnouncement))
            except Rejected as error:
                _log.warning("announcement ignored", why=str(error))

    async def follow(self) -> None:
        """Fetch and load whatever is newest, one after the other, for ever."""
        while True:
            announcement = await self._next()
            fetched = await self._fetched(announcement)
            if fetched:
                await self._load(announcement, fetched)

    @asynccontextmanager
    async def serving(self, least: PolicyId) -> AsyncIterator[Served]:
        """Hold a policy of at least `least` for one group: none is loaded until the block ends."""
        served = await self._sufficient(least)
        self._num_groups += 1
        try:
            yield served
        finally:
            self._num_groups -= 1
            self._changes.notify()

    async def _sufficient(self, least: PolicyId) -> Served:
        def found() -> Served | None:
            served = None if self._loading else self._served
            return served if served and served.policy.suffices(least) else None

        if not found():
            self._awaited.append(least)
            self._note_awaited()
            try:
                await self._changes.until(found)
            finally:
                self._awaited.remove(least)
                self._note_awaited()
        served = found()
        assert served is not None
        return served

    async def _next(self) -> PolicyAnnouncement:
        def behind() -> PolicyAnnouncement | None:
            newest = self._newest
            return newest if newest and newest.policy != self._settled else None

        await self._changes.until(behind)
        announcement = behind()
        assert announcement is not None
        return announcement

    async def _fetched(self, announcement: PolicyAnnouncement) -> Fetched | None:
        """The policy on disk; None when it cannot be had, after a pause if a retry may help."""
        policy = announcement.policy
        try:
            with self._fetching(policy):
                fetched = await self._fetch(announcement)
        except (SignatureInvalid, RollbackRefused) as error:
            _log.warning("policy refused", policy=str(policy), why=str(error))
            self._note(Said(State.WAITING_FOR_POLICY, f"policy {policy} is refused: {error}"))
            self._settled = policy
            return None
        except (StoreError, BrokerError, PolicyError, UserError, OSError) as error:
            self._failures += 1
            obstacle = obstacle_to(policy, error)
            if self._failures == 1:
                _log.warning("policy not fetched", why=obstacle.waiting_for)
            self._note(obstacle)
            await asyncio.sleep(retry.full_jitter_s(self._failures))
            return None
        self._failures = 0
        self._note(None)
        return fetched

    @contextmanager
    def _fetching(self, policy: PolicyId) -> Iterator[None]:
        """Say that it is fetched; what failed before is forgotten once this attempt gets on."""
        hope = asyncio.get_running_loop().call_later(_HOPEFUL_S, self._note, None)
        self._status.fetching = policy
        self._changes.notify()
        try:
            yield
        finally:
            hope.cancel()
            self._status.fetching = None
            self._changes.notify()

    async def _load(self, announcement: PolicyAnnouncement, fetched: Fetched) -> None:
        policy = announcement.policy
        self._loading = True
        try:
            with self._status.doing(State.LOADING):
                await self._changes.until(lambda: self._num_groups == 0)
                await self._engine.load(fetched.folder, policy)
                await self._check_probe(self._engine, fetched.manifest.probe)
            self._serve(Served(policy=policy, manifest_sha256=announcement.manifest_sha256))
        except PolicyError as error:
            if self._engine.policy == policy:  # else it has the old one still
                self._serve(None)
            self._note(Said(State.WAITING_FOR_POLICY, f"policy {policy} is not served: {error}"))
            _log.error("policy not served", policy=str(policy), why=str(error))
        finally:
            self._settled = policy
            self._loading = False
            self._changes.notify()

    def _serve(self, served: Served | None) -> None:
        self._served = served
        self._status.policy = served.policy if served else None
        self._changes.notify()

    def _note(self, obstacle: Said | None) -> None:
        """Say what keeps the newest policy from being served."""
        self._status.obstacle = obstacle
        self._changes.notify()

    def _note_awaited(self) -> None:
        self._status.awaited = tuple(self._awaited)
        self._changes.notify()
