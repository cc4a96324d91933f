"""Joining a run through its gate, and being thrown out, on a real server."""

import asyncio
import time
from functools import partial

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from actors.arrival import arrive
from actors.joining import join
from actors.leaving import leave
from actors.membership import find_membership
from broker.accounts.inviting import invite
from broker.accounts.resolver import push_account
from broker.accounts.rights import Role
from broker.accounts.tier import Tier
from broker.gate import service
from broker.gate.admission import Admission
from broker.gate.guard import Guard
from broker.gate.meter import FloodLimits, Meter
from broker.gate.purging import purge_contributor
from broker.gate.revoking import revoke
from broker.gate.throwing_out import throw_out
from broker.gate.traffic import TrafficReader
from broker.jetstream import NatsBroker
from broker.publisher import Publisher
from schemas import names, wire
from schemas.errors import BrokerError, BrokerUnavailable, NotLetIn, ServerMissing, UserError
from schemas.join import JoinReply, JoinRequest
from schemas.run_card import RunCard
from schemas.settings import Connection, IntakeSettings
from tests.support.examples import ENVIRONMENT
from tests.support.guarded import RUN, SHARDS

pytestmark = pytest.mark.integration

INTAKE = IntakeSettings(shards=SHARDS)


@pytest.fixture
def card(guarded):
    return RunCard(run=RUN, nats=guarded.url, run_key="0" * 64, environment=ENVIRONMENT)


@pytest.fixture
def inviting(guarded, card, unique):
    def make(**more):
        return invite(
            unique("friend"),
            Tier.STRANGER,
            card=card,
            intake=INTAKE,
            keyring=guarded.keyring,
            roster=guarded.roster,
            **more,
        )

    return make


@pytest.fixture
async def admission(guarded, card):
    async with guarded.system() as system:
        yield Admission(card, guarded.keyring, guarded.roster, partial(push_account, system))


@pytest.fixture
async def gate(guarded, admission):
    broker = await guarded.login(Role.GATE)
    await admission.serve(broker)
    yield broker
    await broker.close()


@pytest.fixture
def log_lines():
    with capture_logs() as lines:
        yield lines


async def login(membership):
    return await NatsBroker.connect(
        membership.card.nats, name="actor", credentials=membership.credentials
    )


def group_subject(guarded, membership):
    shard = next(one.shard for one in guarded.roster.all() if one.actor == membership.actor)
    return names.rollouts_subject(RUN, shard, (1, 0), membership.actor)


async def never(subject, data):
    await asyncio.Event().wait()


async def test_who_was_invited_joins_and_works(guarded, gate, inviting, tmp_path):
    membership = await join(inviting(), tmp_path)
    assert find_membership(tmp_path, "") == membership
    assert find_membership(tmp_path, RUN).actor == membership.actor
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.creds")} == {0o600}
    actor = await login(membership)
    assert (await actor.publish(group_subject(guarded, membership), b"mine")).sequence
    await actor.close()
    assert guarded.roster.find(membership.actor).joined


async def test_the_key_never_leaves_the_machine(guarded, gate, inviting, tmp_path):
    membership = await join(inviting(), tmp_path)
    everything = b"".join(path.read_bytes() for path in guarded.folder.rglob("*") if path.is_file())
    assert membership.credentials.key.public.encode() in everything
    assert membership.credentials.seed not in everything


async def test_an_invitation_is_good_once(gate, inviting, tmp_path):
    invitation = inviting()
    await join(invitation, tmp_path / "first")
    with pytest.raises(UserError, match="used already, with another key"):
        await join(invitation, tmp_path / "second")


async def test_who_lost_the_answer_asks_again(admission, guarded, gate, inviting, tmp_path):
    """The first answer is lost on its way; the same key is let in again, as the same actor."""
    broker, lost = gate, []

    async def lose_the_first(subject, data):
        answer = await admission.answer(subject, data)
        if not lost:
            lost.append(wire.decode(answer, JoinReply).token)
            raise BrokerError("the answer is lost")
        return answer

    await broker.close()
    again = await guarded.login(Role.GATE)
    await again.serve(names.join_subject(RUN), lose_the_first)
    invitation = inviting()
    with pytest.raises((UserError, asyncio.TimeoutError)):
        async with asyncio.timeout(1):
            await join(invitation, tmp_path)
    assert lost
    membership = await join(invitation, tmp_path)
    actor = await login(membership)
    await actor.publish(group_subject(guarded, membership), b"after all")
    await actor.close()
    await again.close()


async def test_an_expired_invitation_is_refused_by_clock_server_and_gate(
    guarded, gate, admission, inviting, tmp_path
):
    invitation = inviting(lifetime_s=1.0)
    with pytest.raises(UserError, match="has expired"):
        await join(replace(invitation, expires=time.time() - 1), tmp_path / "clock")
    await asyncio.sleep(1.5)
    # Whose clock is behind is refused by the server, whose credentials for guests have ended.
    late = replace(invitation, expires=time.time() + 60)
    with pytest.raises(UserError, match="does not take this invitation, which has expired"):
        await join(late, tmp_path / "server")
    # And whoever gets to the gate all the same, by the gate.
    fresh = inviting()
    with pytest.raises(UserError, match="has expired"):
        await join(replace(fresh, ticket=late.ticket), tmp_path / "gate")


