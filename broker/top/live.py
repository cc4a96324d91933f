"""Follows a run: its two logs, its heartbeats and its queues, and folds what they say.

consumes   LOG and POLICIES from their beginnings, heartbeats from now on, the queues' states
produces   views
waits for  the servers, when they are away: what was last known stays, and the view says so
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from broker.changes import Changes
from broker.heard import Heard
from broker.interface import Broker
from broker.inventory import read_inventory
from broker.logbook import PolicyReader, log_item
from broker.parallel import run_all
from broker.top.badges import Badges
from broker.top.columns import arranged
from broker.top.fold import Fold
from broker.top.server_clock import ServerClock
from broker.top.sort import Sort
from broker.top.view import Judged, TopView
from schemas import names
from schemas.errors import BrokerUnavailable

_MAX_SENDERS: Final = 1000
"""Of heartbeats."""
_QUEUES_EVERY_S: Final = 1.0
_TURN: Final = 256
"""After so many records of a log, others may do something."""


class Live:
    """A run as it is known here at this moment. Whoever makes one lets `follow` run beside it."""

    def __init__(
        self,
        broker: Broker,
        run: str,
        *,
        badges: Badges = dict,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`badges` says what the accounts know of actors, by id."""
        self.run = run
        self._broker = broker
        self._badges = badges
        self._clock = ServerClock(wall_clock)
        self._fold = Fold(run)
        self._heard = Heard(max_senders=_MAX_SENDERS)
        self._changes = Changes()
        self._log_end = self._policies_end = -1
        """As they were at the start; -1 before it."""
        self._is_counted = False
        """The queues were."""

    async def follow(self) -> None:
        """Fold whatever comes, until it is cancelled or the connection closes.

        Raises:
            BrokerError: a stream of the run is not there, or may not be read.
        """
        log, policies = names.log_stream(self.run), names.policies_stream(self.run)
        self._log_end = (await self._broker.state(log)).last_sequence
        self._policies_end = (await self._broker.state(policies)).last_sequence
        jobs = (self._follow_log, self._follow_policies, self._listen, self._count_queues)
        await run_all(jobs, at_once=len(jobs))

    @property
    def share_read(self) -> float:
        """Of both logs, as they were at the start."""
        if self._policies_end < 0:
            return 0.0
        end = self._log_end + self._policies_end
        read = min(self._fold.last_log, self._log_end)
        read += min(self._fold.last_policies, self._policies_end)
        return read / end if end else 1.0

    async def until_known(self, *, timeout_s: float) -> None:
        """Wait until the logs are read and the queues counted; then, for so long at most, until
        everybody who has a lease, the coordinator and the trainer have said something."""
        await self.until(lambda: self.share_read == 1.0 and self._is_counted)
        expected = self._fold.holders | {names.COORDINATOR, names.TRAINER}
        await self.until(lambda: expected <= self._heard.seen.keys(), timeout_s=timeout_s)

    async def until(
        self, condition: Callable[[], object], *, timeout_s: float | None = None
    ) -> None:
        """Wait until it holds, or the time is over; it is looked at after every change."""
        await self._changes.until(condition, timeout_s=timeout_s)

    def view(self, sort: Sort, *, reverse: bool = False, containing: str = "") -> TopView:
        """The run as it is known, its actors sorted."""
        now = self._clock.now()
        actors = self._fold.actors(self._heard, self._badges(), now)
        return TopView(
            time=now,
            connected=self._broker.connected,
            share_read=self.share_read,
            head=self._fold.head(self._heard, now),
            actors=tuple(arranged(actors, sort, reverse, containing)),
            num_unlisted=self._fold.num_unlisted,
        )

    def judged(self, actor: str) -> list[Judged]:
        """The last verdicts on an actor's messages, the newest first."""
        return self._fold.judged(actor)

    async def _follow_log(self) -> None:
        async for record in self._broker.follow(names.log_stream(self.run)):
            self._clock.hear(record.time, live=record.sequence > self._log_end)
            self._fold.add_log(log_item(self.run, record))
            await self._give_way(record.sequence)

    async def _follow_policies(self) -> None:
        await self._changes.until(lambda: self._fold.course.opened)
        opened = self._fold.course.opened
        assert opened is not None
        reader = PolicyReader(self.run, opened.run_key)
        async for record in self._broker.follow(names.policies_stream(self.run)):
            self._fold.add_policy(reader.read(record))
            await self._give_way(record.sequence)

    async def _give_way(self, sequence: int) -> None:
        self._changes.notify()
        if sequence % _TURN == 0:
            await asyncio.sleep(0)

    async def _listen(self) -> None:
        async for subject, data in self._broker.listen(names.heartbeats_filter(self.run)):
            if self._heard.take(subject, data):
                self._changes.notify()

    async def _count_queues(self) -> None:
        while True:
            with suppress(BrokerUnavailable):  # Then the view says that it is away.
                queues = (await read_inventory(self._broker)).queues(self.run)
                self._fold.count_queues([await self._broker.state(queue) for queue in queues])
                self._is_counted = True
                self._changes.notify()
            await asyncio.sleep(_QUEUES_EVERY_S)
