"""Leaving a run removes what actors have made, and nothing else."""

import pytest

from actors.instance_lock import LOCK, instance_lock
from actors.leaving import leave
from actors.membership import Membership, joined, save_membership
from broker.accounts.keyring import Keyring, new_account
from broker.accounts.rights import ALL
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
    with instance_lock(home):
        leave(home, "second", delete_data=True)
    assert not home.exists()


def test_what_is_not_an_actors_stays(home):
    """Any folder may be named as home, even one that is full of other things."""
    (home / "thesis.tex").write_text("mine")
    for run in ("first", "second"):
        with instance_lock(home):
            leave(home, run, delete_data=True)
    assert {path.name for path in home.iterdir()} == {"thesis.tex", LOCK}
