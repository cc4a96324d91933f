"""A checkpoint: the trainer's tensors and the version that they belong to, complete or not there.

<folder>/state.safetensors      model.<name>, optimizer.<name>.<kind of state>
<folder>/version.json           {"version": 12}
"""

import os
import shutil
from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from safetensors.torch import load_file, save_file

from schemas.policy import Index

_TENSORS, _STATE = "state.safetensors", "version.json"


class _State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Index


def write_checkpoint(folder: Path, tensors: dict[str, torch.Tensor], version: int) -> None:
    """Write beside the folder, flush to disk, then rename: a crash leaves no half checkpoint."""
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    save_file(tensors, staging / _TENSORS)
    (staging / _STATE).write_bytes(msgspec.json.encode(_State(version=version)))
    for path in (staging / _TENSORS, staging / _STATE, staging):
        _flush(path)
    if folder.exists():
        shutil.rmtree(folder)
    staging.rename(folder)
    _flush(folder.parent)


def read_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], int]:
    """The tensors, and the version that they make."""
    state = msgspec.json.decode((folder / _STATE).read_bytes(), type=_State)
    return load_file(folder / _TENSORS), state.version


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
