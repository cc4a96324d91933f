"""A checkpoint: the trainer's tensors and the version that they make, complete or not there.

    <folder>/<sha256>.safetensors   model.<name>, optimizer.<name>.<kind of state>
    <folder>/checkpoint.json        {"version": 12, "tensors": "<sha256>"}

The small file is written last, and replaced in one step: until then the folder is the checkpoint
that it was before, or none. What the small file does not name was left by a save that was killed.
This module knows files, and no torch.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from schemas.policy import Index
from schemas.types import Sha256

_SUMMARY: Final = "checkpoint.json"


class _Summary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Index
    tensors: Sha256
    """Of the file that holds them, and its name."""


class Checkpoint(NamedTuple):
    """One that is whole."""

    version: int
    tensors: Path
    """A safetensors file."""


def write_checkpoint(folder: Path, version: int, write_tensors: Callable[[Path], None]) -> None:
    """Make the folder this checkpoint; a crash leaves what it was before.

    Raises what `write_tensors` raises, which is called with the path of a file to be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = _read_summary(folder)
    staging = folder / f"{os.getpid()}.partial"
    write_tensors(staging)
    summary = _Summary(version=version, tensors=_sha256(staging))
    _move(staging, _tensors(folder, summary))
    staging.write_bytes(msgspec.json.encode(summary))
    _move(staging, folder / _SUMMARY)
    _flush(folder.parent)
    if before is not None and before.tensors != summary.tensors:
        _tensors(folder, before).unlink(missing_ok=True)


def is_complete(folder: Path) -> bool:
    """Whether there is a checkpoint; nothing in it is looked at."""
    return (folder / _SUMMARY).is_file()


def is_intact(folder: Path) -> bool:
    """Whether there is a checkpoint, and every bit of it is as it was written."""
    summary = _read_summary(folder)
    if summary is None:
        return False
    try:
        return _sha256(_tensors(folder, summary)) == summary.tensors
    except FileNotFoundError:
        return False


def read_checkpoint(folder: Path) -> Checkpoint:
    """What a folder holds that is intact."""
    summary = _read_summary(folder)
    assert summary is not None, f"{folder} is no checkpoint"
    return Checkpoint(summary.version, _tensors(folder, summary))


def sweep(folder: Path) -> None:
    """Remove what killed saves have left, and the folder too if it is no checkpoint.

    Only who alone saves here may call this.
    """
    if not is_complete(folder):
        shutil.rmtree(folder)
    elif (summary := _read_summary(folder)) is not None:
        for path in set(folder.iterdir()) - {folder / _SUMMARY, _tensors(folder, summary)}:
            path.unlink()


def remove(folder: Path) -> None:
    """Remove a checkpoint; a crash leaves all of it or none, never a half."""
    (folder / _SUMMARY).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _read_summary(folder: Path) -> _Summary | None:
    """None where there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((folder / _SUMMARY).read_bytes(), type=_Summary)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _tensors(folder: Path, summary: _Summary) -> Path:
    return folder / f"{summary.tensors}.safetensors"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _move(staging: Path, path: Path) -> None:
    """Put a file in its place in one step, and on the disk before the next one."""
    _flush(staging)
    staging.replace(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
