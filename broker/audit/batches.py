"""The batches: fresh enough, in an unbroken chain, of rows that say what was accepted."""

import math
from collections.abc import Iterator

from broker.audit.report import Check, Violation
from broker.tally import LoggedBatch, Tally
from schemas.batch import Row
from schemas.ledger import GroupAccepted

_ADVANTAGE_TOLERANCE = 1e-9
_SAME_FIELDS = ("segment", "offset", "length", "sha256", "actor", "policy", "num_tokens")
"""Of a row and of the acceptance that it is made from."""


def staleness(step: int, version: int) -> int:
    """Versions that a group of this version lags behind the step.

    >>> staleness(step=8, version=3)
    4
    """
    return (step - 1) - version


def check_fresh(log: Tally, max_staleness: int) -> Iterator[Violation]:
    """Promise 2: a group older than the staleness limit influences no step."""
    for logged, row in log.placed_rows():
        step, version = logged.batch.step, row.policy.version
        if not 0 <= staleness(step, version) <= max_staleness:
            yield _staleness_violation("is in the batch of", row.lease_id, step, version)
    versions = {group.lease_id: group.policy.version for group in log.accepted}
    for step, lease_id in log.drops:
        version = versions.get(lease_id)
        if version is not None and staleness(step, version) <= max_staleness:
            yield _staleness_violation("was dropped as stale at", lease_id, step, version)


def _staleness_violation(what: str, lease_id: int, step: int, version: int) -> Violation:
    return Violation(
        check=Check.FRESH,
        detail=f"the group of lease {lease_id} {what} step {step} with version {version}: "
        f"staleness {staleness(step, version)}",
    )


def check_chain(log: Tally) -> Iterator[Violation]:
    """Steps count from 1 without a gap; each batch names the one before it."""
    step, sha256 = 0, None
    for logged in log.batches:
        batch = logged.batch
        if batch.step != step + 1:
            yield Violation(check=Check.CHAIN, detail=f"step {batch.step} follows step {step}")
        if batch.previous_sha256 != sha256:
            detail = (
                f"step {batch.step} names {_short(batch.previous_sha256)} as the batch before it, "
                f"which is {_short(sha256)}"
            )
            yield Violation(check=Check.CHAIN, detail=detail)
        step, sha256 = batch.step, logged.sha256


def check_rows(log: Tally) -> Iterator[Violation]:
    """Each row is what its acceptance says, and comes after it."""
    accepted = {group.lease_id: group for group in reversed(log.accepted)}
    for logged, row in log.placed_rows():
        group = accepted.get(row.lease_id)
        if group is None:
            continue  # Said by `check_groups`.
        wrong = _differences(logged, row, group, log.accepted_at[row.lease_id])
        if wrong:
            detail = f"step {logged.batch.step}, lease {row.lease_id}: not as accepted: "
            yield Violation(check=Check.ROWS, detail=detail + ", ".join(wrong))


def _differences(
    logged: LoggedBatch, row: Row, group: GroupAccepted, accepted_at: int
) -> list[str]:
    wrong = [name for name in _SAME_FIELDS if getattr(row, name) != getattr(group, name)]
    if not _are_advantages(row.advantages, group.rewards):
        wrong.append("advantages")
    if logged.log_sequence < accepted_at:
        wrong.append("accepted only later")
    return wrong


def _are_advantages(advantages_G: tuple[float, ...], rewards_G: tuple[float, ...]) -> bool:
    """A_i = R_i - mean(R)."""
    mean = sum(rewards_G) / len(rewards_G) if rewards_G else 0.0
    return len(advantages_G) == len(rewards_G) and all(
        math.isclose(advantage, reward - mean, abs_tol=_ADVANTAGE_TOLERANCE)
        for advantage, reward in zip(advantages_G, rewards_G, strict=True)
    )


def _short(sha256: str | None) -> str:
    return sha256[:12] if sha256 else "none"
