"""`broker top` on a terminal and in a pipe."""

import asyncio
import signal

from broker.interface import Broker
from broker.inventory import the_run
from broker.top.badges import Badges
from broker.top.live import Live
from broker.top.sort import Sort
from broker.top.view import TopView
from schemas.errors import BrokerUnavailable, UserError

HEARD_S = 2.5
"""A little more than the time between two heartbeats."""


async def on_screen(
    broker: Broker, run: str, badges: Badges, *, sort: Sort, reverse: bool, every_s: float
) -> None:
    """Show a run in the terminal until somebody leaves it.

    Raises:
        UserError: there is no such run, or the screen is not installed.
    """
    try:
        from broker.top.app import TopApp
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("textual"):
            raise
        raise UserError(
            "the screen needs textual: pip install 'tributary-rl[screen]', or take --json"
        ) from None
    live = Live(broker, await the_run(broker, run), badges=badges)
    app = TopApp(live, sort=sort, reverse=reverse, every_s=every_s)
    following = asyncio.create_task(live.follow())
    following.add_done_callback(lambda _: app.exit())
    # Otherwise it would leave a terminal that echoes nothing.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.exit)
    try:
        await app.run_async()
    finally:
        await _end(following)


class Looks:
    """A question that may be asked again and again: a run is followed from the first time on."""

    def __init__(self, run: str, badges: Badges, *, sort: Sort, reverse: bool) -> None:
        self._run = run
        self._badges = badges
        self._sort = sort
        self._reverse = reverse
        self._live: Live | None = None
        self._following: asyncio.Task[None] | None = None

    async def __call__(self, broker: Broker) -> TopView:
        """The run as it is known now; the first answer comes when its logs are read.

        Raises:
            UserError: there is no such run.
            BrokerUnavailable: the server is away; ask again.
        """
        if self._live is None or self._following is None or self._following.done():
            self._live = Live(broker, await the_run(broker, self._run), badges=self._badges)
            self._following = asyncio.create_task(self._live.follow())
            # It may end with the connection, after the last question.
            self._following.add_done_callback(lambda task: task.cancelled() or task.exception())
            knowing = asyncio.create_task(self._live.until_known(timeout_s=HEARD_S))
            await asyncio.wait((knowing, self._following), return_when=asyncio.FIRST_COMPLETED)
            knowing.cancel()
        if self._following.done():
            self._following.result()
        if not broker.connected:
            raise BrokerUnavailable("the server is away")
        return self._live.view(self._sort, reverse=self._reverse)


async def _end(following: asyncio.Task[None]) -> None:
    """Raises what it raised, unless it only ended now."""
    following.cancel()
    await asyncio.wait((following,))
    if not following.cancelled():
        following.result()
