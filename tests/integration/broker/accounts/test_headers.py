"""Headers by which a publisher asks JetStream for more than to store his message."""

import json
import secrets

import pytest

from broker.jetstream import NatsBroker
from schemas import names
from schemas.wire import sha256_hex
from tests.support.guarded import RUN
from tests.support.siege import MARK

pytestmark = pytest.mark.integration

ACTS = [
    (10111, {"Nats_Rollup": "all"}),
    (10111, {"Nats_Rollup": "sub"}),
    (10166, {"Nats_TTL": "1s"}),
    (10166, {"Nats_TTL": "never"}),
    (10174, {"Nats_Batch_Id": "b", "Nats_Batch_Sequence": "1", "Nats_Batch_Commit": "1"}),
    (10168, {"Nats_Incr": "+1"}),
    (10188, {"Nats_Schedule": "@every 1s", "Nats_Schedule_Target": "{bob}"}),
    (10188, {"Nats_Schedule": "@at 2020-01-01T00:00:00Z", "Nats_Schedule_Target": "{log}"}),
    (10060, {"Nats_Expected_Stream": "LOG_guarded"}),
    (10071, {"Nats_Expected_Last_Sequence": "9999999"}),
    (10071, {"Nats_Expected_Last_Subject_Sequence": "9999999"}),
    (10070, {"Nats_Expected_Last_Msg_Id": "another"}),
]
"""What is refused, and JetStream's code for it."""


async def ask(siege, mallory, **headers):
    """What JetStream says to a message of the attacker's with these headers."""
    targets = {"bob": siege.rollouts_of(siege.bob_id), "log": names.ledger_subject(RUN)}
    filled = {name: text.format(**targets) for name, text in headers.items()}
    own = siege.rollouts_of(siege.mallory_id)
    return json.loads(await mallory.ask(own, MARK, inbox="_INBOX.answer", **filled))


async def test_a_queue_does_what_no_header_says(siege):
    mallory = await siege.attacker()
    async with siege.goes_on():
        said = [await ask(siege, mallory, **headers) for _, headers in ACTS]
    assert [answer.get("error", {}).get("err_code") for answer in said] == [
        code for code, _ in ACTS
    ]
    assert await siege.attackers_groups() == []


async def test_an_expectation_that_holds_is_a_plain_publish(siege):
    """Those of a subject, of one that is not his either."""
    mallory = await siege.attacker()
    async with siege.goes_on():
        for subject in (siege.rollouts_of(siege.mallory_id), siege.rollouts_of("nobody")):
            await ask(
                siege,
                mallory,
                Nats_Expected_Last_Subject_Sequence="0",
                Nats_Expected_Last_Subject_Sequence_Subject=subject,
            )
    stored = await siege.attackers_groups()
    assert {subject for subject, _ in stored} <= {siege.rollouts_of(siege.mallory_id)}


async def test_sixty_open_batches_deny_nobody(siege):
    """JetStream holds fifty of a stream open, if it holds any at all."""
    mallory = await siege.attacker()
    async with siege.goes_on():
        for number in range(60):
            mallory.publish(
                siege.rollouts_of(siege.mallory_id),
                MARK,
                reply_to="_INBOX.batches",
                Nats_Batch_Id=f"batch-{number}",
                Nats_Batch_Sequence="1",
            )
        await mallory.settle()
        answer = await ask(siege, mallory, Nats_Batch_Id="last", Nats_Batch_Sequence="1")
    assert answer["error"]["err_code"] == 10174
    assert await siege.attackers_groups() == []


async def test_nor_do_fast_batches_which_a_reply_subject_asks_for(siege):
    mallory = await siege.attacker()
    async with siege.goes_on():
        said = [
            json.loads(await mallory.ask(siege.rollouts_of(siege.mallory_id), MARK, inbox=inbox))
            for number in range(60)
            for inbox in (f"_INBOX.batch{number}.10.fail.1.0.$FI",)
        ]
    assert {answer["error"]["err_code"] for answer in said} == {10205}
    assert await siege.attackers_groups() == []


@pytest.mark.parametrize("target", ["policy.{run}", "verdict.{run}.{bob}", "{inbox}.forged"])
async def test_a_trace_of_a_message_goes_to_no_subject_of_others(siege, target):
    mallory = await siege.attacker()
    where = target.format(run=RUN, bob=siege.bob_id, inbox=siege.bob.inbox_prefix)
    async with siege.goes_on():
        for headers in ({}, {"Nats_Trace_Only": "true"}):
            mallory.publish(
                siege.rollouts_of(siege.mallory_id), MARK, Nats_Trace_Dest=where, **headers
            )
        await mallory.settle()
    # The server says so, or looks at the account alone and sends the trace there.
    assert all(heard.subject == where for heard in mallory.heard)


async def test_a_message_id_that_is_guessed_takes_nobodys_place(siege):
    """As it did where ids had a form: the first to use one had the other's message dropped."""
    mallory = await siege.attacker()
    async with siege.goes_on():
        for number in range(20):
            await ask(siege, mallory, Nats_Msg_Id=f"{siege.bob_id}-step7-{number}")
    assert len(await siege.attackers_groups()) == 20


async def test_nor_does_the_id_of_bytes_that_are_known(siege):
    """Who knows what an honest one will send, all of it, still does not know under which id."""
    mallory = await siege.attacker()
    group = secrets.token_bytes(64)
    async with siege.goes_on():
        for number, known in enumerate((sha256_hex(group), group.hex(), siege.bob_id)):
            answer = await ask(siege, mallory, Nats_Msg_Id=known)
            assert "error" not in answer, number
        # The bytes themselves, by the product's own client with the attacker's credentials.
        copy = await NatsBroker.connect(
            siege.guarded.url, name="mallory", credentials=siege.mallory
        )
        await copy.publish(siege.rollouts_of(siege.mallory_id), group)
        await copy.close()
    siege._honest.add(group)
    stored = await siege.honest.publish(siege.rollouts_of(siege.bob_id), group)
    assert not stored.duplicate
    await siege.work()
    assert (siege.rollouts_of(siege.bob_id), group) in siege.taken


async def test_a_message_that_is_sent_again_is_one_message(siege):
    """Also after the honest one has come again with the credentials that he had."""
    group, subject = secrets.token_bytes(64), siege.rollouts_of(siege.bob_id)
    first = await siege.honest.publish(subject, group)
    again = await NatsBroker.connect(siege.guarded.url, name="bob", credentials=siege.bob)
    second = await again.publish(subject, group)
    await again.close()
    assert (second.sequence, second.duplicate) == (first.sequence, True)
