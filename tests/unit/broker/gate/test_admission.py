"""What who asks to be let in is told: whatever is wrong on the operator's side is none of it."""

import pytest

from broker.accounts.inviting import invite
from broker.accounts.keyring import Keyring
from broker.accounts.nkey import Kind, Nkey
from broker.accounts.roster import Roster
from broker.accounts.tier import Tier
from broker.gate.admission import Admission
from schemas import wire
from schemas.errors import BrokerError
from schemas.join import JoinReply, JoinRequest
from schemas.run_card import RunCard
from schemas.settings import IntakeSettings
from tests.support.examples import ENVIRONMENT

CARD = RunCard(run="demo", nats="nats://127.0.0.1:1", run_key="0" * 64, environment=ENVIRONMENT)


class Stage:
    """An operator's folder, and a gate before a server that is played."""

    def __init__(self, folder):
        self.keyring = Keyring.open(folder)
        self.roster = Roster(folder / "contributors")
        self.file = folder / "contributors" / "alice.json"
        self.admission = Admission(CARD, self.keyring, self.roster, self.push)
        self.user = Nkey.generate(Kind.USER).public
        self.on_push = lambda: None

    def invite(self, name):
        return invite(
            name,
            Tier.STRANGER,
            card=CARD,
            intake=IntakeSettings(shards=("s0",)),
            keyring=self.keyring,
            roster=self.roster,
        )

    async def push(self, token):
        self.on_push()

    async def ask(self, invitation):
        request = JoinRequest(ticket=invitation.ticket, user=self.user)
        return wire.decode(await self.admission.answer("", wire.encode(request)), JoinReply)


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path / "accounts")


def refuse():
    raise BrokerError("the server of 10.0.0.7 refuses an account")


async def test_what_is_wrong_with_the_operators_files_is_for_his_log(stage, capsys):
    alice, _ = stage.invite("alice"), stage.invite("alicia")
    whole = stage.file.read_text()
    faults = {
        "alice.json": lambda: stage.file.write_text("{"),
        "nearest is alicia": stage.file.unlink,
        "10.0.0.7": refuse,
    }
    for logged, stage.on_push in faults.items():
        reply = await stage.ask(alice)
        assert reply.for_now
        assert reply.refusal == "the run cannot let anybody in for now"
        assert logged in capsys.readouterr().out
        stage.file.write_text(whole)
    stage.on_push = lambda: None
    assert (await stage.ask(alice)).token


async def test_a_file_that_is_damaged_already_is_for_his_log_too(stage, capsys):
    alice, bob = stage.invite("alice"), stage.invite("bob")
    stage.file.write_text("{")
    reply = await stage.ask(alice)
    assert (reply.for_now, reply.refusal) == (True, "the run cannot let anybody in for now")
    assert str(stage.file) in capsys.readouterr().out
    assert (await stage.ask(bob)).token


async def test_what_is_wrong_with_the_invitation_is_for_him(stage):
    invitation = stage.invite("alice")
    stage.roster.revoke("alice", "we know why")
    reply = await stage.ask(invitation)
    assert (reply.for_now, reply.refusal) == (False, "this invitation was taken back")
