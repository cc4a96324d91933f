"""Streams and consumers, field by field."""

import json
import shlex
from pathlib import Path

import msgspec
import pytest

from broker.doctor.commands import Commands
from broker.doctor.configuration import check_configuration
from broker.doctor.facts import ConsumerFacts, StreamFacts
from broker.doctor.finding import Finding, Level
from broker.doctor.run import check_run
from broker.interface import StreamKind
from broker.jetstream import config
from broker.streams import run_streams
from schemas.settings import Connection, RunSettings

SETTINGS = RunSettings(name="demo")
COMMANDS = Commands(Connection(), Path("runs"))
QUEUE, LOG, POLICIES = run_streams(SETTINGS)
AS_A_SERVER_SAYS = {"max_consumers": -1, "max_age": 0, "metadata": {"_nats.ver": "2.15.1"}}
LEFT_OUT = ("allow_msg_schedules", "allow_msg_counter", "allow_atomic", "allow_batched", "no_ack")
"""What a server does not say when it is off."""


def plain(value):
    return msgspec.json.decode(msgspec.json.encode(value))


def facts(spec, *, without=(), consumers=None, **changed) -> StreamFacts:
    """The stream as a server tells it, with some fields changed."""
    said = plain(config.stream_config(spec)) | AS_A_SERVER_SAYS
    kept = {key: value for key, value in said.items() if key not in (*LEFT_OUT, *without)}
    made = kept | changed
    if consumers is None:
        consumers = (consumer(),) if spec.kind is StreamKind.QUEUE else ()
    return StreamFacts(name=spec.name, num_bytes=0, config=made, consumers=consumers)


def consumer(**changed) -> ConsumerFacts:
    said = plain(config.consumer_config(QUEUE)) | {"replay_policy": "instant", "max_waiting": 512}
    made = {key: value for key, value in (said | changed).items() if value not in ("", [])}
    return ConsumerFacts(name=changed.get("name", QUEUE.consumer), config=made)


def only_wrong(findings: list[Finding]) -> Finding:
    (wrong,) = [each for each in findings if each.level is not Level.OK]
    return wrong


def body(finding: Finding) -> tuple[str, dict]:
    """What the line that mends it sends: the subject, and the request."""
    *nats, subject, data = shlex.split(finding.fix)
    assert nats == ["nats", "--server", "nats://127.0.0.1:4222", "request"]
    return subject, json.loads(data) if data else {}


@pytest.mark.parametrize("spec", [QUEUE, LOG, POLICIES])
def test_as_we_make_them_all_is_well(spec):
    for found in (facts(spec), facts(spec, first_seq=5)):
        findings = check_configuration(spec, found, COMMANDS)
        assert {each.level for each in findings} == {Level.OK}


@pytest.mark.parametrize("field", [*config.StreamConfig.__struct_fields__])
def test_every_field_of_a_stream_is_compared(field):
    found = facts(LOG, **{field: 0 if field == "num_replicas" else "something else"})
    assert only_wrong(check_configuration(LOG, found, COMMANDS)).found.startswith(f"{field} is ")


@pytest.mark.parametrize("field", [*config.ConsumerConfig.__struct_fields__])
def test_every_field_of_a_consumer_is_compared(field):
    other = ConsumerFacts(
        name=QUEUE.consumer, config=dict(consumer().config) | {field: "something else"}
    )
    wrong = only_wrong(check_configuration(QUEUE, facts(QUEUE, consumers=(other,)), COMMANDS))
    assert wrong.found.startswith(f"{field} is ")


def test_all_fields_that_differ_are_named_and_sent():
    found = facts(LOG, without=("deny_delete",), duplicate_window=1, max_age=60, republish={"a": 1})
    wrong = only_wrong(check_configuration(LOG, found, COMMANDS))
    assert wrong.level is Level.CRITICAL
    assert wrong.found == (
        "duplicate_window is 1, wanted is 120000000000; deny_delete is not set, wanted is true; "
        'max_age is 60, wanted is nothing; republish is {"a": 1}, wanted is nothing'
    )
    subject, sent = body(wrong)
    assert subject == "$JS.API.STREAM.UPDATE.LOG_demo"
    assert (sent["deny_delete"], sent["duplicate_window"]) == (True, 120_000_000_000)
    assert sent.keys().isdisjoint({"max_age", "republish", "metadata"})


def test_more_replicas_than_were_asked_for_are_kept():
    assert check_configuration(LOG, facts(LOG, num_replicas=3), COMMANDS)[0].level is Level.OK
    found = facts(LOG, num_replicas=3, max_age=60)
    _, sent = body(only_wrong(check_configuration(LOG, found, COMMANDS)))
    assert sent["num_replicas"] == 3


def test_what_only_makes_it_slower_is_a_warning():
    wrong = only_wrong(check_configuration(QUEUE, facts(QUEUE, max_bytes=1), COMMANDS))
    assert wrong.level is Level.WARNING


def test_what_no_update_changes_needs_another_run():
    wrong = only_wrong(check_configuration(LOG, facts(LOG, storage="memory"), COMMANDS))
    assert wrong.fix.startswith("learner open --name ANOTHER")
    slow = only_wrong(check_configuration(LOG, facts(LOG, persist_mode="async"), COMMANDS))
    assert (slow.level, slow.fix) == (Level.CRITICAL, wrong.fix)


def test_a_queue_without_its_consumer_and_one_with_a_stranger():
    missing = only_wrong(check_configuration(QUEUE, facts(QUEUE, consumers=()), COMMANDS))
    subject, sent = body(missing)
    assert subject == "$JS.API.CONSUMER.CREATE.ROLLOUTS_demo_s0.intake_s0"
    assert sent["config"] == plain(config.consumer_config(QUEUE))
    both = (consumer(), consumer(name="thief"))
    stranger = only_wrong(check_configuration(QUEUE, facts(QUEUE, consumers=both), COMMANDS))
    assert stranger.level is Level.CRITICAL
    assert body(stranger)[0] == "$JS.API.CONSUMER.DELETE.ROLLOUTS_demo_s0.thief"


def test_a_run_with_a_stream_missing_and_one_in_memory():
    streams = {LOG.name: facts(LOG, storage="memory"), QUEUE.name: facts(QUEUE)}
    findings = check_run(SETTINGS, streams, COMMANDS)
    wrong = [(each.check, each.about, each.fix[:8]) for each in findings if each.fix]
    assert wrong == [
        ("configuration", LOG.name, "learner "),
        ("storage", LOG.name, "learner "),
        ("configuration", POLICIES.name, "broker i"),
    ]
    threefold = check_run(SETTINGS, streams, Commands(Connection(num_replicas=3), Path("runs")))
    assert "num_replicas is 1, wanted is 3" in threefold[0].found
