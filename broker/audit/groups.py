"""Every accepted group goes one way: into one batch, or it is dropped, useless or waiting."""

from collections import Counter
from collections.abc import Iterator

from broker.audit.report import Check, Equation, Violation, equation, listed_ids
from broker.tally import Tally


def group_equation(log: Tally) -> Equation:
    """accepted = in a batch + waiting + no signal + stale at the cut."""
    return equation(
        Check.GROUPS,
        "groups",
        ("accepted", len(log.accepted)),
        [
            ("in a batch", log.rows.total()),
            ("waiting", len(log.waiting)),
            ("no signal", len(log.without_signal)),
            ("stale at the cut", len(log.drops)),
        ],
    )


def check_groups(log: Tally) -> Iterator[Violation]:
    """Name the groups that went two ways, or were never accepted."""
    drops = Counter(drop.lease_id for drop in log.drops)
    rows, no_signal, accepted = log.rows.keys(), log.without_signal, log.accepted_at.keys()
    findings = [
        ("dropped twice", {lease_id for lease_id, count in drops.items() if count > 1}),
        ("dropped but never accepted", drops.keys() - accepted),
        ("in a batch but never accepted", rows - accepted),
        ("in a batch and dropped as stale", rows & drops.keys()),
        ("in a batch though without signal", rows & no_signal),
        ("dropped as stale though without signal", drops.keys() & no_signal),
    ]
    for what, lease_ids in findings:
        if lease_ids:
            yield Violation(check=Check.GROUPS, detail=f"{what}: {listed_ids('lease', lease_ids)}")


def check_once(log: Tally) -> Iterator[Violation]:
    """Promise 1: an accepted group influences at most one optimizer step."""
    steps: dict[int, list[int]] = {}
    for logged, row in log.placed_rows():
        steps.setdefault(row.lease_id, []).append(logged.batch.step)
    for lease_id, found in steps.items():
        if len(found) > 1:
            detail = f"the group of lease {lease_id} has {len(found)} rows, in "
            yield Violation(check=Check.ONCE, detail=detail + listed_ids("step", found))
