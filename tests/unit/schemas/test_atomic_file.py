"""A file has its old bytes or its new ones, also when the disk is full."""

import errno
import os

import msgspec
import pytest

from schemas.atomic_file import opened_atomically, write_atomically
from schemas.lease import EnvironmentRef
from schemas.run_card import RunCard, read_run_card, write_run_card

ENVIRONMENT = EnvironmentRef(
    id="reverse", smallest=3, largest=6, train_on="exact", version="1", digest="0" * 64
)
CARD = RunCard(run="demo", nats="nats://127.0.0.1:4222", run_key="0" * 64, environment=ENVIRONMENT)


@pytest.fixture
def full_disk(monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)


def test_the_last_bytes_are_in_it(tmp_path):
    path = tmp_path / "file"
    for data in (b"old", b"new"):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_bytes_and_nothing_else(tmp_path, full_disk):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_whoever_breaks_off_leaves_the_old_bytes_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_half() -> None:
        with opened_atomically(path) as file:
            file.write(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_and_name_are_on_the_disk_in_this_order(tmp_path, monkeypatch):
    path, synced = tmp_path / "file", []

    def sync(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), path.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    write_atomically(path, b"new")
    (staging, named_before), folder = synced
    assert os.path.dirname(staging) == str(tmp_path)
    assert not named_before
    assert folder == (str(tmp_path), True)


def test_a_run_card_is_never_half_written(tmp_path, full_disk):
    path = tmp_path / "run.json"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(CARD, nats="nats://a")))
    with pytest.raises(OSError, match="No space left"):
        write_run_card(path, CARD)
    assert read_run_card(path).nats == "nats://a"
