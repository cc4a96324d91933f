"""What a log may and may not say of a purge."""

import pytest
from msgspec.structs import replace

from broker.audit import Check, audit
from broker.look.life import life_of
from schemas.ledger import MessagesPurged, PurgeBegun, Span
from schemas.purge import PurgeReason
from schemas.verdict import Outcome, Reason
from tests.support import hand_built
from tests.support.corrupted import said

BEGUN = PurgeBegun(
    purge=0,
    stream=hand_built.QUEUE,
    subject="rollouts.demo.s0.*.MALLORY",
    first=13,
    through=16,
    num_messages=3,
    reason=PurgeReason.CUT_OFF,
)
TOLD = MessagesPurged(
    purge=0,
    stream=hand_built.QUEUE,
    reason=PurgeReason.CUT_OFF,
    spans=(Span(14, 14), Span(16, 16)),
)


def run_audit(*events, gone: frozenset[int] = frozenset({14, 16})):
    """The hand-built run, whose queue has four messages behind the twelve that are judged."""
    log = hand_built.contents()
    log += [hand_built.entry(event, instance="coordinator-2") for event in events]
    queue, kept = hand_built.states(log)
    queue = replace(queue, last_sequence=16, num_messages=4 - len(gone & {13, 14, 15, 16}))
    return audit("demo", [queue, kept], hand_built.items(log), gone={hand_built.QUEUE: gone})


def test_what_is_told_is_counted_by_its_reason():
    report = run_audit(BEGUN, TOLD)
    assert report.holds, report
    assert str(report.equations[1]) == (
        "16 last sequence = 12 judged + 2 purged(cut-off) + 2 unjudged"
    )


def test_what_has_gone_by_a_purge_under_way_is_being_purged():
    report = run_audit(BEGUN)
    assert report.holds, report
    assert str(report.equations[1]) == (
        "16 last sequence = 12 judged + 2 unjudged + 2 being purged"
    )


def test_a_purge_under_way_accounts_for_no_more_than_there_was_to_go():
    report = run_audit(replace(BEGUN, num_messages=1))
    assert "gone without a verdict: sequence 16" in said(report, Check.MESSAGES)


def test_a_purge_that_is_told_accounts_for_nothing_else():
    report = run_audit(BEGUN, TOLD, gone=frozenset({14, 15, 16}))
    assert "gone without a verdict: sequence 15" in said(report, Check.MESSAGES)


FAULTS: dict[str, tuple[tuple, str]] = {
    "an end without a beginning": ((TOLD,), "purge 0 is told and never began"),
    "another reason": (
        (BEGUN, replace(TOLD, reason=PurgeReason.PURGED)),
        "purge 0 began in another stream, or for another reason, than it is told of",
    ),
    "outside of its stretch": (
        (replace(BEGUN, first=15), TOLD),
        "purge 0 is told of more than sequences 15 to 16",
    ),
    "more than there were": (
        (replace(BEGUN, num_messages=1), TOLD),
        "purge 0 took 2 messages of the 1 that were there",
    ),
    "what has its verdict": (
        (replace(BEGUN, first=1), replace(TOLD, spans=(Span(12, 12), Span(14, 14)))),
        "purge 0 tells of what was judged or purged before it: 1 messages, the first is 12",
    ),
    "the same twice": (
        (BEGUN, TOLD, replace(BEGUN, purge=1), replace(TOLD, purge=1)),
        "purge 1 tells of what was judged or purged before it: 2 messages, the first is 14",
    ),
    "two ends": (
        (BEGUN, TOLD, replace(TOLD, spans=(Span(14, 14),))),
        "contradicts an earlier one on purge 0 MessagesPurged",
    ),
    "no queue of the run": (
        (replace(BEGUN, stream="ROLLOUTS_demo_s9"),),
        "there are purges of ROLLOUTS_demo_s9, which is no stream of the run",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_purge_that_cannot_be_is_named(name: str):
    events, detail = FAULTS[name]
    report = run_audit(*events)
    assert not report.holds
    assert detail in said(report, Check.LOG)


def test_a_verdict_behind_a_purge_is_on_another_message_under_its_sequence():
    verdict = replace(
        hand_built.refused(13, None, Outcome.REJECTED, reason=Reason.ENVELOPE), sequence=14
    )
    report = run_audit(BEGUN, TOLD, verdict)
    assert report.holds, report
    assert report.num_reused_sequences == 1
    assert str(report.equations[1]) == (
        "16 last sequence = 13 judged + 1 purged(cut-off) + 2 unjudged"
    )


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (PurgeReason.CUT_OFF, "purged(cut-off): its actor was cut off, with all of purge 0, 2"),
        (PurgeReason.PURGED, "purged: an operator had it removed, with all of purge 0, 2 messages"),
    ],
)
def test_why_tells_of_a_message_that_nobody_looked_at(reason: PurgeReason, words: str):
    log = hand_built.contents()
    events = (replace(BEGUN, reason=reason), replace(TOLD, reason=reason))
    log.append(hand_built.entry(*events, instance="coordinator-2"))
    published, purged = life_of("demo", "s0:14", hand_built.items(log), []).moments
    assert published.text == ("message s0:14 on rollouts.demo.s0.*.MALLORY; nobody looked at it")
    assert purged.text.startswith(words)
