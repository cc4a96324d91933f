"""Where the servers are: said on the command line, in a settings file, or by `broker up`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from schemas.errors import UserError
from schemas.resolve import resolve, says
from schemas.settings import Connection, LearnerSettings

SERVERS_DIRECTORY: Final = Path("runs/servers")
"""Where `broker up` starts servers unless it is told otherwise."""


def find_connection(
    arguments: Sequence[str] = (), *, nats: str = "", directory: Path = SERVERS_DIRECTORY
) -> Connection:
    """The [connection] that settings arguments say, or else the servers started in a directory.

    What is said counts even where it equals the default. `nats` overrides the one address.

    Raises:
        SettingsError: the arguments are wrong.
        UserError: nothing says where the servers are.
    """
    if says(arguments, "connection"):
        # A file that only says where the servers are names no run.
        connection = resolve(LearnerSettings, ["--name", "any", *arguments]).connection
    else:
        connection = _started(directory, needed=not nats)
    return replace(connection, nats=nats) if nats else connection


def _started(directory: Path, *, needed: bool) -> Connection:
    from broker.embedded import servers

    try:
        return servers.read(directory).connection()
    except UserError as error:
        if not needed:
            return Connection()
        advice = "start them with `broker up`, or say where they are with --nats"
        raise UserError(f"{error}; {advice}") from None