async def test_a_closed_gate_says_so(guarded, inviting, tmp_path):
    with pytest.raises(UserError, match="gate is closed"):
        await join(inviting(), tmp_path)


async def test_who_is_refused_for_now_asks_again_and_is_let_in(
    guarded, card, inviting, tmp_path, log_lines
):
    """The server takes no accounts at first, as while it starts again."""
    async with guarded.system() as system:
        num_asked = 0

        async def push_late(token):
            nonlocal num_asked
            num_asked += 1
            if num_asked <= 3:
                raise BrokerUnavailable("the server is away")
            await push_account(system, token)

        gate = await guarded.login(Role.GATE)
        await Admission(card, guarded.keyring, guarded.roster, push_late).serve(gate)
        membership = await join(inviting(), tmp_path)
        await (await login(membership)).close()
        await gate.close()
    assert num_asked == 4
    said = [line for line in log_lines if line["event"].startswith("not let in yet")]
    assert [line["why"] for line in said] == ["the run cannot let anybody in for now"]


async def test_who_is_refused_for_now_waits_no_longer_than_the_invitation(
    guarded, card, inviting, tmp_path
):
    async def away(token):
        raise BrokerUnavailable("the server is away")

    gate = await guarded.login(Role.GATE)
    await Admission(card, guarded.keyring, guarded.roster, away).serve(gate)
    with pytest.raises(UserError, match="has expired"):
        await join(inviting(lifetime_s=2.0), tmp_path)
    await gate.close()
    assert list(tmp_path.rglob("*.joining"))


async def test_who_answers_with_another_key_is_not_the_run(gate, inviting, tmp_path):
    with pytest.raises(UserError, match="is not the run"):
        await join(replace(inviting(), run_key="1" * 64), tmp_path)


async def test_a_guessed_ticket_opens_nothing(gate, inviting, tmp_path):
    with pytest.raises(UserError, match="no such invitation"):
        await join(replace(inviting(), ticket="0" * 32), tmp_path)


@pytest.mark.parametrize("data", [b"", b"TRIB", b"x" * 2000, wire.encode(JoinReply())])
async def test_the_gate_answers_anything_with_a_refusal(admission, data):
    reply = wire.decode(await admission.answer(names.join_subject(RUN), data), JoinReply)
    assert reply.refusal
    assert not reply.token


async def test_who_is_revoked_is_cut_within_a_second_and_stays_out(
    guarded, gate, inviting, tmp_path
):
    thrown_out = await join(inviting(), tmp_path / "a")
    stays = await join(inviting(), tmp_path / "b")
    actor, other = await login(thrown_out), await login(stays)
    await actor.publish(group_subject(guarded, thrown_out), b"before")
    hearing = asyncio.ensure_future(anext(actor.listen(names.policy_subject(RUN)), None))
    # And a question under way, which nobody answers.
    admin = await guarded.login(Role.ADMIN)
    await admin.serve(names.leases_filter(RUN), never)
    lease = names.lease_subject(RUN, thrown_out.actor)
    asking = asyncio.create_task(actor.request(lease, b"", timeout_s=9))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    async with guarded.system() as system:
        contributor = guarded.roster.find(thrown_out.actor)
        await revoke(guarded.keyring, partial(push_account, system), contributor)
    async with asyncio.timeout(1):
        assert await hearing is None
        with pytest.raises(NotLetIn, match="revoked"):
            await asking
    await admin.close()
    print(f"cut {1000 * (time.monotonic() - began):.1f} ms after the word was given")
    with pytest.raises(NotLetIn, match="revoked"):
        await actor.publish(group_subject(guarded, thrown_out), b"after")
    with pytest.raises(ServerMissing, match=r"[Rr]evoked|[Aa]uthorization"):
        await login(thrown_out)
    await other.publish(group_subject(guarded, stays), b"untouched")
    # An actor that starts does not wait for what never comes.
    with pytest.raises(UserError, match=f"does not let {thrown_out.actor} in"):
        await arrive(thrown_out, asyncio.Event(), print)
    # A restart forgets nothing, and takes nobody who stays for somebody else.
    guarded.stop()
    guarded.start()
    await Publisher(other).publish(group_subject(guarded, stays), b"goes on")
    for broker in (actor, other):
        await broker.close()
    with pytest.raises(ServerMissing, match=r"[Rr]evoked|[Aa]uthorization"):
        await login(thrown_out)
    await (await login(stays)).close()


