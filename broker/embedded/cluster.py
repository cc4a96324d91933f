"""The nats-servers of one directory: one alone, or three that keep a copy each of every stream.

Of three any two go on while the third is away: what was acknowledged is kept by two at least. Each
of three has a folder of its own with its configuration, its log and its streams.
"""

import http.client
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from broker.accounts.keyring import Keyring
from broker.embedded import nats_server
from broker.embedded.launch import wait_until_up
from broker.program.process import ProcessId, free_ports, stop
from schemas.errors import UserError

SIZES: Final = (1, 3)
"""Of two nodes both must live: that is less than one. Five are no more use on one machine."""
ACCOUNTS: Final = "accounts"
"""The operator's keys and credentials, in the directory of the servers."""
_GRACE_S = 10.0
_HOST = "127.0.0.1"

# Whoever joins a cluster stands behind its accounts, so its members know each other by a password.
# The second port says whether this member follows a leader, without which nothing is stored.
_BLOCK = """\
http: "{host}:{health_port}"
cluster {{
  name: "tributary"
  listen: "{host}:{route_port}"
  authorization {{ user: tributary, password: {password} }}
  routes: [{routes}]
}}
"""


class Node(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One nats-server."""

    port: int
    process: ProcessId
    health_port: int = 0
    """Where a member of a cluster says how it is; 0: this one is alone."""


def check_size(num_nodes: int) -> None:
    """Raises UserError for a number of nodes that makes no sense."""
    if num_nodes not in SIZES:
        raise UserError(f"a cluster has 3 nodes, not {num_nodes}: any two go on without one")


def folders(directory: Path, num_nodes: int) -> list[Path]:
    """Where each node has its configuration, its log and its streams."""
    if num_nodes == 1:
        return [directory]
    return [directory / f"node-{number}" for number in range(1, num_nodes + 1)]


def launch(directory: Path, ports: Sequence[int], *, detached: bool) -> tuple[Node, ...]:
    """Start a node on each of these loopback ports, without waiting: see `wait`.

    Raises:
        ServerMissing: nats-server is not installed.
        OSError: the directory cannot be written.
    """
    health_ports = write_configs(directory, ports)
    nodes: list[Node] = []
    try:
        where = folders(directory, len(ports))
        for folder, port, health_port in zip(where, ports, health_ports, strict=True):
            process = nats_server.launch(folder, detached=detached)
            nodes.append(Node(port=port, process=process, health_port=health_port))
    except BaseException:
        for node in nodes:
            stop(node.process, grace_s=0)
        raise
    return tuple(nodes)


def write_configs(directory: Path, ports: Sequence[int]) -> list[int]:
    """Write each node's `nats.conf` into its folder; returns their ports for health.

    Where the directory holds an operator's keys, the nodes let in only whom they have signed.
    """
    where = folders(directory, len(ports))
    for folder, port in zip(where, ports, strict=True):
        folder.mkdir(exist_ok=True)
        nats_server.write_config(folder, port)
        if (directory / ACCOUNTS).exists():
            nats_server.require_accounts(folder, Keyring.load(directory / ACCOUNTS))
    return _join(where, ports) if len(ports) > 1 else [0]


def _join(where: Sequence[Path], taken: Sequence[int]) -> list[int]:
    """Make the servers of these folders members of one cluster; returns their ports for health."""
    count = len(where)
    free = [port for port in free_ports(3 * count) if port not in taken]
    route_ports, health_ports = free[:count], free[count : 2 * count]
    password = secrets.token_hex(16)
    routes = ", ".join(f'"nats://tributary:{password}@{_HOST}:{port}"' for port in route_ports)
    for folder, route_port, health_port in zip(where, route_ports, health_ports, strict=True):
        path = folder / "nats.conf"
        path.chmod(0o600)
        with path.open("a") as config:
            config.write(
                _BLOCK.format(
                    host=_HOST,
                    health_port=health_port,
                    route_port=route_port,
                    password=json.dumps(password),
                    routes=routes,
                )
            )
    return health_ports


def start(
    directory: Path, nodes: Sequence[Node], number: int, *, detached: bool
) -> tuple[Node, ...]:
    """Start one node again, counted from 1, on the same port and streams; returns all nodes.

    It answers then, but a cluster may need seconds more until it has a leader: see `wait`.

    Raises:
        ServerMissing: it does not come up.
    """
    node = pick(nodes, number)
    folder = folders(directory, len(nodes))[number - 1]
    stop(node.process, grace_s=_GRACE_S)
    process = nats_server.launch(folder, detached=detached)
    nats_server.wait(folder, process, node.port)
    again = replace(node, process=process)
    return tuple(again if each is node else each for each in nodes)


def pick(nodes: Sequence[Node], number: int) -> Node:
    """The node with this number, counted from 1. Raises UserError when there is none."""
    if not 1 <= number <= len(nodes):
        raise UserError(f"there is no node {number}: they are numbered from 1 to {len(nodes)}")
    return nodes[number - 1]


def wait(directory: Path, nodes: Sequence[Node]) -> None:
    """Wait until every node answers and, in a cluster, follows a leader.

    Raises:
        ServerMissing: one does not come up; says its last word.
    """
    for folder, node in zip(folders(directory, len(nodes)), nodes, strict=True):
        nats_server.wait(folder, node.process, node.port)
    for folder, node in zip(folders(directory, len(nodes)), nodes, strict=True):
        if node.health_port:
            wait_until_up(
                "nats-server",
                node.process,
                folder / "nats.log",
                lambda port=node.health_port: _is_well(port),
            )


def _is_well(health_port: int) -> bool:
    asking = http.client.HTTPConnection(_HOST, health_port, timeout=2)
    try:
        asking.request("GET", "/healthz")
        return asking.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asking.close()


def url(nodes: Sequence[Node]) -> str:
    """Names every node: whoever connects takes one that answers, and another when that one dies."""
    return ",".join(nats_server.url(node.port) for node in nodes)
