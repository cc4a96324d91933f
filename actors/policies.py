"""Follows the run's policies, and keeps the engine on the newest one that can be had.

    consumes    announcements (`policy.<run>`, and the one in each lease reply)
    produces    the policy that groups are made with
    waits for   a policy newer than the held one; then the groups under way, before it loads

Versions are skipped freely: when a download ends, only the newest announcement counts. A policy
whose probe does not come out as the trainer's is never served, and while none is served no group
starts.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import structlog
from msgspec import Struct

from actors.engine import Engine
from actors.status import Status
from broker import retry
from broker.interface import Broker
from broker.policies.signing import verify_announcement
from schemas import wire
from schemas.errors import (
    BrokerError,
    BrokerUnavailable,
    NoResponders,
    PolicyError,
    PolicyUnloadable,
    Rejected,
    RollbackRefused,
    SignatureInvalid,
    StoreError,
    StoreUnavailable,
    UserError,
)
from schemas.heartbeat import State
from schemas.names import policy_subject
from schemas.policy import PolicyAnnouncement, PolicyId, PolicyManifest, Probe

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
        self._problem = ""
        """Why no policy is served, for a person."""

    @property
    def served(self) -> PolicyId | None:
        """None before the first one, and after a probe that came out wrong.

        While another one is loaded it is still the old one, though no group starts.
        """
        return self._served.policy if self._served else None

    @property
    def awaited(self) -> bool:
        """True while a group cannot start for want of a newer policy than the served one."""
        served = self.served
        return any(served is None or not served.suffices(least) for least in self._awaited)

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
            try:
                with self._status.doing(State.WAITING_FOR_POLICY, f"policy {least} or newer"):
                    await self._changes.until(found)
            finally:
                self._awaited.remove(least)
        served = found()
        assert served is not None
        return served

    async def _next(self) -> PolicyAnnouncement:
        def behind() -> PolicyAnnouncement | None:
            newest = self._newest
            return newest if newest and newest.policy != self._settled else None

        if self._served is None and not behind():
            why = self._problem or "the first policy"
            with self._status.doing(State.WAITING_FOR_POLICY, why):
                await self._changes.until(behind)
        await self._changes.until(behind)
        announcement = behind()
        assert announcement is not None
        return announcement

    async def _fetched(self, announcement: PolicyAnnouncement) -> Fetched | None:
        """The policy on disk; None when it cannot be had, after a pause if a retry may help."""
        try:
            with self._status.doing(State.FETCHING, f"policy {announcement.policy}"):
                fetched = await self._fetch(announcement)
        except (SignatureInvalid, RollbackRefused) as error:
            _log.warning("policy refused", policy=str(announcement.policy), why=str(error))
            self._settled = announcement.policy
            return None
        except (StoreError, BrokerError, PolicyError, UserError, OSError) as error:
            await self._pause(announcement.policy, error)
            return None
        self._failures = 0
        return fetched

    async def _pause(self, policy: PolicyId, error: Exception) -> None:
        """Say why a policy cannot be had for as long as it is not tried again."""
        self._failures += 1
        state, cause = _cause(error)
        if self.awaited and self._served is not None:
            state = State.FEED_FROZEN
        why = f"policy {policy} cannot be had: {cause}"
        if self._failures == 1:
            _log.warning("policy not fetched", why=why)
        with self._status.doing(state, why):
            await asyncio.sleep(retry.full_jitter_s(self._failures))

    async def _load(self, announcement: PolicyAnnouncement, fetched: Fetched) -> None:
        policy = announcement.policy
        self._loading = True
        try:
            await self._changes.until(lambda: self._num_groups == 0)
            with self._status.doing(State.LOADING):
                await self._engine.load(fetched.folder, policy)
                await self._check_probe(self._engine, fetched.manifest.probe)
            self._serve(Served(policy=policy, manifest_sha256=announcement.manifest_sha256))
        except PolicyError as error:
            if not isinstance(error, PolicyUnloadable):  # which leaves the engine as it was
                self._serve(None)
            self._problem = f"policy {policy} is not served: {error}"
            _log.error("policy not served", policy=str(policy), why=str(error))
        finally:
            self._settled = policy
            self._loading = False
            self._changes.notify()

    def _serve(self, served: Served | None) -> None:
        self._served = served
        self._status.policy = served.policy if served else None
        self._status.changes.notify()


def _cause(error: Exception) -> tuple[State, str]:
    """Who or what keeps a policy away, as a state and in words."""
    match error:
        case StoreUnavailable():
            return State.STORE_AWAY, f"object storage does not answer: {error}"
        case StoreError():
            return State.WAITING_FOR_POLICY, f"object storage does not give it: {error}"
        case NoResponders():
            return State.COORDINATOR_AWAY, "the run has no coordinator to grant it"
        case BrokerUnavailable():
            return State.COORDINATOR_AWAY, "the coordinator does not answer"
        case BrokerError():
            return State.WAITING_FOR_POLICY, f"no URL is granted: {error}"
        case PolicyError():
            return State.WAITING_FOR_POLICY, f"it is not what it should be: {error}"
        case _:
            return State.WAITING_FOR_POLICY, f"this disk cannot keep it: {error}"
