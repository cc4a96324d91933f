"""How far a run's queue is behind its policies, and who waits for whom."""

import asyncio
from collections import Counter
from typing import Final

from msgspec import Struct

from broker import heard
from broker.interface import Broker
from broker.inventory import read_inventory
from broker.look.backlog import backlog, together
from broker.look.read_on import RunLogs
from broker.look.standing import Standing, Waits, who_waits
from broker.look.window import Window, window
from broker.tally import Tally
from schemas import names
from schemas.errors import PermissionDenied
from schemas.heartbeat import State
from schemas.policy import PolicyId

LISTEN_S: Final = 2.5
"""Every daemon says something within two seconds, unless its operator has set another time."""
_MAX_SENDERS: Final = 1000


class Role(Struct, frozen=True, kw_only=True):
    """What the coordinator, or the trainer, says of itself."""

    state: State
    waiting_for: str


class Lag(Struct, frozen=True, kw_only=True):
    """What `broker lag --json` prints."""

    run: str
    policy: PolicyId | None
    """The last one announced."""
    step: int
    """Of the last batch that was cut."""
    waits: Waits
    sentence: str
    """Who waits for whom, from the logs and the queue."""
    standing: Standing | None
    """None while no coordinator has opened the log; so is `window`."""
    window: Window | None
    coordinator: Role | None
    """None when nothing was heard of it; so is `trainer`."""
    trainer: Role | None
    actors: dict[State, int]
    """Actors that were heard, by what they say they do."""


class Listener:
    """Hears what the daemons of a run say from the first question on."""

    def __init__(self, run: str, *, listen_s: float = LISTEN_S) -> None:
        self.heard = heard.Heard(max_senders=_MAX_SENDERS)
        self._run = run
        self._listen_s = listen_s
        self._listening: asyncio.Task[None] | None = None

    async def listen(self, broker: Broker) -> None:
        """Return when everybody had the time to say something."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._take(broker))
            await asyncio.sleep(self._listen_s)

    async def _take(self, broker: Broker) -> None:
        try:
            async for subject, data in broker.listen(names.heartbeats_filter(self._run)):
                self.heard.take(subject, data)
        except PermissionDenied:
            pass  # Who may not hear them is told from the logs.

    def role(self, who: str) -> Role | None:
        word = self.heard.word_of(who)
        return Role(state=word.state, waiting_for=word.waiting_for) if word else None

    def actors(self) -> dict[State, int]:
        roles = (names.COORDINATOR, names.TRAINER)
        states = (self.heard.state_of(who) for who in self.heard.seen if who not in roles)
        return dict(Counter(state for state in states if state is not None).most_common())


async def look_at_lag(broker: Broker, logs: RunLogs, listener: Listener) -> Lag:
    """Count what waits, first in the queues and then in the logs, and hear the daemons."""
    await listener.listen(broker)
    inventory = await read_inventory(broker)
    inventory.require(logs.run)
    queued = together([backlog(await broker.subjects(q)) for q in inventory.queues(logs.run)])
    policy = await logs.newest(broker, inventory)
    log = await logs.tally(broker, await broker.state(names.log_stream(logs.run)))
    seen = None
    standing = _standing(log, policy, queued.num_groups)
    if standing and log.opened:
        seen = window(
            next_step=standing.step + 1,
            announced=policy.version if policy else -1,
            max_staleness=standing.max_staleness,
            batch_groups=standing.batch_groups,
            queued=queued,
            waiting=_versions(log),
        )
    waits, sentence = (
        who_waits(standing)
        if standing
        else (Waits.NOT_OPENED, "everybody waits for a coordinator to open the log")
    )
    return Lag(
        run=logs.run,
        policy=policy,
        step=standing.step if standing else 0,
        waits=waits,
        sentence=sentence,
        standing=standing,
        window=seen,
        coordinator=listener.role(names.COORDINATOR),
        trainer=listener.role(names.TRAINER),
        actors=listener.actors(),
    )


def _versions(log: Tally) -> list[int]:
    """Of the groups that wait, in order of acceptance."""
    waiting = log.waiting
    return [group.policy.version for group in log.accepted if group.lease_id in waiting]


def _standing(log: Tally, policy: PolicyId | None, num_queued: int) -> Standing | None:
    if log.opened is None:
        return None
    settings = log.opened.settings
    step = log.batches[-1].batch.step if log.batches else 0
    oldest = step - settings.leases.max_staleness
    return Standing(
        announced=policy.version if policy else None,
        step=step,
        num_steps=settings.trainer.num_steps,
        batch_groups=settings.batch.num_groups,
        max_staleness=settings.leases.max_staleness,
        num_rows=log.rows.total(),
        num_waiting=sum(version >= oldest for version in _versions(log)),
        num_open_leases=len(log.open_leases),
        num_queued=num_queued,
    )
