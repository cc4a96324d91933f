"""Picks the groups that the report shows, and reads their bytes.

One that a batch used, with right and wrong rollouts in it; and one that was refused because its
claims are false, where its bytes were kept.
"""

from collections.abc import Sequence

from msgspec import Struct

from broker.objects.archive import Archive
from broker.store import Store
from broker.tally import Tally
from learner.report.story import Story
from schemas import ledger, names
from schemas.errors import DigestMismatch, ObjectMissing, Rejected
from schemas.rollout import RolloutGroup, check_shape
from schemas.verdict import Reason
from schemas.wire import decode

_MAX_BYTES = 16 << 20
"""A larger group is nothing to look at."""


class ShownGroup(Struct, frozen=True, kw_only=True):
    """A group with what the learner found out about it."""

    group: RolloutGroup
    rewards: tuple[float, ...]
    """Recomputed, one per rollout."""
    advantages: tuple[float, ...]
    """As the batch used them; empty for a refused group."""
    step: int | None
    """Of the batch; None for a refused group."""
    detail: str
    """Of the refusal; empty for a used group."""


async def used_group(story: Story, store: Store) -> ShownGroup | None:
    """The latest of the most mixed groups in a batch; None when none can be read."""
    found = pick_used(story.tally)
    if found is None:
        return None
    step, row_sha256, event, advantages = found
    archive = Archive(store, story.opened.settings.name)
    try:
        data = await archive.read(
            event.segment, offset=event.offset, length=event.length, sha256=row_sha256
        )
    except (DigestMismatch, ObjectMissing):
        return None
    return _shown(story, data, event.rewards, advantages=advantages, step=step)


async def refused_group(story: Story, store: Store) -> ShownGroup | None:
    """The refused group with the most false claims whose bytes were kept; None without one."""
    event = pick_refused(story.tally)
    if event is None:
        return None
    try:
        data = await store.get(names.refused_key(story.opened.settings.name, event.sha256))
    except ObjectMissing:
        return None
    return _shown(story, data, event.rewards, detail=event.detail)


def pick_used(tally: Tally) -> tuple[int, str, ledger.GroupAccepted, tuple[float, ...]] | None:
    """(step, sha256, acceptance, advantages) of the row to show."""
    accepted = {event.lease_id: event for event in tally.accepted}
    rows = [
        (cut.batch.step, row.sha256, accepted[row.lease_id], row.advantages)
        for cut, row in tally.placed_rows()
        if row.lease_id in accepted
    ]
    return max(rows, key=lambda row: (_variance(row[3]), row[0]), default=None)


def pick_refused(tally: Tally) -> ledger.GroupRefused | None:
    """The refusal to show."""
    kept = [
        event
        for verdicts in tally.judged.values()
        for event in verdicts
        if isinstance(event, ledger.GroupRefused)
        and event.reason is Reason.REWARD_MISMATCH
        and event.sample_kept
    ]
    return min(kept, key=lambda event: sum(event.rewards), default=None)


def _variance(advantages: Sequence[float]) -> float:
    return round(sum(a * a for a in advantages) / len(advantages), 6)


def _shown(
    story: Story,
    data: bytes,
    rewards: tuple[float, ...],
    *,
    advantages: tuple[float, ...] = (),
    step: int | None = None,
    detail: str = "",
) -> ShownGroup | None:
    """Decode with a stranger's bytes in mind: what does not decode is not shown."""
    try:
        group = decode(data, RolloutGroup, max_wire_bytes=_MAX_BYTES, max_decoded_bytes=_MAX_BYTES)
        for rollout in group.rollouts:
            check_shape(rollout, story.opened.vocabulary_size)
    except Rejected:
        return None
    if len(group.rollouts) != len(rewards):
        return None
    return ShownGroup(group=group, rewards=rewards, advantages=advantages, step=step, detail=detail)
