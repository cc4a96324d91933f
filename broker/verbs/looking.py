"""The one way in which verbs look: a question is put, its answer is printed; `--watch` repeats it.

    app.command(cls=Looking)(runs.ls)

    def ls(..., json: Json = False, watch: Watch = None) -> None:
        where = Where(nats, settings, servers)
        look(where, listing.list_server, views.show_listing, json=json, watch=watch)

All is asked over one connection. A server that goes away is said and waited for; Ctrl-C ends a
watch without a word.
"""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, TypeVar

import typer
from typer.core import TyperCommand

from broker.addresses import find_connection
from broker.interface import Broker
from broker.program import screen
from broker.program.page import Page, page
from broker.verbs.options import ask, named_file
from schemas.errors import BrokerUnavailable, StoreUnavailable
from schemas.settings import Connection

if TYPE_CHECKING:
    from broker.look.read_on import RunLogs

_EVERY: Final = "2"
"""Seconds between two answers where no number says it."""
_NUMBER: Final = re.compile(r"[0-9]*\.?[0-9]+\Z")

T = TypeVar("T")


class Looking(TyperCommand):
    """A verb whose `--watch` may stand without a number of seconds."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Say how often where nothing says it."""
        for place, word in reversed(list(enumerate(args))):
            if word == "--watch" and not any(map(_NUMBER.match, args[place + 1 : place + 2])):
                args.insert(place + 1, _EVERY)
        return super().parse_args(ctx, args)


def logs_of(run: str) -> Callable[[Broker], Awaitable["RunLogs"]]:
    """The logs of the run that is meant; who asks again finds them as far as they were read.

    Raises, when it is asked:
        UserError: there is no such run, or none is named and there are several or none.
    """
    kept: list[RunLogs] = []

    async def logs(broker: Broker) -> "RunLogs":
        from broker.inventory import the_run
        from broker.look.read_on import RunLogs

        if not kept:
            kept.append(RunLogs(await the_run(broker, run)))
        return kept[0]

    return logs


class Where(NamedTuple):
    """The servers that are asked, as the options of a verb name them."""

    nats: str
    settings: str
    servers: Path

    def connection(self) -> Connection:
        """Raises SettingsError, ServerMissing or UserError: see `find_connection`."""
        named = named_file(self.settings)
        return find_connection(named, nats=self.nats, directory=self.servers)


def look(
    where: Where,
    question: Callable[[Broker], Awaitable[T]],
    show: Callable[[T], None],
    *,
    json: bool,
    watch: float | None,
) -> T:
    """Put a question to the broker and print the answer, which is returned too.

    Raises:
        UserError: a server is not there, or does not answer as it should.
    """
    connection = where.connection()
    if watch is None:
        found = ask(connection, question, where.servers)
        show_once(found, show, json=json)
        return found

    async def go_on(broker: Broker) -> NoReturn:
        with page(show, json=json, every_s=watch) as shown:
            await again(lambda: question(broker), shown, every_s=watch, broker=broker)

    return ask(connection, go_on, where.servers)


def look_around(
    question: Callable[[], Awaitable[T]],
    show: Callable[[T], None],
    *,
    json: bool,
    watch: float | None,
) -> T:
    """As `look`, for a question that makes its connections itself."""
    import asyncio

    async def once_or_more() -> T:
        if watch is None:
            return await question()
        with page(show, json=json, every_s=watch) as shown:
            await again(question, shown, every_s=watch)

    found = asyncio.run(once_or_more())
    show_once(found, show, json=json)
    return found


def show_once(found: T, show: Callable[[T], None], *, json: bool) -> None:
    """Print an answer that is the only one."""
    screen.show_json(found) if json else show(found)


async def again(
    question: Callable[[], Awaitable[T]],
    shown: Page[T],
    *,
    every_s: float,
    broker: Broker | None = None,
) -> NoReturn:
    """Ask for ever; what a server that is away cannot answer is asked again when it is back."""
    import asyncio

    while True:
        if broker is not None and not broker.connected:
            shown.away("the connection to the server is lost")
        try:
            shown.answer(await question())
        except (BrokerUnavailable, StoreUnavailable) as error:
            shown.away(str(error))
        await asyncio.sleep(every_s)
