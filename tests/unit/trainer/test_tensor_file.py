"""Writing tensors, and not being able to."""

import resource

import pytest
import torch

from learner.trainer.tensor_file import write_tensors
from schemas.errors import UserError


def test_equal_tensors_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_tensors(tmp_path / name, {"w": torch.arange(8.0), "v": torch.zeros(2)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.fixture
def small_files():
    """No file of this process may grow above 4 KiB, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_sentence(tmp_path, small_files):
    with pytest.raises(UserError, match=r"cannot write .*full"):
        write_tensors(tmp_path / "full", {"w": torch.zeros(1 << 16)})
