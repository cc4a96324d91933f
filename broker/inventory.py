"""Which streams a server has, and which run each belongs to: told by their names alone.

>>> inventory = Inventory(streams=("LOG_demo", "LOG_demo_2", "ROLLOUTS_demo_2_s0"))
>>> inventory.runs, inventory.queues("demo"), inventory.queues("demo_2")
(('demo', 'demo_2'), (), ('ROLLOUTS_demo_2_s0',))
"""

from msgspec import Struct

from broker.interface import Broker
from schemas import names
from schemas.errors import UserError
from schemas.nearest import instead


class Inventory(Struct, frozen=True, kw_only=True):
    """The names of all streams, sorted."""

    streams: tuple[str, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        """Each run has a LOG."""
        found = (names.run_of_log_stream(stream) for stream in self.streams)
        return tuple(run for run in found if run is not None)

    def queues(self, run: str) -> tuple[str, ...]:
        """The ROLLOUTS streams of a run."""
        return tuple(stream for stream in self.streams if self._run_of_queue(stream) == run)

    def own(self, run: str) -> tuple[str, ...]:
        """All streams of a run that are there."""
        logs = (names.log_stream(run), names.policies_stream(run))
        return (*self.queues(run), *(name for name in logs if name in self.streams))

    def run_of(self, stream: str) -> str | None:
        """The run that a stream belongs to."""
        return next((run for run in self.runs if stream in self.own(run)), None)

    def require(self, run: str) -> None:
        """Raises UserError when there is no such run, and says which one may be meant."""
        if run not in self.runs:
            raise UserError(f"the server has no run {run[:80]}; {instead(run, self.runs)}")

    def find(self, run: str, name: str) -> str:
        """The stream of a run that is named as `ls` does, by its shard, or as LOG or POLICIES.

        Raises:
            UserError: there is none; says which one may be meant.
        """
        short, own = self.short_names(run), self.own(run)
        if name in own:
            return name
        for word in (name, name.upper()):
            if word in short:
                return short[word]
        raise UserError(f"run {run} has no stream {name[:80]}; {instead(name, [*own, *short])}")

    def short_names(self, run: str) -> dict[str, str]:
        """The streams of a run by their shard, or as LOG and POLICIES."""
        prefix = names.rollouts_stream_prefix(run)
        logs = {"LOG": names.log_stream(run), "POLICIES": names.policies_stream(run)}
        queues = {queue.removeprefix(prefix): queue for queue in self.queues(run)}
        return queues | {word: name for word, name in logs.items() if name in self.streams}

    def _run_of_queue(self, stream: str) -> str | None:
        # `ROLLOUTS_demo_2_s0` fits demo with shard 2_s0 and demo_2 with shard s0: the longest run.
        fitting = [run for run in self.runs if stream.startswith(names.rollouts_stream_prefix(run))]
        return max(fitting, key=len, default=None)


def short_name(run: str, stream: str) -> str:
    """A queue of a run by its shard.

    >>> short_name("demo", "ROLLOUTS_demo_s0")
    's0'
    """
    return stream.removeprefix(names.rollouts_stream_prefix(run))


async def read_inventory(broker: Broker) -> Inventory:
    return Inventory(streams=tuple(await broker.streams()))


async def the_run(broker: Broker, run: str) -> str:
    """The run that is meant: the one that is named, or the only one there is.

    Raises:
        UserError: there is no such run, or none is named and there are several or none.
    """
    inventory = await read_inventory(broker)
    if run:
        inventory.require(run)
        return run
    match inventory.runs:
        case (only,):
            return only
        case ():
            raise UserError("there is no run on this server: open one with `learner open`")
        case several:
            raise UserError(f"there are several runs, name one of them: {', '.join(several)}")
