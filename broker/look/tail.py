"""Follows a run: what has happened last, and then what happens, as it happens.

consumes   LOG and POLICIES; with `words` also heartbeats and verdicts, which no stream keeps
produces   happenings, each given to `show`
waits for  the server, when it is away: `say` is told so
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from broker.interface import Broker, Record, StreamState
from broker.inventory import read_inventory
from broker.logbook import PolicyReader, first_event, log_item, read_log
from broker.look.happenings import Happening, of_heartbeat, of_log, of_policies, of_verdict
from broker.parallel import run_all
from schemas import names

_LOOK_EVERY_S: Final = 0.5
"""Whether the server is there."""
_NO_KEY: Final = "0" * 64

Show = Callable[[Happening], None]


async def tail(
    broker: Broker, run: str, *, last: int, words: bool, show: Show, say: Callable[[str], None]
) -> None:
    """Show the last happenings of both logs by time, and then all that come, until cancelled.

    Raises:
        UserError: there is no such run.
        BrokerError: a stream of it is not there, or may not be read.
    """
    (await read_inventory(broker)).require(run)
    log = await broker.state(names.log_stream(run))
    policies = await broker.state(names.policies_stream(run))
    reader = _Policies(broker, run)
    past = [*await _last_of_log(broker, run, log, last), *await reader.last(policies, last)]
    past.sort(key=lambda each: each.time)
    for happening in past[max(0, len(past) - last) :]:
        show(happening)
    jobs: list[Callable[[], Awaitable[None]]] = [
        partial(_follow_log, broker, run, log, show),
        partial(_follow_policies, broker, policies, reader, show),
        partial(_watch_link, broker, say),
    ]
    if words:
        jobs += [partial(_hear_heartbeats, broker, run, show)]
        jobs += [partial(_hear_verdicts, broker, run, show)]
    await run_all(jobs, at_once=len(jobs))


async def _last_of_log(broker: Broker, run: str, log: StreamState, last: int) -> list[Happening]:
    first, end = log.last_sequence - last + 1, log.last_sequence
    items = [item async for item in read_log(broker, run, first=max(1, first), last=end)]
    return [happening for item in items for happening in of_log(run, item)]


async def _follow_log(broker: Broker, run: str, log: StreamState, show: Show) -> None:
    async for record in broker.follow(log.name, first=log.last_sequence + 1):
        for happening in of_log(run, log_item(run, record)):
            show(happening)


async def _follow_policies(
    broker: Broker, policies: StreamState, reader: "_Policies", show: Show
) -> None:
    async for record in broker.follow(policies.name, first=policies.last_sequence + 1):
        show(await reader.read(record))


async def _hear_heartbeats(broker: Broker, run: str, show: Show) -> None:
    async for subject, data in broker.listen(names.heartbeats_filter(run)):
        if happening := of_heartbeat(subject, data, time.time()):
            show(happening)


async def _hear_verdicts(broker: Broker, run: str, show: Show) -> None:
    async for _, data in broker.listen(names.verdicts_filter(run)):
        if happening := of_verdict(run, data, time.time()):
            show(happening)


async def _watch_link(broker: Broker, say: Callable[[str], None]) -> None:
    """Say when the server goes away, and when it is back."""
    connected = True
    while True:
        if broker.connected != connected:
            connected = broker.connected
            say("the server is back" if connected else "the server is away; waiting for it")
        await asyncio.sleep(_LOOK_EVERY_S)


class _Policies:
    """Reads POLICIES from somewhere in its middle: order counts from there on, signatures always.

    The key that signs stands in LOG; what is written before the run is opened announces nothing.
    """

    def __init__(self, broker: Broker, run: str) -> None:
        self._broker = broker
        self._run = run
        self._reader: PolicyReader | None = None

    async def read(self, record: Record) -> Happening:
        if self._reader is None and (opened := await first_event(self._broker, self._run)):
            self._reader = PolicyReader(self._run, opened.run_key)
        reader = self._reader or PolicyReader(self._run, _NO_KEY)
        return of_policies(self._run, reader.read(record))

    async def last(self, policies: StreamState, count: int) -> list[Happening]:
        first, end = policies.last_sequence - count + 1, policies.last_sequence
        records = self._broker.read(policies.name, first=max(1, first), last=end)
        return [await self.read(record) async for record in records]
