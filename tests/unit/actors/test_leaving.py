"""Leaving a run removes what actors have made, and nothing else."""

import shutil

import pytest

from actors.instance_lock import LOCK, instance_lock
from actors.leaving import leave
from actors.membership import Membership, joined, save_membership
from broker.accounts.keyring import Keyring, new_account
from broker.accounts.rights import ALL
from schemas.errors import UserError
from schemas.run_card import RunCard
from tests.support.examples import ENVIRONMENT


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    keyring = Keyring.open(tmp_path / "accounts")
    for run in ("first", "second"):
        actor = new_account()
        card = RunCard(run=run, nats="nats://h", run_key="0" * 64, environment=ENVIRONMENT)
        credentials = keyring.new_user(actor, ALL, name="alice")
        save_membership(home, Membership(card=card, actor=actor, credentials=credentials))
        (home / "spool" / f"{run}-{'0' * 16}").mkdir(parents=True)
    (home / "policies").mkdir()
    return home


def test_the_last_run_takes_the_policies_and_the_home_with_it(home):
    leave(home, "first", delete_data=True)
    assert joined(home) == ["second"]
    assert [path.name for path in (home / "spool").iterdir()] == ["second-" + "0" * 16]
    assert (home / "policies").exists()
    leave(home, "second", delete_data=True)
    assert not home.exists()


def test_what_is_not_an_actors_stays(home):
    """Any folder may be named as home, even one that is full of other things."""
    (home / "thesis.tex").write_text("mine")
    for run in ("first", "second"):
        leave(home, run, delete_data=True)
    assert {path.name for path in home.iterdir()} == {"thesis.tex", LOCK}


def test_who_is_not_there_leaves_no_home_behind(tmp_path):
    with pytest.raises(UserError, match="has joined no run called 'first'"):
        leave(tmp_path / "none", "first", delete_data=True)
    assert not (tmp_path / "none").exists()


def test_the_second_time_says_what_is_left(home):
    leave(home, "first", delete_data=True)
    with pytest.raises(UserError, match="no run called 'first'; it has joined second"):
        leave(home, "first", delete_data=True)


def test_nobody_leaves_while_an_actor_works(home):
    with instance_lock(home), pytest.raises(UserError, match=r"another actor .*; stop it first$"):
        leave(home, "first", delete_data=True)
    assert joined(home) == ["first", "second"]


def test_a_damaged_card_can_be_left(home):
    (home / "memberships" / "first.json").write_text("{")
    with pytest.raises(UserError, match="`actor leave first` forgets the run"):
        leave(home, "first", delete_data=True)
    removed = leave(home, "first", delete_data=False)
    assert [path.name for path in removed] == ["first.json", "first.creds"]
    assert joined(home) == ["second"]


def test_the_key_goes_last(home, monkeypatch):
    """What cannot be removed now can be removed when the same is said again."""

    def fails(path):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", fails)
        with pytest.raises(PermissionError):
            leave(home, "first", delete_data=True)
    assert joined(home) == ["first", "second"]
    leave(home, "first", delete_data=True)
    assert joined(home) == ["second"]


def test_keys_lie_in_folders_of_their_owner_alone(home):
    (home / "memberships" / "first.joining").touch()
    assert {path.stat().st_mode & 0o777 for path in (home, home / "memberships")} == {0o700}
    assert (home / "memberships" / "first.creds").stat().st_mode & 0o777 == 0o600
    leave(home, "first", delete_data=False)
    assert not list(home.rglob("first.*"))
