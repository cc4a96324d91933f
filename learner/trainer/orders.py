"""What the first rank tells the others, and every rank does.

Only the first rank reads the logs. The others do what they are told, in the order they are told, so
that the ranks take the same steps without agreeing on anything.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from learner.trainer.world import World
from schemas.settings import TrainerSettings


class _Order(Struct, frozen=True, kw_only=True, tag=True):
    pass


class Load(_Order, frozen=True):
    """Take a state: a checkpoint's, or that of the initial policy."""

    settings: TrainerSettings
    initial_folder: str
    checkpoint_folder: str
    """Empty: none, start from the initial policy with an optimizer that has seen nothing."""
    batch_sha256: str | None
    """Of the batch that made this state; None for the initial policy."""


class Train(_Order, frozen=True):
    """Take one optimizer step."""

    batch: bytes
    """Wire bytes of the batch, as they stand in the log."""


class Wait(_Order, frozen=True):
    """Do nothing; sent while there is nothing to do, so that silence means a dead first rank."""


class Leave(_Order, frozen=True):
    """The end."""


Order = Load | Train | Wait | Leave


def received(world: World) -> Iterator[Load | Train]:
    """What there is to do, on every other rank, until the end."""
    while True:
        order = msgspec.msgpack.decode(world.broadcast_bytes(None), type=Order)
        match order:
            case Leave():
                return
            case Wait():
                pass
            case _:
                yield order
