"""What the environment says to MKL changes no bit of a rank."""

import os
import subprocess
import sys

RANK = """
from learner.trainer.rank import as_rank

def body():
    import torch
    torch.set_num_threads(1)
    a = torch.randn(192, 256, generator=torch.Generator().manual_seed(0))
    print((a @ a.T).numpy().tobytes().hex())

as_rank(body)
"""
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("MKL_")}


def product(**variables: str) -> str:
    """What a rank computes that was started with these variables."""
    command = [sys.executable, "-P", "-c", RANK]
    ran = subprocess.run(
        command, env=PLAIN | variables, capture_output=True, text=True, check=True, timeout=60
    )
    return ran.stdout


def test_a_rank_computes_the_same_bits_whatever_mode_of_mkl_it_is_told() -> None:
    assert product(MKL_CBWR="COMPATIBLE") == product()
