"""Where the servers are: said on the command line, in a settings file, or by `broker up`.

>>> typed("up", SERVERS_DIRECTORY), typed("down", Path("my servers"))
('`broker up`', "`broker down --servers 'my servers'`")
"""

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from broker.program.endpoint import on_this_machine
from schemas.errors import ServerMissing, UserError
from schemas.resolve import resolve, said
from schemas.settings import Connection, LearnerSettings

SERVERS_DIRECTORY: Final = Path("runs/servers")
"""Where `broker up` starts servers unless it is told otherwise."""


def find_connection(
    arguments: Sequence[str] = (),
    *,
    nats: str = "",
    directory: Path = SERVERS_DIRECTORY,
    option: str = "--nats",
) -> Connection:
    """The [connection] that settings arguments say; the rest is that of the servers of a directory.

    What is said counts even where it equals the default. `nats` overrides the one address; `option`
    says how it is told to the command at hand.

    Raises:
        SettingsError: the arguments are wrong.
        ServerMissing: nothing says where the servers are.
        UserError: the directory's servers.json is damaged.
    """
    from broker.embedded import servers

    # A file that only says where the servers are names no run.
    settings = resolve(LearnerSettings, ["--name", "any", *arguments])
    names = said(arguments, "connection")
    try:
        rest = servers.read(directory).connection()
    except ServerMissing as error:
        if not (nats or names):
            start = f"start them with {typed('up', directory)}"
            raise ServerMissing(f"{error}; {start}, or say where they are with {option}") from None
        rest = Connection()
    connection = replace(rest, **{name: getattr(settings.connection, name) for name in names})
    return replace(connection, nats=nats) if nats else connection


def how_to_start(url: str, directory: Path) -> str:
    """What to do when nothing listens at a URL, for whoever named, or left out, this directory.

    Empty for the URL of another machine.
    """
    from broker.embedded import servers

    if not on_this_machine(url):
        return ""
    with contextlib.suppress(ServerMissing, UserError, OSError):
        connection = servers.read(directory).connection()
        if url in (*connection.nats.split(","), connection.nats, connection.s3):
            return f"; start it with {typed('up', directory)}"
    return "; start it with `broker up` (add --servers DIR if it was started so)"


def typed(verb: str, directory: Path) -> str:
    """A `broker` command about the servers of a directory, as it is to be typed."""
    named = [] if directory == SERVERS_DIRECTORY else ["--servers", str(directory)]
    return f"`{shlex.join(['broker', verb, *named])}`"
