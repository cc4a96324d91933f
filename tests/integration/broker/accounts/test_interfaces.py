"""What a server answers to itself, and what others say to each other, is closed to contributors."""

import asyncio
import secrets

import pytest

from broker.accounts.account import contributor_account
from broker.interface import StreamState
from schemas import names
from tests.support.guarded import RUN, SHARDS
from tests.support.server_verbs import filled_in, server_verbs
from tests.support.siege import INTAKE, MARK, QUEUE

pytestmark = pytest.mark.integration


async def all_refused(wire, subjects, data=b""):
    """Publish to each, with and without a wish for an answer: the server refuses them all."""
    subjects = sorted(set(subjects))
    for subject in subjects:
        wire.publish(subject, data)
        wire.publish(subject, data, reply_to="_INBOX.answer")
    await wire.settle()
    refused = [
        text for text in wire.refusals if "permissions violation for publish" in text.lower()
    ]
    for subject in subjects:
        said = f'to "{subject}"'.lower()
        assert sum(said in text.lower() for text in refused) == 2, subject
    assert [heard for heard in wire.heard if heard.subject == "_INBOX.answer"] == []
    assert not wire.closed.is_set()


@pytest.mark.parametrize("stream", [QUEUE, names.log_stream(RUN), names.policies_stream(RUN)])
async def test_jetstream_does_nothing_for_a_contributor(siege, stream):
    verbs = server_verbs("$JS.API")
    assert sum("*" in verb for verb in verbs) >= 30
    mallory = await siege.attacker()
    consumer = INTAKE if stream == QUEUE else "new"
    async with siege.goes_on():
        await all_refused(mallory, [filled_in(verb, [stream, consumer]) for verb in verbs])


async def test_nothing_of_the_servers_own_does(siege):
    verbs = server_verbs("$SYS") + server_verbs("$JSC")
    assert len(verbs) >= 20
    mallory = await siege.attacker()
    core = siege.guarded.keyring.accounts.core
    whose = (core, siege.mallory_id, "PING")
    subjects = [filled_in(verb, [name]) for verb in verbs for name in whose]
    async with siege.goes_on():
        await all_refused(
            mallory, [*subjects, "$SYS.REQ.SERVER.PING.VARZ", "$SRV.PING", "$KV.weights.latest"]
        )


async def test_nobody_changes_an_account_but_the_operator(siege):
    """Not even with what the operator has signed: tokens are no secret."""
    keyring, mallory = siege.guarded.keyring, await siege.attacker()
    about = contributor_account(keyring.signer, keyring.accounts.core, siege.bob_id)
    token = keyring.account_token(siege.bob_id, about, "bob").encode()
    subjects = ["$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.CLAIMS.PACK"]
    subjects += [f"$SYS.REQ.ACCOUNT.{siege.bob_id}.CLAIMS.UPDATE"]
    async with siege.goes_on():
        await all_refused(mallory, subjects, token)


async def test_nobody_acks_what_another_has_in_hand(siege):
    """Not even on the very subject where the coordinator will."""
    siege.held = asyncio.Queue()
    group = secrets.token_bytes(16)
    await siege.honest.publish(siege.rollouts_of(siege.bob_id), group)
    delivery = await asyncio.wait_for(siege.held.get(), 5)
    assert delivery.record.data == group
    ack = delivery._reply

    mallory = await siege.attacker()
    before: StreamState = await siege.coordinator.state(QUEUE)
    assert before.num_ack_pending == 1
    words = (b"+ACK", b"+TERM", b"-NAK", b"+WPI", b"+NXT", b"")
    for word in words:
        mallory.publish(ack, word)
        mallory.publish(ack, word, reply_to="_INBOX.answer")
        mallory.publish(siege.rollouts_of(siege.mallory_id), word, reply_to=ack)
    await mallory.settle()
    assert len(mallory.refusals) == 3 * len(words)
    assert await siege.coordinator.state(QUEUE) == before
    siege.held = None
    await delivery.ack()
    await siege.work()


