"""Reads the groups that are meant, and writes their rollouts into one file.

The file has its name only once it is whole. Groups that nobody has the bytes of, or that do not
decode, have no rows: they are counted by what is missing. Bytes that the archive should have and
has not end the export, since a file with holes would be taken for the whole.
"""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from broker.backup.progress import Progress
from broker.export.row import ExportRow, rows_of
from broker.export.selection import parse_range, select
from broker.interface import Broker
from broker.inventory import read_inventory
from broker.logbook import read_log
from broker.look.group import Spell
from broker.look.held import Held, Holder, read_group
from broker.look.message import Message, Messages
from broker.look.show import FindSpeller, find
from broker.look.sight import ANY_VOCABULARY
from broker.parallel import run_all
from broker.store import Store
from schemas.atomic_file import opened_atomically
from schemas.errors import Rejected, UserError

_AT_ONCE: Final = 16
"""Groups that are read side by side; so many are in memory."""


class Rows(Protocol):
    """A file of rows."""

    def write(self, rows: Sequence[ExportRow]) -> None: ...

    def close(self) -> None:
        """Write what belongs at the end."""
        ...


class LeftOut(Struct, frozen=True, kw_only=True):
    """Messages of the selection without rows."""

    why: str
    count: int


class Exported(Struct, frozen=True, kw_only=True):
    """What `broker export --json` prints."""

    path: str
    num_bytes: int
    num_groups: int
    num_rows: int
    left_out: tuple[LeftOut, ...]


async def selected(broker: Broker, run: str, text: str) -> tuple[Messages, list[Message]]:
    """The judged messages of a run, and those that `text` means.

    Raises:
        UserError: there is no such run, or nothing that is meant.
    """
    chosen = parse_range(text)
    if chosen is None:
        messages, message = await find(broker, run, text)
        return messages, [message]
    inventory = await read_inventory(broker)
    inventory.require(run)
    messages = Messages(run, [item async for item in read_log(broker, run)])
    return messages, select(messages, chosen)


async def export(
    broker: Broker,
    run: str,
    text: str,
    path: Path,
    *,
    rows_in: Callable[..., Rows],
    open_store: Callable[[], Store],
    find_speller: FindSpeller,
    progress: Progress,
) -> Exported:
    """Write what `text` means to a file of the kind that `rows_in` opens.

    Raises:
        UserError: nothing is meant, or of nothing that is meant there are bytes.
        DigestMismatch, ObjectMissing: the archive has lost some.
        StoreUnavailable, StoreDenied: it cannot be read.
        OSError: the file cannot be written.
    """
    messages, meant = await selected(broker, run, text)
    opened = messages.tally.opened
    writer = _Writer(
        messages,
        vocabulary_size=opened.vocabulary_size if opened else ANY_VOCABULARY,
        spell=find_speller(opened.renderer) if opened else None,
    )
    holder = Holder(broker, run, open_store)
    progress.begin("groups", len(meant))
    try:
        with opened_atomically(path) as file:
            # Closed whatever comes: what writes it may hold on to the file.
            with contextlib.closing(rows_in(file)) as rows:
                for start in range(0, len(meant), _AT_ONCE):
                    some = meant[start : start + _AT_ONCE]
                    jobs = [functools.partial(holder.fetch, message) for message in some]
                    found = await run_all(jobs, at_once=_AT_ONCE)
                    for message, held in zip(some, found, strict=True):
                        rows.write(writer.rows(message, held))
                    progress.advance(len(some))
                if not writer.num_groups:
                    raise UserError(f"there is nothing to write: {writer.left_out[0].why}")
            num_bytes = file.tell()
    finally:
        await holder.close()
    return Exported(
        path=str(path),
        num_bytes=num_bytes,
        num_groups=writer.num_groups,
        num_rows=writer.num_rows,
        left_out=writer.left_out,
    )


class _Writer:
    """Makes rows, and counts what has none."""

    def __init__(self, messages: Messages, *, vocabulary_size: int, spell: Spell | None) -> None:
        self._leases = messages.tally.leases
        self._vocabulary_size = vocabulary_size
        self._spell = spell
        self._without: Counter[str] = Counter()
        self.num_groups = 0
        self.num_rows = 0

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        return tuple(LeftOut(why=why, count=count) for why, count in self._without.most_common())

    def rows(self, message: Message, held: Held) -> list[ExportRow]:
        if held.missing:
            word = message.reason or message.verdict
            self._without[f"{word}, and its bytes were not kept"] += 1
            return []
        try:
            group = read_group(held.data, self._vocabulary_size)
        except Rejected as refusal:
            self._without[f"{refusal.reason}: it is no group that can be read"] += 1
            return []
        found = list(rows_of(message, group, leases=self._leases, spell=self._spell))
        self.num_groups += 1
        self.num_rows += len(found)
        return found
