"""Checkpoints on disk: whole or not there, whenever their writer is killed."""

import itertools
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from learner.trainer import checkpoint
from learner.trainer.shelf import Shelf
from schemas.policy import PolicyId


class Killed(BaseException):
    """No code may catch this."""


def save(folder: Path, version: int, tensors: bytes) -> None:
    checkpoint.write_checkpoint(folder, version, lambda path: _write_in_two(path, tensors))


def _write_in_two(path: Path, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        for half in (data[: len(data) // 2], data[len(data) // 2 :]):
            file.write(half)


def read(folder: Path) -> tuple[int, bytes] | None:
    """Version and tensors of a folder that holds a checkpoint."""
    if not checkpoint.is_complete(folder):
        return None
    assert checkpoint.is_intact(folder)
    found = checkpoint.read_checkpoint(folder)
    return found.version, found.tensors.read_bytes()


def survives(action: Callable[[], None], num_lines: int) -> bool:
    """Do something, and die before that line of the way through; True when there were fewer."""
    left = num_lines
    files = {checkpoint.__file__, __file__}

    def count(frame: FrameType, event: str, _: object):
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        left -= event == "line"
        if left < 0:
            raise Killed
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        action()
    except Killed:
        return False
    finally:
        sys.settrace(before)
    return True


def make(folder: Path, *names: str) -> Shelf:
    for name in names:
        save(folder / name, int(name.split("-")[1]), name.encode())
    return Shelf(folder)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # files that the dead had open
@pytest.mark.parametrize("lies_there", [None, (7, b"older"), (7, b"new")], ids=str)
def test_a_save_that_is_killed_leaves_what_was_there_or_what_it_saved(tmp_path, lies_there) -> None:
    """Killed at each line in turn, and then the next start sweeps."""
    found = set()
    for num_lines in itertools.count():
        folder = tmp_path / str(num_lines) / "1-7"
        if lies_there:
            save(folder, *lies_there)
        done = survives(partial(save, folder, 7, b"new"), num_lines)
        shelf = Shelf(folder.parent)
        for _ in range(2):  # before and after the sweep
            found.add(read(folder))
            shelf.sweep()
        assert shelf.policies() == ([PolicyId(1, 7)] if read(folder) else [])
        # Nothing is left of a save that did not come to its end.
        assert len(list(folder.glob("*"))) == (2 if read(folder) else 0)
        if done:
            break
    assert num_lines > 20
    assert found == {lies_there, (7, b"new")}
    assert read(folder) == (7, b"new")


def test_a_removal_that_is_killed_leaves_no_half(tmp_path, monkeypatch) -> None:
    def die(_: Path) -> None:
        raise Killed

    shelf = make(tmp_path, "1-10")
    monkeypatch.setattr(shutil, "rmtree", die)
    with pytest.raises(Killed):
        shelf.discard(PolicyId(1, 10))
    monkeypatch.undo()
    assert shelf.policies() == []
    shelf.sweep()
    assert list(tmp_path.iterdir()) == []


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a bit of the tensors has changed": lambda folder: flip_a_bit(next(folder.glob("*.safetens*"))),
    "there are no tensors": lambda folder: next(folder.glob("*.safetensors")).unlink(),
    "the summary is garbage": lambda folder: (folder / "checkpoint.json").write_bytes(b"\xff{"),
    "the summary is empty": lambda folder: (folder / "checkpoint.json").write_bytes(b""),
    "there is no summary": lambda folder: (folder / "checkpoint.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_not_intact_and_can_be_removed(tmp_path, damage) -> None:
    shelf = make(tmp_path, "1-10", "1-20")
    damage(tmp_path / "1-20")
    assert checkpoint.is_intact(tmp_path / "1-10")
    assert not checkpoint.is_intact(tmp_path / "1-20")
    shelf.sweep()
    assert checkpoint.is_intact(tmp_path / "1-10")
    if PolicyId(1, 20) in shelf.policies():
        shelf.discard(PolicyId(1, 20))
    assert [path.name for path in tmp_path.iterdir()] == ["1-10"]


def test_only_whole_checkpoints_are_found(tmp_path: Path) -> None:
    shelf = make(tmp_path, "1-20", "1-3", "2-10")
    (tmp_path / "1-30").mkdir()
    (tmp_path / "notes").mkdir()
    assert shelf.policies() == [PolicyId(1, 3), PolicyId(1, 20), PolicyId(2, 10)]


def test_a_missing_folder_holds_none(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "none")
    shelf.sweep()
    assert shelf.policies() == []


def test_what_is_not_ours_is_not_swept(tmp_path: Path) -> None:
    shelf = make(tmp_path, "1-20")
    (tmp_path / "notes").mkdir()
    shelf.sweep()
    assert {path.name for path in tmp_path.iterdir()} == {"1-20", "notes"}


def test_pruning_keeps_the_newest_that_are_announced_and_all_above(tmp_path: Path) -> None:
    shelf = make(tmp_path, "1-10", "1-20", "1-30", "1-40")
    shelf.prune(2, PolicyId(1, 35))
    assert shelf.policies() == [PolicyId(1, 20), PolicyId(1, 30), PolicyId(1, 40)]
    shelf.prune(2, PolicyId(1, 40))
    assert shelf.policies() == [PolicyId(1, 30), PolicyId(1, 40)]
