"""A checkpoint: the trainer's tensors and the version that they belong to, complete or not there.

<folder>/state.safetensors      model.<name>, optimizer.<name>.<kind of state>
<folder>/version.json           {"version": 12}
"""

import hashlib
import os
import shutil
from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from safetensors.torch import load_file

from learner.trainer.tensor_file import write_tensors
from schemas.types import Index, Sha256

_TENSORS, _STATE = "state.safetensors", "version.json"


class _State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Index
    sha256: Sha256


def write_checkpoint(folder: Path, tensors: dict[str, torch.Tensor], version: int) -> None:
    """Write beside the folder, flush to disk, then rename: a crash leaves no half checkpoint.

    Raises:
        UserError: the disk is full; what lay there before is untouched.
    """
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    write_tensors(staging / _TENSORS, tensors)
    state = _State(version=version, sha256=_sha256(staging / _TENSORS))
    (staging / _STATE).write_bytes(msgspec.json.encode(state))
    for path in (staging / _TENSORS, staging / _STATE, staging):
        _flush(path)
    if folder.exists():
        shutil.rmtree(folder)
    staging.rename(folder)
    _flush(folder.parent)


def is_intact(folder: Path) -> bool:
    """False when a bit of the tensors has changed since they were written."""
    return _read_state(folder).sha256 == _sha256(folder / _TENSORS)


def read_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], int]:
    """The tensors, and the version that they make."""
    return load_file(folder / _TENSORS), _read_state(folder).version


def _read_state(folder: Path) -> _State:
    return msgspec.json.decode((folder / _STATE).read_bytes(), type=_State)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
