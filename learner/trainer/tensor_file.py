"""Writes tensors to a safetensors file, or says in one sentence why it cannot."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from schemas.errors import UserError


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write the file; equal tensors give equal bytes.

    Raises:
        UserError: the disk is full, or nothing may be written there.
    """
    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
    except (SafetensorError, OSError) as error:
        raise UserError(f"cannot write {path}: {error}") from None
