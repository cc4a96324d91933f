"""What SIGTERM and Ctrl-C mean to a daemon: the first asks it to end, the second ends it."""

import asyncio
import signal
from collections.abc import Callable


def stop_on_signals(on_first: Callable[[], None] = lambda: None) -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets; the second one cancels the calling task.

    `on_first` is called with the first one.
    """
    stop, caller, loop = asyncio.Event(), asyncio.current_task(), asyncio.get_running_loop()
    assert caller is not None

    def on_signal() -> None:
        if stop.is_set():
            caller.cancel()
            return
        stop.set()
        on_first()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop
