"""Commands that reach the servers at hand, for the lines that mend what was found.

>>> commands = Commands(Connection(nats="nats://me:secret@a", accounts="/keys"), Path("runs"))
>>> commands.request("STREAM.DELETE.X")
"nats --server nats://a --creds /keys/credentials/admin.creds request '$JS.API.STREAM.DELETE.X' ''"
>>> commands.make("demo")
'broker init @ runs/demo/settings.toml'
"""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from broker.addresses import typed
from broker.program.endpoint import on_this_machine, shown
from schemas.settings import Connection


class Commands(Struct, frozen=True):
    """What to type."""

    connection: Connection
    runs: Path
    """Folder of runs."""

    def request(self, verb: str, body: Mapping[str, object] | None = None) -> str:
        """A request to JetStream, by natscli; who logs in by a password adds it.

        The spaces in the JSON keep a screen from taking it for anything else.
        """
        words = ["nats", "--server", shown(self.connection.nats).replace(" ", "")]
        if self.connection.accounts:
            words += ["--creds", f"{self.connection.accounts}/credentials/admin.creds"]
        data = "" if body is None else json.dumps(body)
        return shlex.join([*words, "request", f"$JS.API.{verb}", data])

    def make(self, run: str) -> str:
        """Makes the streams of a run that are not there."""
        return shlex.join(["broker", "init", "@", str(self.runs / run / "settings.toml")])


def start(url: str, directory: Path) -> str:
    """What to do when nobody answers at a URL."""
    if on_this_machine(url):
        return up(directory)
    return f"broker status   # on the machine of {shown(url)}, and is the address right?"


def up(directory: Path) -> str:
    """Starts those servers of a directory that do not run."""
    return typed("up", directory).strip("`")


def again(directory: Path) -> str:
    """Starts all servers of a directory anew."""
    return f"{typed('down', directory).strip('`')} && {up(directory)}"