async def test_who_asks_again_while_he_is_thrown_out_is_not_let_in_by_that(
    guarded, card, inviting, tmp_path
):
    """The word that lets him in comes to the server behind the one that throws him out."""
    invitation, is_late, may_go_on = inviting(), asyncio.Event(), asyncio.Event()
    connection = Connection(nats=guarded.url, accounts=str(guarded.accounts))
    async with guarded.system() as system:

        async def push_late(token):
            is_late.set()
            await may_go_on.wait()
            await push_account(system, token)

        gate = await guarded.login(Role.GATE)
        await Admission(card, guarded.keyring, guarded.roster, push_late).serve(gate)
        may_go_on.set()
        membership = await join(invitation, tmp_path / "home")
        await (await login(membership)).close()

        may_go_on.clear()
        is_late.clear()
        again = wire.encode(
            JoinRequest(ticket=invitation.ticket, user=membership.credentials.key.public)
        )
        guest = await NatsBroker.connect(
            guarded.url, name="guest", credentials=invitation.guest_credentials()
        )
        asking = asyncio.create_task(guest.request(names.join_subject(RUN), again, timeout_s=5))
        await is_late.wait()
        name = guarded.roster.find(membership.actor).name
        await throw_out(connection, guarded.keyring, guarded.roster, name, "")
        may_go_on.set()
        reply = wire.decode(await asking, JoinReply)
        assert "taken back" in reply.refusal
        assert not reply.token
        for broker in (guest, gate):
            await broker.close()
    with pytest.raises(ServerMissing, match=r"[Rr]evoked|[Aa]uthorization"):
        await login(membership)


async def test_who_is_revoked_while_the_server_is_away_is_noted_and_kept_out_by_the_gate(
    guarded, gate, inviting, tmp_path, monkeypatch
):
    membership = await join(inviting(), tmp_path)
    name = guarded.roster.find(membership.actor).name
    monkeypatch.setattr(service, "_CONNECT_S", 0.5)
    away = Connection(nats="nats://127.0.0.1:1", accounts=str(guarded.accounts))
    with pytest.raises(UserError, match=r"noted as revoked, and not out yet: .*`broker gate`"):
        await throw_out(away, guarded.keyring, guarded.roster, name, "rude")
    assert guarded.roster.find(name).why == "rude"
    await (await login(membership)).close()
    async with guarded.system() as system:
        guard = Guard(
            run=RUN,
            keyring=guarded.keyring,
            roster=guarded.roster,
            push_account=partial(push_account, system),
            traffic=TrafficReader(system),
            meter=Meter(FloodLimits()),
            purge=partial(purge_contributor, gate),
        )
        cleaning = asyncio.create_task(guard.clean_up())
        async with asyncio.timeout(10):
            while True:
                try:
                    await (await login(membership)).close()
                except ServerMissing:
                    break
        cleaning.cancel()
        await asyncio.gather(cleaning, return_exceptions=True)


async def test_a_gate_makes_a_server_without_memory_know_who_has_joined(
    guarded, gate, card, inviting, tmp_path
):
    """And one that knows them goes on hearing and being heard."""
    membership = await join(inviting(), tmp_path)
    gone = await join(inviting(), tmp_path / "gone")
    connection = Connection(nats=guarded.url, accounts=str(guarded.accounts))
    name = guarded.roster.find(gone.actor).name
    await throw_out(connection, guarded.keyring, guarded.roster, name, "")
    await gate.close()
    guarded.stop()
    [resolver] = {path.parent for path in guarded.folder.rglob(f"{membership.actor}.jwt")}
    for path in resolver.glob("*.jwt"):
        path.unlink()
    guarded.start()
    with pytest.raises(ServerMissing) as caught:
        await login(membership)
    assert caught.value.refuses
    async with guarded.system() as system:
        push = partial(push_account, system)
        admission = Admission(card, guarded.keyring, guarded.roster, push)
        await admission.let_in_all()
        actor = await login(membership)
        hearing = asyncio.ensure_future(anext(actor.listen(names.policy_subject(RUN))))
        await actor.publish(group_subject(guarded, membership), b"first")
        await admission.let_in_all()
        await actor.publish(group_subject(guarded, membership), b"second")
    admin = await guarded.login(Role.ADMIN)
    await admin.notify(names.policy_subject(RUN), b"heard")
    async with asyncio.timeout(5):
        assert (await hearing)[1] == b"heard"
    with pytest.raises(ServerMissing):
        await login(gone)
    for broker in (actor, admin):
        await broker.close()


async def test_leaving_forgets_the_key(gate, inviting, tmp_path):
    await join(inviting(), tmp_path / "home")
    with pytest.raises(UserError, match="has joined run guarded already"):
        await join(inviting(), tmp_path / "home")
    (tmp_path / "home" / "policies").mkdir()
    leave(tmp_path / "home", RUN, delete_data=True)
    assert not (tmp_path / "home").exists()
    with pytest.raises(UserError, match="has joined no run"):
        find_membership(tmp_path / "home", RUN)
