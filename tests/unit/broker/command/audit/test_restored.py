"""A run that was restored from a backup: what its queues held without a verdict is counted."""

from msgspec.structs import replace

from broker.audit import AuditReport, Check, audit
from broker.interface import StreamState
from broker.look import views
from schemas.ledger import LeaseExpired, QueueEnd, RunRestored
from tests.support import hand_built
from tests.support.corrupted import said

RESTORED = RunRestored(
    instance="restore-1",
    backup_sha256="b" * 64,
    taken=hand_built.START + 60,
    queues=(QueueEnd(stream=hand_built.QUEUE, last_sequence=13),),
)
LOG = [*hand_built.contents(), hand_built.entry(RESTORED, instance="restore-1")]


def run_audit(log: list, first: int, last: int, num_messages: int = 0) -> AuditReport:
    queue, kept = hand_built.states(log)
    queue: StreamState = replace(
        queue, first_sequence=first, last_sequence=last, num_messages=num_messages
    )
    return audit("demo", [queue, kept], hand_built.items(log))


def test_what_had_no_verdict_is_counted_and_said(capsys) -> None:
    report = run_audit(LOG, first=14, last=13)
    assert report.violations == ()
    assert report.num_lost_at_restores == 1
    assert str(report.equations[1]) == (
        "13 last sequence = 12 judged + 0 unjudged + 1 lost at a restore"
    )
    views.show_audit(report)
    assert "its queues were not in it, 1 message without a verdict\n" in capsys.readouterr().out


def test_the_run_goes_on_behind_it() -> None:
    log = [*LOG, hand_built.entry(hand_built.started("coordinator-3"), instance="coordinator-3")]
    log.append(hand_built.entry(LeaseExpired(lease_id=9), instance="coordinator-3"))
    report = run_audit(log, first=14, last=15, num_messages=2)
    assert report.violations == ()
    assert str(report.equations[1]) == (
        "15 last sequence = 12 judged + 2 unjudged + 1 lost at a restore"
    )


def test_what_is_lost_behind_it_is_a_violation() -> None:
    report = run_audit(LOG, first=16, last=15)
    assert "gone without a verdict: sequences 14, 15" in said(report, Check.MESSAGES)


def test_a_queue_that_begins_anew_is_a_violation() -> None:
    report = run_audit(LOG, first=1, last=0)
    assert "0 last sequence != 12 judged" in said(report, Check.MESSAGES)
    assert not report.holds


def test_a_coordinator_of_before_that_writes_on_is_a_violation() -> None:
    log = [*LOG, hand_built.entry(LeaseExpired(lease_id=9), instance="coordinator-2")]
    report = run_audit(log, first=14, last=13)
    assert said(report, Check.LOG) == (
        "entry 13 of LOG is by coordinator-2, after restore-1 had taken over"
    )
