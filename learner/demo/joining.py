"""Brings an actor into the run as people do it: the operator invites, and who was invited joins."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from broker.program.process import last_line
from learner.demo import cast
from learner.demo.players import run_to_end
from schemas.errors import TributaryError

_OPEN_WITHIN_S: Final = 60.0
_PAUSE_S: Final = 0.5


class Invited(Struct, frozen=True, kw_only=True):
    """What `broker invite --json` says."""

    actor: str
    """The id in all messages."""
    link: str
    """Lets one in, once."""

    def __repr__(self) -> str:
        return f"Invited({self.actor})"


async def invite(name: str, run: str, settings: Path, log: Path) -> Invited:
    """Make an invitation, as soon as the coordinator has opened the run.

    Raises:
        TributaryError: there is none.
    """
    said = await _until_done(cast.invite(name, run, settings), log)
    return msgspec.json.decode("\n".join(said), type=Invited)


async def join(invited: Invited, home: Path, log: Path) -> None:
    """Join, as soon as the gate is open.

    Raises:
        TributaryError: it does not open, or lets nobody in.
    """
    await _until_done(cast.join(invited.link, home), log)


async def _until_done(command: Sequence[str], log: Path) -> list[str]:
    """Run it until it succeeds, because others still start; returns what it said then."""
    deadline = time.monotonic() + _OPEN_WITHIN_S
    while True:
        said: list[str] = []
        if await run_to_end(command, log, said.append) == 0:
            return said
        if time.monotonic() > deadline:
            raise TributaryError(f"nobody could be let in: {last_line(log)}")
        await asyncio.sleep(_PAUSE_S)
