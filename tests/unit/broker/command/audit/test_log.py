"""LOG itself: one run, one writer at a time, every entry there and readable."""

import pytest
from msgspec.structs import replace

from broker.audit import Check, audit
from broker.logbook import Unreadable
from schemas.ledger import GroupRefused, LeaseAbandoned
from schemas.verdict import Outcome
from tests.support import hand_built
from tests.support.corrupted import expect_violation, more, other, other_batch, run_audit, said

CORRUPTIONS = {
    "a lease is issued twice": (
        more(replace(hand_built.issued(3), request_id="another")),
        Check.LOG,
        "entry 12 of LOG contradicts an earlier one on the issue of lease 3",
    ),
    "a message is judged twice": (
        more(replace(hand_built.contents()[2].events[2], outcome=Outcome.LATE, closes_lease=False)),
        Check.LOG,
        "contradicts an earlier one on the verdict on ROLLOUTS_demo_s0 3",
    ),
    "a verdict is on a foreign stream": (
        other(GroupRefused, {"sequence": 8}, stream="ROLLOUTS_demo_s1"),
        Check.LOG,
        "verdicts on ROLLOUTS_demo_s1, which is no stream of the run",
    ),
    "a replaced coordinator writes": (
        lambda log: [
            *log,
            hand_built.entry(LeaseAbandoned(lease_id=9), instance="coordinator-1"),
        ],
        Check.LOG,
        "entry 12 of LOG is by coordinator-1, after coordinator-2 had taken over",
    ),
    "a replaced coordinator cuts": (
        other_batch(2, instance="coordinator-1"),
        Check.LOG,
        "entry 9 of LOG is by coordinator-1, after coordinator-2 had taken over",
    ),
    "nothing opens the run": (
        lambda log: log[1:],
        Check.LOG,
        "no entry of LOG opens the run",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_named(name: str) -> None:
    expect_violation(*CORRUPTIONS[name])


def test_an_unreadable_entry_is_named() -> None:
    log = hand_built.items(hand_built.contents())
    log[4] = replace(log[4], content=Unreadable(detail="not ours"))
    report = audit("demo", hand_built.states(hand_built.contents()), log)
    assert "entry 5 of LOG cannot be read: not ours" in said(report, Check.LOG)


def test_a_gap_in_the_log_is_named() -> None:
    log = hand_built.items(hand_built.contents())
    report = audit("demo", hand_built.states(hand_built.contents()), log[:5] + log[6:])
    assert "LOG goes from sequence 5 to 7" in said(report, Check.LOG)


def test_a_shorter_log_than_its_stream_is_named() -> None:
    log = hand_built.items(hand_built.contents())
    report = audit("demo", hand_built.states(hand_built.contents()), log[:-1])
    assert "LOG ended at 11, and can be read to 10" in said(report, Check.LOG)


def test_a_missing_stream_is_named() -> None:
    log = hand_built.contents()
    report = audit("demo", hand_built.states(log)[1:], hand_built.items(log))
    assert "there is no stream ROLLOUTS_demo_s0" in said(report, Check.LOG)


def test_another_runs_log_is_named() -> None:
    log = hand_built.contents()
    report = audit("other", hand_built.states(log), hand_built.items(log))
    assert "LOG opens the run demo, not other" in said(report, Check.LOG)


def test_an_event_said_twice_counts_once() -> None:
    log = hand_built.contents()
    report = run_audit([*log, replace(log[7], instance="coordinator-2")])
    assert report.holds
    assert report.equations == run_audit(log).equations
