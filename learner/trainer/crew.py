"""The other ranks, as the first one sees them: it reads the logs, and says what all of them do."""

from collections.abc import Coroutine
from concurrent import futures
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec

from learner.trainer.orders import Order, Wait
from learner.trainer.portal import Portal
from learner.trainer.world import World

_WAIT_ORDER_S = 30.0
"""Well below the time that a collective of the other ranks may take."""

T = TypeVar("T")


class Crew:
    """Gives orders to the other ranks, and keeps them waiting while the first one waits."""

    def __init__(self, portal: Portal, world: World) -> None:
        self._portal = portal
        self._world = world

    def give(self, order: Order) -> None:
        """Tell the other ranks; the caller does the same itself."""
        self._world.broadcast_bytes(msgspec.msgpack.encode(order))

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run a coroutine on the portal's loop beside the caller."""
        return self._portal.start(coroutine)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the portal's loop, and wait for its result."""
        return self.wait(self.start(coroutine))

    def wait(self, future: "Future[T]") -> T:
        """The result of a future; meanwhile the others are told to wait."""
        while not futures.wait([future], timeout=_WAIT_ORDER_S).done:
            self.give(Wait())
        return future.result()
