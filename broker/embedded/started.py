"""What was started in a directory, running or not: kept there as `servers.json`."""

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from broker.embedded import cluster, s3_server
from broker.program.process import ProcessId, is_running
from schemas.atomic_file import write_atomically
from schemas.errors import ServerMissing, UserError
from schemas.settings import Connection

FILE: Final = "servers.json"
NATS: Final = "nats-server"
S3: Final = "SeaweedFS"


class Servers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What runs where; kept as `servers.json`."""

    nodes: tuple[cluster.Node, ...]
    """The nats-servers: one, or the three of a cluster."""
    s3_port: int
    s3_credentials: str
    """Path of the file for `broker.objects.s3`."""
    s3_process: ProcessId
    accounts: str = ""
    """Path of the operator's keys and credentials; empty: the servers ask nobody who he is."""

    @property
    def nats_port(self) -> int:
        """Of the first node."""
        return self.nodes[0].port

    @property
    def nats_process(self) -> ProcessId:
        """Of the first node."""
        return self.nodes[0].process

    def connection(self) -> Connection:
        """The settings that reach both servers."""
        return Connection(
            nats=cluster.url(self.nodes),
            accounts=self.accounts,
            num_replicas=len(self.nodes),
            s3=s3_server.url(self.s3_port),
            s3_credentials=self.s3_credentials,
        )

    def running(self) -> dict[str, ProcessId]:
        """Those that run, by name."""
        processes = {
            node_name(self.nodes, number): node.process for number, node in enumerate(self.nodes, 1)
        }
        processes[S3] = self.s3_process
        return {name: process for name, process in processes.items() if is_running(process)}


def read(directory: Path) -> Servers:
    """What was started in the directory, running or not.

    Raises:
        ServerMissing: nothing was.
        UserError: the file that says it is damaged.
        OSError: it cannot be read.
    """
    path = directory / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Servers)
    except (FileNotFoundError, NotADirectoryError):
        raise ServerMissing(f"no servers were started in {directory}") from None
    except msgspec.MsgspecError as error:
        raise UserError(f"{path} does not say what runs here: {error}") from None


def write(directory: Path, servers: Servers) -> None:
    write_atomically(directory / FILE, msgspec.json.format(msgspec.json.encode(servers)) + b"\n")


def check_none_runs(directory: Path) -> None:
    """Raises UserError when a server of the directory runs: what it stores must stay."""
    with contextlib.suppress(ServerMissing):
        if read(directory).running():
            raise UserError(
                f"servers of {directory} run: stop them with "
                f"`broker down --servers {shlex.quote(str(directory))}`"
            )


def node_name(nodes: Sequence[cluster.Node], number: int) -> str:
    """What a node is called on the screen. Raises UserError when there is none of this number."""
    cluster.pick(nodes, number)
    return NATS if len(nodes) == 1 else f"{NATS} {number}"
