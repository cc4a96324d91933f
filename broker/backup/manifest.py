"""MANIFEST: what a backup is of, and the sha256 of every file in it.

    # {"format":1,"run":"demo",...}
    5cac...  LOG/0000000000000001-0000000000000321-5cac....jsonl
    ...
    # sha256 of the lines above: 91fe...

`sha256sum --check MANIFEST` checks the files: lines that begin with # are comments to it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from schemas.atomic_file import write_atomically
from schemas.errors import BackupDamaged, UserError
from schemas.ledger import QueueEnd
from schemas.types import Count, Token

FORMAT: Final = 1
_COMMENT: Final = "# "
_SEAL: Final = "# sha256 of the lines above: "
_LINE: Final = re.compile(
    r"^([0-9a-f]{64})  ((?:LOG|POLICIES|objects)(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+)\Z"
)


class LogEnd(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a log is in a backup: all of it up to a sequence."""

    stream: Token
    created: float
    """When the stream was made, in Unix seconds on its server's clock: tells it from a restored
    one."""
    last_sequence: Count


class Head(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup is of."""

    format: int
    run: Token
    taken: float
    """When the logs' ends were read, in Unix seconds on the clock of who took it."""
    logs: tuple[LogEnd, ...]
    """POLICIES, then LOG."""
    queues: tuple[QueueEnd, ...]
    """Where the queues ended, which are not in the backup."""
    num_files: Count
    num_bytes: Count
    """Of these files together."""


class File(NamedTuple):
    """A file of a backup."""

    name: str
    """Relative to the backup's folder."""
    sha256: str


class Manifest(NamedTuple):
    """A manifest that is whole."""

    head: Head
    files: list[File]
    sha256: str
    """Of the manifest itself."""


def write_manifest(path: Path, head: Head, files: Iterable[File]) -> str:
    """Write it, whole or not at all, and return its digest.

    Raises:
        OSError
    """
    lines = [_COMMENT + msgspec.json.encode(head).decode("ascii")]
    lines += [f"{file.sha256}  {file.name}" for file in sorted(files)]
    text = "".join(f"{line}\n" for line in lines).encode("ascii")
    data = text + f"{_SEAL}{hashlib.sha256(text).hexdigest()}\n".encode("ascii")
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def read_manifest(path: Path) -> Manifest:
    """Read it, and check that it is as it was written.

    Raises:
        UserError: there is none.
        BackupDamaged: it is not as it was written.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"there is no {path}: either {path.parent} is no backup, or `broker backup` has not "
            "ended there yet"
        ) from None
    text, found, seal = data.rpartition(_SEAL.encode())
    if not found or seal != hashlib.sha256(text).hexdigest().encode() + b"\n":
        raise BackupDamaged(
            f"{path} is damaged or cut short: nothing in this folder can be trusted"
        )
    lines = text.decode("ascii").splitlines()
    try:
        head = msgspec.json.decode(lines[0].removeprefix(_COMMENT), type=Head)
        files = list(_files(lines[1:]))
    except (msgspec.MsgspecError, IndexError, ValueError) as error:
        raise BackupDamaged(f"{path} is no manifest that this version reads: {error}") from None
    if head.format != FORMAT:
        raise UserError(f"{path} has format {head.format}, this version reads {FORMAT}")
    return Manifest(head, files, hashlib.sha256(data).hexdigest())


def _files(lines: Iterable[str]) -> Iterator[File]:
    for line in lines:
        matched = _LINE.match(line)
        if matched is None:
            raise ValueError(f"{line[:80]!r} names no file of a backup")
        yield File(name=matched[2], sha256=matched[1])
