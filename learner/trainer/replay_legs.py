"""The legs of a replay: one incarnation each, computed under its own numerics record. Pure."""

import msgspec
from msgspec import Struct

from learner.trainer.history import History
from schemas.policy import PolicyId
from schemas.trainer_events import Numerics


class ReplayLeg(Struct, frozen=True, kw_only=True):
    """One incarnation's versions, and the states in it that later incarnations go on from."""

    incarnation: int
    first: int
    """The version whose state is loaded, and is the first to be compared."""
    last: int
    numerics: Numerics
    start: PolicyId | None
    """The state to load; None for the initial policy."""
    kept: tuple[int, ...]
    """Versions whose states later legs load."""
    manifests: dict[int, str]
    """Version -> sha256 of its policy manifest, as announced."""


class Compared(Struct, frozen=True, kw_only=True):
    """One version, computed again."""

    policy: PolicyId
    differing: tuple[str, ...]
    """Tensors, or else files, that are not the published ones; empty when every bit is equal."""
    damaged: tuple[str, ...] = ()
    """What the bucket does not hold as it was published, a few words each; when it is a manifest,
    nothing else of the version could be compared."""


def replay_legs(history: History) -> list[ReplayLeg]:
    """What to compute, in order, to have every announced version again."""
    origins = {
        incarnation: history.origin(incarnation) for incarnation in sorted(history.incarnations)
    }
    announcing = {policy.incarnation for policy in history.announced}
    return [
        ReplayLeg(
            incarnation=incarnation,
            first=history.incarnations[incarnation].resumed_from,
            last=history.last_version(incarnation),
            numerics=history.incarnations[incarnation].numerics,
            start=origin,
            kept=tuple(
                sorted(
                    {
                        other.version
                        for other in origins.values()
                        if other is not None and other.incarnation == incarnation
                    }
                )
            ),
            manifests={
                policy.version: announcement.manifest_sha256
                for policy, announcement in history.announced.items()
                if policy.incarnation == incarnation
            },
        )
        for incarnation, origin in origins.items()
        if incarnation in announcing
    ]


def replay_legs_from(history: History, checkpoint: PolicyId) -> list[ReplayLeg]:
    """As `replay_legs`, but beginning with the state of a checkpoint that `history` owns."""
    later = [each for each in replay_legs(history) if each.incarnation >= checkpoint.incarnation]
    beginning = msgspec.structs.replace(later[0], first=checkpoint.version, start=checkpoint)
    return [beginning, *later[1:]]
