"""What the verbs of `broker` share: their options, and asking a question of the servers."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from broker.addresses import SERVERS_DIRECTORY, how_to_start
from broker.interface import Broker
from schemas.errors import BrokerError, PermissionDenied, StoreError, StoreUnavailable, UserError
from schemas.settings import Connection

CONNECT_TIMEOUT_S: Final = 3.0

T = TypeVar("T")

Nats = Annotated[str, typer.Option("--nats", metavar="URL", help="URL of the NATS server.")]
SettingsFile = Annotated[
    str, typer.Option("--settings", metavar="FILE", help="TOML file that has a connection section.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]
Watch = Annotated[
    float | None,
    typer.Option(
        "--watch",
        metavar="[SECONDS]",
        min=0.1,
        max=86_400,
        show_default=False,
        help="Ask again every so many seconds, 2 if no number follows, until Ctrl-C.",
    ),
]
Run = Annotated[str, typer.Argument(help="Name of the run; may be left out if there is one.")]
RunOption = Annotated[str, typer.Option("--run", help="Name of the run, if there are several.")]
Actor = Annotated[str, typer.Option(help="One actor: his id, the beginning of it, or his name.")]


def named_file(settings: str) -> list[str]:
    """The settings arguments that name a file, if there is one."""
    return ["@", settings] if settings else []


def ask(
    connection: Connection,
    question: Callable[[Broker], Awaitable[T]],
    directory: Path = SERVERS_DIRECTORY,
) -> T:
    """Connect, ask, and close; `directory` is that of the servers that the verb is about.

    Raises:
        UserError: a server is not there, or does not answer as it should.
    """
    import asyncio

    from broker.login import OPERATOR, login
    from broker.program.endpoint import told

    async def ask() -> T:
        broker = await login(
            connection, *OPERATOR, name="broker", connect_timeout_s=CONNECT_TIMEOUT_S
        )
        try:
            return await question(broker)
        finally:
            await broker.close()

    try:
        return asyncio.run(ask())
    except PermissionDenied as error:
        sentence = told("the server", connection.nats, error)
        raise UserError(
            f"{sentence}; the operator's or an observer's credentials allow it"
        ) from None
    except BrokerError as error:
        raise UserError(told("the server", connection.nats, error)) from None
    except StoreError as error:
        sentence = told("object storage", connection.s3 or "AWS", error)
        away = isinstance(error, StoreUnavailable)
        advice = how_to_start(connection.s3, directory) if away else ""
        raise UserError(f"{sentence}{advice}") from None