async def test_nobody_speaks_in_the_name_of_another(siege):
    mallory, bob, me = await siege.attacker(), siege.bob_id, siege.mallory_id
    subjects = [
        siege.rollouts_of(bob),
        names.lease_subject(RUN, bob),
        names.grant_subject(RUN, bob),
        names.heartbeat_subject(RUN, bob),
        *(names.heartbeat_subject(RUN, role) for role in (names.COORDINATOR, names.TRAINER)),
        names.verdict_subject(RUN, bob),
        names.verdict_subject(RUN, me),
        names.policy_subject(RUN),
        names.trainer_subject(RUN),
        names.ledger_subject(RUN),
        names.batch_subject(RUN, 1),
        names.join_subject(RUN),
        names.purge_subject(RUN),
        *(names.who_subject(RUN, role) for role in (names.COORDINATOR, names.TRAINER)),
        f"{siege.bob.inbox_prefix}.forged",
        "_INBOX.forged",
        "_R_.forged",
        # Of queues and runs that he was not invited to.
        *(names.rollouts_subject(RUN, shard, (1, 1), me) for shard in SHARDS[1:]),
        names.rollouts_subject("other", "s0", (1, 1), me),
        names.lease_subject("other", me),
        # More, fewer and wilder tokens than there should be.
        f"rollouts.{RUN}.s0.{me}",
        f"rollouts.{RUN}.s0.1-1.{me}.{me}",
        f"rollouts.{RUN}.s0.1-1.{me}.{bob}",
        f"rollouts.{RUN}.s0.1-1.*",
        f"rollouts.{RUN}.s0.>",
        f"lease.{RUN}.*",
        f"lease.>.{me}",
        ">",
    ]
    async with siege.goes_on():
        await all_refused(mallory, subjects, MARK)
    assert await siege.attackers_groups() == []


async def test_a_version_of_wildcards_is_a_version_like_another(siege):
    mallory, me = await siege.attacker(), siege.mallory_id
    odd = [f"rollouts.{RUN}.s0.{version}.{me}" for version in ("*", ">", "$JS", "é", "x" * 500)]
    async with siege.goes_on():
        for subject in odd:
            mallory.publish(subject, MARK)
        await mallory.settle()
    assert {subject for subject, _ in await siege.attackers_groups()} <= set(odd)


async def test_nobody_listens_to_others(siege):
    mallory, bob, me = await siege.attacker(), siege.bob_id, siege.mallory_id
    closed = [
        ">",
        "*",
        "*.>",
        "*.*",
        f"*.{RUN}.*",
        "rollouts.>",
        f"rollouts.{RUN}.*.*.*",
        siege.rollouts_of(bob),
        siege.rollouts_of(me),
        "lease.>",
        f"lease.{RUN}.*",
        f"lease.{RUN}.{me}",
        f"heartbeat.{RUN}.*",
        f"grant.{RUN}.{bob}",
        "verdict.>",
        f"verdict.{RUN}.*",
        f"verdict.{RUN}.{bob}",
        "policy.*",
        "policy.>",
        f"ledger.{RUN}",
        f"batches.{RUN}.*",
        f"trainer.{RUN}",
        f"purge.{RUN}",
        f"join.{RUN}",
        f"who.{RUN}.*",
        "$JS.>",
        "$JS.ACK.>",
        "$JS.EVENT.ADVISORY.>",
        "$KV.>",
        "$SYS.>",
        "$SYS.ACCOUNT.*.CONNECT",
        "$SRV.>",
        "_INBOX*.>",
        "_R_.>",
        "_R_.*.*",
    ]
    opened = [f"verdict.{RUN}.{me}", f"policy.{RUN}", "_INBOX.*", f"{siege.bob.inbox_prefix}.>"]
    for subject in closed:
        mallory.subscribe(subject)
        mallory.subscribe(subject, "group")
    await mallory.settle()
    assert len(mallory.refusals) == 2 * len(closed)
    assert all("subscription" in text.lower() for text in mallory.refusals)
    # What he may hear he hears alone, in a queue group too; inboxes are those of his account.
    for subject in opened:
        mallory.subscribe(subject, "group")
        mallory.subscribe(subject)
    await mallory.settle()
    assert len(mallory.refusals) == 2 * len(closed)
    async with siege.goes_on():
        await siege.announce(b"policy 1-1")
    await mallory.settle()
    assert {(heard.subject, heard.data) for heard in mallory.heard} == {
        (f"policy.{RUN}", b"policy 1-1")
    }
