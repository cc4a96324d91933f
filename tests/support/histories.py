"""Histories of a trainer's log, written down instead of lived through."""

import msgspec

from broker.policies.signing import RunKey, sign_announcement
from learner.trainer.history import History
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.trainer_events import IncarnationStarted, Numerics, TrainerEntry
from tests.support.examples import NUMERICS

ONE_RANK = msgspec.structs.replace(NUMERICS, world_size=1)
KEY = RunKey(bytes(32))
TWO_RANKS = msgspec.structs.replace(ONE_RANK, world_size=2)


def started(
    incarnation: int, resumed_from: int, numerics: Numerics = ONE_RANK
) -> IncarnationStarted:
    return IncarnationStarted(
        instance="t", incarnation=incarnation, numerics=numerics, resumed_from=resumed_from
    )


def announcement(incarnation: int, version: int) -> PolicyAnnouncement:
    return sign_announcement(
        KEY, run="r", policy=PolicyId(incarnation, version), manifest_sha256="0" * 64, instance="t"
    )


def history(*segments: tuple[int, int, int, Numerics]) -> History:
    """From (incarnation, resumed from, last announced version, numerics)."""
    made = History()
    for incarnation, first, last, numerics in segments:
        made.apply(TrainerEntry(event=started(incarnation, first, numerics)))
        for version in range(first, last + 1):
            made.apply(announcement(incarnation, version))
    return made
