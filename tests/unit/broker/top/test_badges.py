from pathlib import Path

from msgspec.structs import replace

from broker.accounts.roster import Contributor, Roster
from broker.accounts.tier import Tier
from broker.top.badges import badges_in
from broker.top.view import Badge
from tests.support.examples import ACTOR, SHA


def test_no_accounts_no_names():
    assert badges_in("")() == {}


def test_who_is_invited_later_and_thrown_out_is_seen(tmp_path: Path):
    badges = badges_in(str(tmp_path))
    assert badges() == {}
    alice = Contributor(
        name="alice",
        actor=ACTOR,
        run="demo",
        shard="s0",
        tier=Tier.TRUSTED,
        ticket_sha256=SHA,
        invited=1.0,
        expires=2.0,
    )
    roster = Roster(tmp_path / "contributors")
    roster.add(alice)
    assert badges() == {ACTOR: Badge("alice", "trusted")}
    roster.change("alice", lambda one: replace(one, revoked=3.0))
    assert badges() == {ACTOR: Badge("alice", "revoked")}
