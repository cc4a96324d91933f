"""Checkpoints on disk."""

from pathlib import Path

from learner.trainer.shelf import Shelf
from schemas.policy import PolicyId


def make(folder: Path, *names: str) -> Shelf:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "state").write_bytes(b"x")
    return Shelf(folder)


def test_only_whole_checkpoints_are_found(tmp_path: Path) -> None:
    shelf = make(tmp_path, "1-20", "1-3", "2-10", ".1-30.77.partial", ".1-2.going", "notes")
    assert shelf.policies() == [PolicyId(1, 3), PolicyId(1, 20), PolicyId(2, 10)]


def test_a_missing_folder_holds_none(tmp_path: Path) -> None:
    assert Shelf(tmp_path / "none").policies() == []


def test_pruning_keeps_the_newest_that_are_announced_and_all_above(tmp_path: Path) -> None:
    shelf = make(tmp_path, "1-10", "1-20", "1-30", "1-40")
    shelf.prune(2, PolicyId(1, 35))
    assert shelf.policies() == [PolicyId(1, 20), PolicyId(1, 30), PolicyId(1, 40)]
    shelf.prune(2, PolicyId(1, 40))
    assert shelf.policies() == [PolicyId(1, 30), PolicyId(1, 40)]


def test_discarding_leaves_nothing_behind(tmp_path: Path) -> None:
    shelf = make(tmp_path, "1-10")
    shelf.discard(PolicyId(1, 10))
    assert list(tmp_path.iterdir()) == []
