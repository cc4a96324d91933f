"""`learner replay --verify`: trains a run again from LOG, POLICIES and the bucket alone, and
compares every version with what was published.

Each incarnation is computed in fresh processes, with the ranks and threads of its numerics record,
and goes on from the state that the incarnation before it had: no file of the run is read. A machine
that cannot compute under a record refuses; a comparison within a tolerance would prove nothing.
Every byte that was published is read: a version is equal when the bucket holds what was computed.
"""

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from broker.inventory import the_run
from broker.logbook import first_event
from broker.login import OPERATOR, login
from broker.program.process import bound
from learner.other_code import warn_of_other_code
from learner.run_folder import RunFolder
from learner.trainer.history import History, read_history
from learner.trainer.replay_legs import Compared, ReplayLeg, replay_legs, replay_legs_from
from learner.trainer.shelf import Shelf
from schemas.errors import BrokerError, UserError
from schemas.ledger import RunOpened
from schemas.policy import PolicyId
from schemas.resolve import to_toml
from schemas.settings import LearnerSettings

INITIAL: Final = "initial"
_MAX_NAMED: Final = 4
"""Of what differs or is damaged, in one sentence."""


class ReplayReport(Struct, frozen=True, kw_only=True):
    """What came of a replay."""

    run: str
    begun_from: str
    """A policy in a checkpoint of this machine, or INITIAL."""
    num_equal: int
    """Versions that are equal to the published ones, bit for bit."""
    num_announced: int
    """Versions that the replay covers."""
    first_difference: Compared | None
    damaged: tuple[str, ...]
    """What the bucket does not hold as it was published, one each."""

    @property
    def holds(self) -> bool:
        return self.num_equal == self.num_announced

    @property
    def sentence(self) -> str:
        if not self.damaged:
            return self._computed
        named = "; ".join(self.damaged[:_MAX_NAMED])
        more = len(self.damaged) - _MAX_NAMED
        and_more = f"; and {more} more" if more > 0 else ""
        return f"{self._computed}; the bucket lacks what was published: {named}{and_more}"

    @property
    def _computed(self) -> str:
        if self.first_difference is not None:
            policy, differing = self.first_difference.policy, self.first_difference.differing
            return (
                f"version {policy} of run {self.run} is not what the log computes: "
                f"{len(differing)} of its tensors or files differ, among them "
                f"{', '.join(differing[:_MAX_NAMED])}"
            )
        since = "" if self.begun_from == INITIAL else f" from checkpoint {self.begun_from} on"
        return (
            f"{self.num_equal} of {self.num_announced} versions of run {self.run}{since} are equal "
            "to the published ones, bit for bit"
        )


async def replay(
    settings: LearnerSettings,
    *,
    from_step: int,
    on_compared: Callable[[Compared, int], None],
) -> ReplayReport:
    """Compare every version; `on_compared` is told each one, and how many there are.

    With `from_step` above 0 the replay begins with the newest checkpoint of this machine at or
    below that version, if there is one: quicker, and as good as that file.

    Raises:
        UserError: there is no such run or no such step, this machine cannot compute under one of
            its records, or the computing processes were killed.
    """
    opened, history = await _read(settings)
    last = max(policy.version for policy in history.announced)
    if from_step > last:
        raise UserError(f"run {settings.name} has {last} steps, none to compute from {from_step}")
    warn_of_other_code(opened)
    checkpoint = _checkpoint(history, settings, from_step)
    legs = replay_legs_from(history, checkpoint) if checkpoint else replay_legs(history)
    total = sum(leg.last - leg.first + 1 for leg in legs)
    num_equal, difference, damaged = 0, None, list[str]()
    with tempfile.TemporaryDirectory(prefix="tributary-replay-") as name:
        folder = Path(name)
        if checkpoint:
            source = Shelf(RunFolder(settings).checkpoints).path(checkpoint)
            shutil.copytree(source, Shelf(folder).path(checkpoint))
        async for compared in _compute(settings, legs, folder):
            on_compared(compared, total)
            damaged += [f"version {compared.policy}: {each}" for each in compared.damaged]
            if compared.differing:
                difference = compared
            elif not compared.damaged:
                num_equal += 1
    return ReplayReport(
        run=settings.name,
        begun_from=str(checkpoint or INITIAL),
        num_equal=num_equal,
        num_announced=total,
        first_difference=difference,
        damaged=tuple(damaged),
    )


async def _read(settings: LearnerSettings) -> tuple[RunOpened, History]:
    run = settings.name
    broker = await login(settings.connection, *OPERATOR, run=run, name="learner replay")
    try:
        await the_run(broker, run)
        opened = await first_event(broker, run)
        history = await read_history(broker, run, opened.run_key) if opened else None
    except BrokerError as error:
        raise UserError(f"cannot replay run {run}: {error}") from None
    finally:
        await broker.close()
    if opened is None or history is None or not history.announced:
        raise UserError(f"run {run} has announced no policy yet")
    return opened, history


def _checkpoint(history: History, settings: LearnerSettings, step: int) -> PolicyId | None:
    usable = [
        policy
        for policy in Shelf(RunFolder(settings).checkpoints).policies()
        if policy.version <= step
        and policy in history.announced
        and history.owner(policy.version) == policy.incarnation
    ]
    return max(usable, default=None)


async def _compute(
    settings: LearnerSettings, legs: list[ReplayLeg], folder: Path
) -> AsyncIterator[Compared]:
    settings_file = folder / "settings.toml"
    settings_file.write_text(to_toml(settings), encoding="utf-8")
    for leg in legs:
        leg_file = folder / f"leg-{leg.incarnation}.json"
        leg_file.write_bytes(msgspec.json.encode(leg))
        arguments = [str(settings_file), str(leg_file), str(folder)]
        async with contextlib.aclosing(_ranks(leg, arguments)) as lines:
            async for line in lines:
                compared = msgspec.json.decode(line, type=Compared)
                yield compared
                if compared.differing:
                    return


async def _ranks(leg: ReplayLeg, arguments: list[str]) -> AsyncGenerator[bytes]:
    """The lines that the ranks of one leg write; what they complain about is shown."""
    command = [
        *(sys.executable, "-P", "-m", "learner.trainer.agent"),
        *("--num-ranks", str(leg.numerics.world_size)),
        *("--num-threads", str(leg.numerics.num_threads)),
        *("learner.trainer.rerun_rank", *arguments),
    ]
    process = await asyncio.create_subprocess_exec(
        *bound(command), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            yield line
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if status:
        raise UserError(
            f"incarnation {leg.incarnation} was not computed to its end (exit status {status})"
        )
