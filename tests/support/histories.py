"""Histories of a trainer's log, written down instead of lived through."""

import msgspec

from learner.trainer.history import History
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.trainer_events import IncarnationStarted, Numerics

ONE_RANK = Numerics(
    world_size=1,
    num_threads=1,
    device="cpu",
    dtype="float32",
    token_budget=768,
    deterministic=True,
    attention="sdpa",
    experts="grouped_mm",
    torch_version="2.13.0",
    transformers_version="5.23.0",
    cpu="AVX2",
)
TWO_RANKS = msgspec.structs.replace(ONE_RANK, world_size=2)


def started(
    incarnation: int, resumed_from: int, numerics: Numerics = ONE_RANK
) -> IncarnationStarted:
    return IncarnationStarted(
        instance="t", incarnation=incarnation, numerics=numerics, resumed_from=resumed_from
    )


def announcement(incarnation: int, version: int) -> PolicyAnnouncement:
    return PolicyAnnouncement(
        run="r",
        policy=PolicyId(incarnation, version),
        manifest_sha256="0" * 64,
        signature=b"s" * 64,
        instance="t",
    )


def history(*segments: tuple[int, int, int, Numerics]) -> History:
    """From (incarnation, resumed from, last announced version, numerics)."""
    made = History()
    for incarnation, first, last, numerics in segments:
        made.apply(started(incarnation, first, numerics))
        for version in range(first, last + 1):
            made.announce(announcement(incarnation, version))
    return made
