"""Cutting a batch: which waiting groups step s trains on. Pure.

Oldest policies first, in order of acceptance, so that nothing grows too old behind fresher work. No
actor gets more than its share while others can fill the batch; a hard cap binds always.
"""

import math
from collections import Counter

from msgspec import Struct

from learner.coordinator.advantages import group_advantages
from learner.coordinator.state import RunState
from schemas.batch import Batch, Row, staleness
from schemas.ledger import GroupAccepted
from schemas.settings import BatchSettings


class Cut(Struct, frozen=True, kw_only=True):
    """What a look at the waiting groups leads to."""

    stale: tuple[int, ...] = ()
    """Leases of waiting groups that are too old for the next step."""
    batch: Batch | None = None
    """None: not yet."""


def may_cut(state: RunState, version: int | None) -> bool:
    """True when the trainer is at most one batch behind: version s - 2 is announced."""
    assert state.opened is not None
    step = state.next_step
    num_steps = state.opened.settings.trainer.num_steps
    return version is not None and version >= step - 2 and step <= num_steps


def cut(state: RunState, instance: str) -> Cut:
    """Look for the next batch among the waiting groups."""
    assert state.opened is not None
    settings = state.opened.settings
    step = state.next_step
    fresh: list[GroupAccepted] = []
    stale: list[int] = []
    for lease_id, group in state.waiting.items():
        if staleness(step, group.policy.version) > settings.leases.max_staleness:
            stale.append(lease_id)
        else:
            fresh.append(group)
    chosen = _choose(fresh, settings.batch)
    if chosen is None:
        return Cut(stale=tuple(stale))
    return Cut(
        stale=tuple(stale),
        batch=Batch(
            run=settings.name,
            step=step,
            rows=tuple(_row(group) for group in chosen),
            previous_sha256=state.last_batch_sha256,
            instance=instance,
        ),
    )


def hard_cap(settings: BatchSettings) -> int:
    """Groups of one actor that a batch may have, whoever else could fill it."""
    if settings.actor_cap >= 1.0:
        return settings.num_groups
    return max(1, int(settings.actor_cap * settings.num_groups))


def _choose(fresh: list[GroupAccepted], settings: BatchSettings) -> list[GroupAccepted] | None:
    wanted = settings.num_groups
    share = math.ceil(settings.actor_share * wanted)
    cap = hard_cap(settings)
    # sorted() is stable: groups of one version stay in order of acceptance.
    by_age = sorted(fresh, key=lambda group: group.policy.version)
    chosen: list[GroupAccepted] = []
    passed_over: list[GroupAccepted] = []
    num_rows: Counter[str] = Counter()
    for limit, candidates in ((min(share, cap), by_age), (cap, passed_over)):
        for group in candidates:
            if len(chosen) == wanted:
                return chosen
            if num_rows[group.actor] < limit:
                num_rows[group.actor] += 1
                chosen.append(group)
            elif candidates is by_age:
                passed_over.append(group)
    return chosen if len(chosen) == wanted else None


def _row(group: GroupAccepted) -> Row:
    return Row(
        segment=group.segment,
        offset=group.offset,
        length=group.length,
        sha256=group.sha256,
        lease_id=group.lease_id,
        actor=group.actor,
        policy=group.policy,
        advantages=group_advantages(group.rewards),
        num_tokens=group.num_tokens,
    )
