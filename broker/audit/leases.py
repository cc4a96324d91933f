"""Every lease is open or ended once, in one way, by the actor that held it."""

from collections import Counter
from collections.abc import Iterator

from broker.audit.report import Check, Equation, Violation, equation, listed_ids
from broker.tally import LeaseEnd, Tally


def lease_equation(log: Tally) -> Equation:
    """issued = open + fulfilled + refused + expired + abandoned."""
    ends = Counter(end for ends in log.ends.values() for end in ends)
    return equation(
        Check.LEASES,
        "leases",
        ("issued", len(log.leases)),
        [("open", len(log.open_leases)), *((str(end), ends[end]) for end in LeaseEnd)],
    )


def check_leases(log: Tally) -> Iterator[Violation]:
    """Name the leases that make the equation, or the terms of a lease, not hold."""
    for detail in (*_misnumbered(log), *_ended_wrongly(log), *_fulfilled_wrongly(log)):
        yield Violation(check=Check.LEASES, detail=detail)


def _misnumbered(log: Tally) -> Iterator[str]:
    never = set(range(max(log.leases, default=-1) + 1)) - log.leases.keys()
    if never:
        yield f"numbers that were left out: {listed_ids('lease', never)}"


def _ended_wrongly(log: Tally) -> Iterator[str]:
    for lease_id, ends in sorted(log.ends.items()):
        if lease_id not in log.leases:
            yield f"lease {lease_id} is {ends[0]} and was never issued"
        if len(ends) > 1:
            yield f"lease {lease_id} ended {len(ends)} times: {', '.join(ends)}"


def _fulfilled_wrongly(log: Tally) -> Iterator[str]:
    for group in log.accepted:
        lease = log.leases.get(group.lease_id)
        if lease is None:
            continue  # Said above.
        if lease.actor != group.actor:
            yield f"lease {group.lease_id} is {lease.actor}'s and was fulfilled by {group.actor}"
        if lease.group_size != len(group.rewards):
            yield (
                f"lease {group.lease_id} asks for {lease.group_size} rollouts, "
                f"{len(group.rewards)} were accepted"
            )
