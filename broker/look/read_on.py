"""A run's logs, folded as far as they have been read: who looks again reads only what is new."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from broker.interface import Broker, StreamState
from broker.inventory import Inventory
from broker.logbook import LogItem, PolicyReader, first_event, log_item
from broker.tally import Tally
from schemas import names
from schemas.ledger import RunOpened
from schemas.policy import PolicyAnnouncement, PolicyId


class Fold(Protocol):
    """What is made of LOG, record by record."""

    def add(self, item: LogItem) -> None: ...


F = TypeVar("F", bound=Fold)


class LogFold(Generic[F]):
    """A fold of one run's LOG."""

    def __init__(self, run: str, begin: Callable[[], F]) -> None:
        self._run = run
        self._begin = begin
        self._fold, self._created, self._read = begin(), 0.0, 0

    async def up_to(self, broker: Broker, state: StreamState) -> F:
        """The fold of LOG as far as it went in `state`."""
        if state.created != self._created:  # Another log bears the name.
            self._fold, self._created, self._read = self._begin(), state.created, 0
        unread = {"first": self._read + 1, "last": state.last_sequence}
        async for record in broker.read(state.name, **unread):
            self._fold.add(log_item(self._run, record))
            self._read = record.sequence
        return self._fold


class RunLogs:
    """Both logs of one run."""

    def __init__(self, run: str) -> None:
        self.run = run
        self._log = LogFold(run, Tally)
        self._opened: RunOpened | None = None
        self._policies: PolicyReader | None = None
        self._created, self._read = 0.0, 0

    async def tally(self, broker: Broker, state: StreamState) -> Tally:
        """What LOG says as far as it went in `state`."""
        return await self._log.up_to(broker, state)

    async def newest(self, broker: Broker, inventory: Inventory) -> PolicyId | None:
        """The last policy that is announced by now; None before the first."""
        if self._opened is None:
            self._opened = await first_event(broker, self.run)
        policies = names.policies_stream(self.run)
        if self._opened is None or policies not in inventory.streams:
            return None
        state = await broker.state(policies)
        last = await self.announced(broker, self._opened.run_key, state)
        return last.policy if last else None

    async def announced(
        self, broker: Broker, run_key: str, state: StreamState
    ) -> PolicyAnnouncement | None:
        """The last announcement in POLICIES as far as it went in `state`."""
        if self._policies is None or state.created != self._created:
            self._policies = PolicyReader(self.run, run_key)
            self._created, self._read = state.created, 0
        unread = {"first": self._read + 1, "last": state.last_sequence}
        async for record in broker.read(state.name, **unread):
            self._policies.read(record)
            self._read = record.sequence
        return self._policies.last
