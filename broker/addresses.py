"""Where the servers are: said on the command line, in a settings file, or by `broker up`."""

from pathlib import Path
from typing import Final

from msgspec.structs import replace

from schemas.errors import UserError
from schemas.resolve import resolve
from schemas.settings import Connection, LearnerSettings

SERVERS_DIRECTORY: Final = Path("runs/servers")
"""Where `broker up` starts servers unless it is told otherwise."""


def find_connection(
    *, nats: str = "", settings_file: str = "", directory: Path = SERVERS_DIRECTORY
) -> Connection:
    """A settings file's [connection], or the servers started in a directory; `nats` overrides.

    Raises:
        UserError: nothing says where the servers are.
    """
    if settings_file:
        connection = resolve(LearnerSettings, ["@", settings_file]).connection
    else:
        connection = _started(directory, needed=not nats)
    return replace(connection, nats=nats) if nats else connection


def connection_of(settings: LearnerSettings, *, nats: str, directory: Path) -> Connection:
    """For a verb with settings: they say where the servers are, if they say anything about it."""
    if settings.connection == Connection():
        return find_connection(nats=nats, directory=directory)
    return replace(settings.connection, nats=nats) if nats else settings.connection


def _started(directory: Path, *, needed: bool) -> Connection:
    from broker import servers

    try:
        return servers.read(directory).connection()
    except UserError as error:
        if not needed:
            return Connection()
        advice = "start them with `broker up`, or say where they are with --nats"
        raise UserError(f"{error}; {advice}") from None
