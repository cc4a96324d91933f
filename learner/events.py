"""What somebody did to a run from outside, for its report: runs/<name>/events.jsonl.

The logs say what the run decided. They cannot say who was killed, or which actor was made to lie;
whoever does such things to a run writes them here, one JSON document a line.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from schemas.errors import UserError
from schemas.types import Token

Text = Annotated[str, Meta(max_length=500)]


class _Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    pass


class ActorNamed(_Event, frozen=True):
    """An actor's id under a name that people can tell apart."""

    actor: Token
    name: Token
    honest: bool


class Started(_Event, frozen=True):
    """A process was started; not the first time, if it was killed before."""

    time: float
    """Unix seconds, as in all events."""
    who: Token
    """Name of an actor, or coordinator, trainer, servers, ..."""


class Killed(_Event, frozen=True):
    """A process was sent SIGKILL."""

    time: float
    who: Token
    step: int
    """The last step that had a policy."""
    doing: Text
    """Its state at that moment."""


class Died(_Event, frozen=True):
    """A process ended by itself, and nobody had asked it to."""

    time: float
    who: Token
    status: int
    """Exit status; negative: the signal that ended it."""


class Checked(_Event, frozen=True):
    """A promise that was checked at the end."""

    text: Text
    holds: bool


RunEvent = ActorNamed | Started | Killed | Died | Checked


class EventLog:
    """Appends events to the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, event: RunEvent) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(event) + b"\n")


def read_events(path: Path) -> list[RunEvent]:
    """The events in a file; none when there is no such file.

    Raises:
        UserError: it is not a file of events.
    """
    if not path.exists():
        return []
    try:
        return msgspec.json.Decoder(RunEvent).decode_lines(path.read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a file of events: {error}") from None
