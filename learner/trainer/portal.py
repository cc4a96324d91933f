"""An asyncio loop in a thread of its own, beside training code that blocks.

Broker and store are asyncio, a training step is not. The step may take minutes while pings have to
be answered and heartbeats sent, so the two run side by side and meet here.

    with Portal() as portal:
        broker = portal.call(login(connection, Role.TRAINER, run="demo", name="trainer"))
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class Portal:
    """Runs coroutines for callers in other threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="portal", daemon=True)

    def __enter__(self) -> "Portal":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, and wait for its result."""
        return self.start(coroutine).result()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run a coroutine on the loop beside the caller."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def soon(self, callback: Callable[[], object]) -> None:
        """Call a function on the loop; safe in a signal handler."""
        self._loop.call_soon_threadsafe(callback)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()
