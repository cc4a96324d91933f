"""Who waits for whom, told from the logs alone: learner for actors, or actors for learner. Pure.

| what the logs say | who waits |
|---|---|
| a full batch waits, and the trainer is two batches behind | actors for the learner |
| no further group may be asked for until a policy comes, and the trainer has work | the same |
| too few groups for a batch, and every batch is trained | learner for the actors |
| too few groups for a batch, and the trainer has work | nobody |
| a full batch waits, and may be cut | nobody: it will be at once |
"""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from broker.program.words import counted


class Waits(StrEnum):
    """Who waits for whom."""

    LEARNER = "learner-for-actors"
    ACTORS = "actors-for-learner"
    NOBODY = "nobody"
    """Both sides have work."""
    NOT_OPENED = "not-opened"
    """No policy is announced yet."""
    FINISHED = "finished"
    """The last policy is announced."""


class Standing(Struct, frozen=True, kw_only=True):
    """How far both sides are, counted in groups and steps."""

    announced: int | None
    """The last version; None before the first."""
    step: int
    """Of the last batch that was cut."""
    num_steps: int
    batch_groups: int
    max_staleness: int
    num_rows: int
    """In all batches together."""
    num_waiting: int
    """Accepted groups that the next batch may take."""
    num_open_leases: int
    num_queued: int
    """Messages without a verdict."""


class Told(NamedTuple):
    """The answer, for programs and for people."""

    waits: Waits
    sentence: str


def who_waits(standing: Standing) -> Told:
    """Who waits for whom."""
    if standing.announced is None:
        return Told(Waits.NOT_OPENED, "everybody waits for the first policy")
    if standing.announced >= standing.num_steps:
        return Told(Waits.FINISHED, "nobody waits: the last policy is announced")
    behind = standing.step - standing.announced
    trains = f"the trainer works on step {standing.announced + 1}"
    if standing.step >= standing.num_steps:
        left = counted(behind, "step")
        return Told(Waits.NOBODY, f"nobody waits: the last batch is cut, {left} to train")
    if standing.num_waiting >= standing.batch_groups and behind >= 2:
        groups = counted(standing.num_waiting, "group")
        return Told(
            Waits.ACTORS,
            f"the actors wait for the learner: {groups} wait, and the trainer is "
            f"{counted(behind, 'step')} behind",
        )
    if standing.num_waiting >= standing.batch_groups:
        groups = counted(standing.num_waiting, "group")
        return Told(Waits.NOBODY, f"nobody waits: {groups} wait for step {standing.step + 1}")
    if behind > 0 and _room(standing, standing.announced) <= 0:
        return Told(
            Waits.ACTORS,
            "the actors wait for the learner: no more groups are asked for before policy version "
            f"{standing.announced + 1}",
        )
    groups = (
        f"{standing.num_waiting} of {standing.batch_groups} groups for step {standing.step + 1}"
    )
    if behind > 0:
        return Told(Waits.NOBODY, f"nobody waits: {trains}, and {groups} are there")
    under_way = f"{counted(standing.num_open_leases, 'lease')} open"
    if standing.num_queued:
        under_way = f"{counted(standing.num_queued, 'message')} to judge, {under_way}"
    return Told(Waits.LEARNER, f"the learner waits for the actors: {groups} are there, {under_way}")


def _room(standing: Standing, version: int) -> int:
    """Groups that may still be asked for, as the coordinator's lease gate counts."""
    usable = (version + standing.max_staleness + 1) * standing.batch_groups
    needed = standing.num_steps * standing.batch_groups
    under_way = standing.num_rows + standing.num_waiting + standing.num_open_leases
    return min(usable, needed) - under_way
