"""What `learner run` says while it runs: a line for each step, and what the run waits for.

consumes   LOG, POLICIES; the coordinator's heartbeat
produces   lines for whoever started the run
waits for  steps
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from broker.interface import Broker
from broker.logbook import LogItem, PolicyItem
from broker.program.sanitise import sanitise
from learner.metrics import StepFigures
from learner.metrics_file import follow_steps, read_steps
from schemas import ledger, wire
from schemas.errors import Rejected
from schemas.heartbeat import Heartbeat
from schemas.names import COORDINATOR, heartbeat_subject

QUIET_S: Final = 10.0
"""After so long without a step it says what the run waits for, unless it has said so."""


class Progress:
    """Follows one run."""

    def __init__(self, run: str, num_steps: int, how: str, say: Callable[[str], None]) -> None:
        """`how` is what brings an actor into the run, `say` takes a line."""
        self._run = run
        self._num_steps = num_steps
        self._how = how
        self._say = say
        self._any_lease = False
        self._heartbeat: Heartbeat | None = None
        self._said = ""
        """State that was said since the last step."""
        self._moved = asyncio.Event()
        """A step was made since the last look."""

    async def follow(self, broker: Broker, *, quiet_s: float = QUIET_S) -> None:
        """Say every step that is made from here on; returns behind the last one."""
        num_before = len(await read_steps(broker, self._run))
        self._say(f"{num_before} of {self._num_steps} steps are trained")

        def on_step(figures: StepFigures) -> None:
            if figures.step > num_before:
                self._moved.set()
                self._said = ""
                self._say(step_line(figures, self._num_steps))

        asides = [
            asyncio.create_task(self._listen(broker)),
            asyncio.create_task(self._say_what_is_awaited(broker, quiet_s)),
        ]
        try:
            await follow_steps(broker, self._run, on_step=on_step, on_item=self._look)
        finally:
            for aside in asides:
                aside.cancel()
            await asyncio.gather(*asides, return_exceptions=True)

    def _look(self, item: LogItem | PolicyItem) -> None:
        if isinstance(item.content, ledger.LedgerEntry):
            self._any_lease |= any(
                isinstance(event, ledger.LeaseIssued) for event in item.content.events
            )

    async def _listen(self, broker: Broker) -> None:
        async for _, data in broker.listen(heartbeat_subject(self._run, COORDINATOR)):
            with contextlib.suppress(Rejected):
                self._heartbeat = wire.decode(data, Heartbeat)

    async def _say_what_is_awaited(self, broker: Broker, quiet_s: float) -> None:
        while True:
            self._moved.clear()
            try:
                async with asyncio.timeout(quiet_s):
                    await self._moved.wait()
            except TimeoutError:
                state, words = self._awaited(broker)
                if state != self._said:
                    self._said = state
                    self._say(words)

    def _awaited(self, broker: Broker) -> tuple[str, str]:
        if not broker.connected:
            return "away", "the NATS server is away; everybody waits for it"
        if not self._any_lease:
            return "no actor", f"no actor has asked for work yet: {self._how}"
        if self._heartbeat is None:
            return "silence", "no step for a while, and the coordinator says nothing"
        state, waiting_for = self._heartbeat.state, sanitise(self._heartbeat.waiting_for)
        return state, f"waiting for {waiting_for} ({state})"


def step_line(figures: StepFigures, num_steps: int) -> str:
    """One step as a person reads it."""
    reward = "none scored" if figures.reward is None else f"{figures.reward:.3f}"
    num_actors = len(figures.rows_by_actor)
    actors = "1 actor" if num_actors == 1 else f"{num_actors} actors"
    return (
        f"step {figures.step} of {num_steps}: reward ({figures.trained_on}) {reward}, "
        f"staleness {figures.staleness_mean:.1f}, rows of {actors}, "
        f"step {figures.trainer.step_s:.2f} s, waited {figures.trainer.waited_s:.2f} s"
    )
