"""Writing tensors, and not being able to."""

import re
import subprocess
import sys

import torch

from learner.trainer.tensor_file import write_tensors


def test_equal_tensors_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_tensors(tmp_path / name, {"w": torch.arange(8.0), "v": torch.zeros(2)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# In a process of its own: the limit would also bind the file that this one's output may go to.
FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from learner.trainer.tensor_file import write_tensors
from schemas.errors import UserError

_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
try:
    write_tensors(Path(sys.argv[1]), {"w": torch.zeros(1 << 16)})
except UserError as error:
    print(error)
"""


def test_a_full_disk_is_one_sentence(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "full")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"cannot write .*full.*\n", ended.stdout), ended
