"""Two ranks over gloo, fed different rows, take the steps of one rank that is fed them all."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from safetensors.torch import load_file

from schemas.policy import StepMetrics
from tests.support.training import make_folder, make_rollouts, open_engine, train


def test_two_ranks_equal_one(tmp_path: Path) -> None:
    folder, out = make_folder(tmp_path / "model"), tmp_path / "out"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run(
        [sys.executable, "-m", "tests.support.two_ranks", str(folder), str(out)],
        env=os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        check=True,
        timeout=100,
    )
    alone = open_engine(folder)
    expected = [*train(alone, range(1, 4))]
    (rollout,) = make_rollouts(4, 1)
    expected.append(alone.step([rollout], 4))

    found = [
        msgspec.json.decode((out / f"{rank}.json").read_bytes(), type=list[StepMetrics])
        for rank in (0, 1)
    ]
    for ours, theirs, one in zip(*found, expected, strict=True):
        for name in ("loss", "grad_norm", "entropy", "mismatch_kl", "masked_fraction"):
            assert getattr(ours, name) == getattr(theirs, name)
            assert getattr(ours, name) == pytest.approx(getattr(one.metrics, name), abs=1e-5)
        assert ours.num_tokens == theirs.num_tokens == one.metrics.num_tokens
        assert ours.num_packed_tokens == one.metrics.num_packed_tokens
    assert (out / "0.digest").read_text() == (out / "1.digest").read_text()
    weights = load_file(out / "weights.safetensors")
    for name, tensor in alone.model.state_dict().items():
        assert (weights[name] - tensor).abs().max() < 1e-5, name
