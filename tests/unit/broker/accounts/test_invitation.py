"""Links and rosters, without a server."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.accounts import jwt, rights
from broker.accounts.access import find_credentials, make_credentials
from broker.accounts.credentials import Credentials
from broker.accounts.invitation import read_invitation
from broker.accounts.inviting import choose_shard, invite
from broker.accounts.keyring import Keyring
from broker.accounts.nkey import Kind, Nkey, is_public
from broker.accounts.rights import Role
from broker.accounts.roster import Roster
from broker.accounts.tier import Tier
from schemas.errors import UserError
from schemas.run_card import RunCard
from schemas.settings import IntakeSettings
from schemas.shard import shard_of
from tests.support.examples import ENVIRONMENT

CARD = RunCard(run="demo", nats="nats://127.0.0.1:1", run_key="0" * 64, environment=ENVIRONMENT)
INTAKE = IntakeSettings(shards=("s0", "s1", "t0"), trusted_shards=("t0",))


@pytest.fixture
def keyring(tmp_path):
    return Keyring.open(tmp_path / "accounts")


@pytest.fixture
def roster(tmp_path):
    return Roster(tmp_path / "accounts" / "contributors")


@pytest.fixture
def inviting(keyring, roster):
    def make(name="alice", tier=Tier.STRANGER, **more):
        return invite(name, tier, card=CARD, intake=INTAKE, keyring=keyring, roster=roster, **more)

    return make


@pytest.mark.parametrize("name", ["alice smith", "../../alice", "", ".alice", "a" * 65, "älice"])
def test_what_is_no_name_invites_nobody_and_leaves_the_list_readable(inviting, roster, name):
    inviting("bob")
    with pytest.raises(UserError, match="is not a name"):
        inviting(name)
    assert [one.name for one in roster.all()] == ["bob"]


def test_a_link_is_read_back(inviting, tmp_path):
    invitation = inviting()
    link = invitation.link()
    assert "\n" not in link
    assert len(link) < 2048
    assert read_invitation(link) == invitation
    # As a mail program may have broken it.
    path = tmp_path / "link.txt"
    path.write_text("\n".join(link[at : at + 70] for at in range(0, len(link), 70)) + "\n")
    assert read_invitation(str(path)) == invitation


@given(st.data())
def test_a_damaged_link_is_one_sentence(data):
    """Whatever is cut off, put in or changed: nothing but a sentence."""
    link = "tributary:join:" + base64.urlsafe_b64encode(bytes(range(256))).decode()
    at = data.draw(st.integers(0, len(link)))
    damaged = (
        link[:at] + data.draw(st.text(max_size=40)) + link[at + data.draw(st.integers(0, 9)) :]
    )
    with pytest.raises(UserError):
        read_invitation(damaged)


@pytest.mark.parametrize("length", [10, 20, 100, 500])
def test_a_link_that_was_not_copied_whole_says_so(inviting, length):
    link = inviting().link()
    with pytest.raises(UserError, match="invitation"):
        read_invitation(link[:length])


def test_secrets_do_not_show(inviting, keyring):
    invitation = inviting()
    assert invitation.ticket not in repr(invitation)
    credentials = invitation.guest_credentials()
    assert credentials.seed.decode() not in repr(credentials)


def test_a_guest_may_put_one_request_and_nothing_else(inviting, keyring):
    guest = jwt.read_user(inviting().guest_credentials().token)
    assert guest.pub.allow == ("join.demo",)
    assert guest.issuer_account == keyring.accounts.join
    assert all(subject.startswith("_INBOX.U") for subject in guest.sub.allow)


def test_strangers_and_trusted_have_queues_of_their_own(inviting, roster):
    for number in range(8):
        inviting(f"stranger{number}")
    for number in range(3):
        inviting(f"ours{number}", Tier.TRUSTED)
    there = roster.all()
    for one in there:
        # The lease, which knows the id alone, says the same queue as the permission.
        assert shard_of(one.actor, INTAKE.shards) == one.shard
    shards = [one.shard for one in there if one.tier is Tier.STRANGER]
    assert sorted(shards) == ["s0"] * 4 + ["s1"] * 4
    assert {one.shard for one in there if one.tier is Tier.TRUSTED} == {"t0"}


def test_without_a_queue_for_them_the_trusted_go_where_all_go():
    assert choose_shard(IntakeSettings(shards=("s0",)), Tier.TRUSTED, []) == "s0"


def test_a_name_is_given_once(inviting):
    inviting()
    with pytest.raises(UserError, match="alice was invited already"):
        inviting()


def test_an_unknown_name_has_its_nearest(inviting, roster):
    inviting("alice")
    with pytest.raises(UserError, match="nearest is alice"):
        roster.find("alcie")


def test_a_change_is_seen_by_others_at_once(inviting, roster, tmp_path):
    """The gate and the command have a roster each."""
    inviting()
    other = Roster(tmp_path / "accounts" / "contributors")
    assert not other.find("alice").revoked
    roster.revoke("alice", "flood")
    assert other.find("alice").why == "flood"
    roster.revoke("alice", "again")
    assert other.find("alice").why == "flood"


def test_an_invitation_ends(inviting):
    invitation = inviting(lifetime_s=-1.0)
    with pytest.raises(UserError, match="expired"):
        invitation.check_time()
    assert jwt.read(invitation.guest_credentials().token).exp < time.time()


def test_keys_that_others_can_read_are_refused(keyring, tmp_path):
    (tmp_path / "accounts" / "operator.nk").chmod(0o640)
    with pytest.raises(UserError, match="chmod 600"):
        Keyring.load(tmp_path / "accounts")


def test_every_secret_is_its_owners_alone(keyring, tmp_path):
    folder = tmp_path / "accounts"
    make_credentials(keyring, folder, "demo", ("s0",))
    secrets = [*folder.rglob("*.nk"), *folder.rglob("*.creds")]
    assert len(secrets) == 2 + 2 + 4
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}


def test_opening_a_keyring_again_changes_nothing(keyring, tmp_path):
    again = Keyring.open(tmp_path / "accounts")
    assert again.accounts == keyring.accounts
    assert again.signer == keyring.signer


def test_credentials_are_made_once_and_again_when_rights_change(keyring, tmp_path):
    folder = tmp_path / "accounts"
    assert len(make_credentials(keyring, folder, "demo", ("s0",))) == 6
    assert make_credentials(keyring, folder, "demo", ("s0",)) == []
    changed = make_credentials(keyring, folder, "demo", ("s0", "s1"))
    assert {path.name for path in changed} == {"coordinator.creds", "observer.creds", "gate.creds"}


def test_missing_credentials_are_named(keyring, tmp_path):
    folder = tmp_path / "accounts"
    assert find_credentials("", Role.ADMIN) is None
    with pytest.raises(UserError, match="no credentials of coordinator of run demo"):
        find_credentials(folder, Role.COORDINATOR, run="demo")
    make_credentials(keyring, folder, "demo", ("s0",))
    # A researcher has those of one run and needs not name it.
    (folder / "credentials" / "admin.creds").unlink()
    assert find_credentials(folder, Role.ADMIN, Role.OBSERVER)


def test_credentials_of_another_key_are_none(keyring):
    mine = keyring.new_user(keyring.accounts.core, rights.ALL, name="mine")
    with pytest.raises(ValueError, match="not the one"):
        Credentials(token=mine.token, seed=Nkey.generate(Kind.USER).seed)


@given(st.binary(min_size=1, max_size=80))
def test_whatever_is_no_key_is_none(data):
    with pytest.raises(ValueError, match="no key"):
        Nkey(data)
    assert not is_public(data.decode("latin-1"), Kind.USER)
