"""A reply subject is the sender's to choose, and whoever answers must not act there for him."""

import pytest

from schemas import names
from tests.support.guarded import RUN
from tests.support.siege import MARK, QUEUE

pytestmark = pytest.mark.integration


def targets(siege):
    """Where an answer would do harm, if it went there."""
    bob = siege.bob_id
    return [
        siege.rollouts_of(bob),
        "$KV.weights.latest",
        names.policy_subject(RUN),
        f"{siege.bob.inbox_prefix}.forged",
        f"$JS.API.STREAM.PURGE.{QUEUE}",
        f"$JS.API.STREAM.DELETE.{QUEUE}",
        names.verdict_subject(RUN, bob),
        names.lease_subject(RUN, bob),
        names.grant_subject(RUN, bob),
        names.heartbeat_subject(RUN, bob),
        names.ledger_subject(RUN),
        names.batch_subject(RUN, 1),
        names.trainer_subject(RUN),
        names.purge_subject(RUN),
        names.join_subject(RUN),
        names.who_subject(RUN, names.COORDINATOR),
        f"$JS.API.CONSUMER.DELETE.{QUEUE}.{names.intake_consumer('s0')}",
        "$SYS.REQ.CLAIMS.DELETE",
    ]


@pytest.mark.parametrize("kind", ["rollouts", "lease", "grant", "heartbeat"])
async def test_an_answer_goes_nowhere_but_to_its_asker(siege, kind):
    mallory = await siege.attacker()
    own = {
        "rollouts": siege.rollouts_of(siege.mallory_id),
        "lease": names.lease_subject(RUN, siege.mallory_id),
        "grant": names.grant_subject(RUN, siege.mallory_id),
        "heartbeat": names.heartbeat_subject(RUN, siege.mallory_id),
    }[kind]
    async with siege.goes_on():
        for number, target in enumerate(targets(siege)):
            mallory.publish(own, MARK + b" %d" % number, reply_to=target)
            await mallory.settle()
    assert mallory.refusals == []
    # What he sent was stored, or answered, as his own, and nothing else was.
    sent = [MARK + b" %d" % number for number in range(len(targets(siege)))]
    stored = await siege.attackers_groups()
    assert [data for _, data in stored] == (sent if kind == "rollouts" else [])
    assert not mallory.closed.is_set()


async def test_an_answer_that_is_a_group_of_his_own_is_his_own_message(siege):
    mallory = await siege.attacker()
    own = siege.rollouts_of(siege.mallory_id)
    async with siege.goes_on():
        mallory.publish(own, MARK, reply_to=siege.rollouts_of(siege.mallory_id, version=2))
        await mallory.settle()
    stored = await siege.attackers_groups()
    assert stored[0] == (own, MARK)
    assert len(stored) <= 2


async def test_what_the_server_alone_replies_to_is_refused_as_a_reply(siege):
    """Acks, and the subjects by which it takes answers from one account to another."""
    mallory = await siege.attacker()
    ack = f"$JS.ACK.{QUEUE}.{names.intake_consumer('s0')}.1.1.1.1.0"
    async with siege.goes_on():
        for reply_to in (ack, "_R_.x.forged"):
            mallory.publish(siege.rollouts_of(siege.mallory_id), MARK, reply_to=reply_to)
        await mallory.settle()
    assert ["with reply" in text.lower() for text in mallory.refusals] == [True, True]
    assert await siege.attackers_groups() == []


async def test_the_coordinator_answers_to_inboxes_only(siege):
    """Whoever is in the account of the streams has his reply subjects unchanged: the learner's
    own code must not be led there."""
    insider = siege.core
    inbox = "_INBOX.insider"
    insider.subscribe(inbox)
    await insider.settle()
    num_heard = len(insider.heard)
    for target in (names.ledger_subject(RUN), siege.rollouts_of(siege.bob_id), "$KV.weights.x"):
        insider.publish(names.lease_subject(RUN, siege.mallory_id), b"work?", reply_to=target)
    await insider.settle()
    # The same coordinator has seen those questions before it answers this one.
    answer = await insider.ask(names.lease_subject(RUN, siege.mallory_id), inbox=inbox)
    assert answer.startswith(b"answer to lease.")
    answers = [heard.subject for heard in insider.heard[num_heard:] if b"answer to" in heard.data]
    assert answers == [inbox]
