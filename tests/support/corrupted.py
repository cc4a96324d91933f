"""Logs with one thing wrong, made from the hand-built one, and what the audit says of them."""

from collections.abc import Callable

from msgspec.structs import replace

from broker.audit import AuditReport, Check, audit
from schemas.batch import Row
from schemas.ledger import LedgerEntry, LedgerEvent
from tests.support import hand_built


def changed(log: list, change: Callable) -> list:
    """The log with every event replaced by what `change` makes of it; None leaves it out."""
    result = []
    for content in log:
        if isinstance(content, LedgerEntry):
            events = [change(event) for event in content.events]
            content = replace(content, events=tuple(event for event in events if event is not None))
        result.append(content)
    return result


def without(kind: type, **fields) -> Callable:
    """Leaves out one event."""

    def change(event):
        hit = isinstance(event, kind) and all(getattr(event, k) == v for k, v in fields.items())
        return None if hit else event

    return lambda log: changed(log, change)


def other(kind: type, which: dict, **fields) -> Callable:
    """Changes fields of one event."""

    def change(event):
        hit = isinstance(event, kind) and all(getattr(event, k) == v for k, v in which.items())
        return replace(event, **fields) if hit else event

    return lambda log: changed(log, change)


def more(event: LedgerEvent) -> Callable:
    """Appends an entry with one more event."""
    return lambda log: [
        *log,
        hand_built.entry(event, instance="coordinator-2"),
    ]


def other_batch(step: int, **fields) -> Callable:
    return lambda log: [
        replace(content, **fields) if getattr(content, "step", None) == step else content
        for content in log
    ]


def other_row(**fields) -> Callable:
    """Changes the first row of batch 2, the last one, so that the chain stays whole."""

    def change(log):
        batch = log[8]
        rows = (replace(batch.rows[0], **fields), *batch.rows[1:])
        return [*log[:8], replace(batch, rows=rows), *log[9:]]

    return change


def third_batch(rows: tuple[Row, ...]) -> Callable:
    """Cuts batch 3 from these rows."""

    def change(log):
        sha256 = hand_built.items(log)[8].sha256
        batch = replace(log[8], step=3, rows=rows, previous_sha256=sha256)
        return [*log, batch]

    return change


def run_audit(log: list, **options) -> AuditReport:
    return audit("demo", hand_built.states(log), hand_built.items(log), **options)


def said(report: AuditReport, check: Check) -> str:
    return "\n".join(found.detail for found in report.violations if found.check is check)


def expect_violation(corrupt: Callable, check: Check, detail: str) -> None:
    """The audit of the corrupted log names what is wrong with it."""
    report = run_audit(corrupt(hand_built.contents()))
    assert not report.holds
    assert detail in said(report, check)
