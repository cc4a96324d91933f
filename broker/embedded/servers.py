"""Both servers of a run in one directory: up, down, and one of them again after a kill.

NATS is one nats-server, or a cluster of three: see `broker.embedded.cluster`.
"""

import contextlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from broker.accounts.access import make_credentials
from broker.accounts.keyring import Keyring
from broker.embedded import cluster, s3_server
from broker.embedded.launch import check_port_free
from broker.embedded.started import FILE, NATS, S3, Servers, node_name, read, write
from broker.program.process import free_ports, is_running, stop
from broker.program.words import counted
from schemas.errors import UserError

_STREAMS_OF_NOBODY = ("nats/jetstream/$G/streams/*", "node-*/nats/jetstream/$G/streams/*")
"""Where nats-server keeps what belongs to no account of ours."""
_NATS_GRACE_S = 10.0
_S3_GRACE_S = 2.0
"""SeaweedFS takes 25 s to end by itself; what it has acknowledged is on the disk."""


class Stopped(Struct, frozen=True, kw_only=True):
    """What `broker down --json` prints."""

    directory: str
    stopped: tuple[str, ...]
    """The servers that ran until then."""


def up(
    directory: Path,
    nats_port: int | None = None,
    s3_port: int | None = None,
    *,
    num_nodes: int | None = None,
    accounts: bool = False,
    detached: bool,
) -> Servers:
    """Start both servers on loopback ports, and wait until they answer.

    The ports, and the number of nats-servers, are the given ones or those of the last start in the
    directory, so that who knows them comes back; else one nats-server on free ports. Streams,
    objects and credentials of the last start are there again. Where some of them still run, the
    others are started. Servers that are not detached die with the thread that calls this.

    With `accounts` an operator's keys are made, and from then on the servers of the directory let
    in only whom he has signed.

    Raises:
        ServerMissing: a program is not installed, a port is in use, or a server ends at its start.
        UserError: all servers of this directory run already, or some do and others are asked for.
        OSError: the directory cannot be written.
    """
    cluster.check_size(num_nodes or 1)
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    last = read(directory) if (directory / FILE).exists() else None
    free_s3_port, *ports = free_ports(1 + (num_nodes or 1))
    if last:
        _check_same_size(directory, last, num_nodes)
        if last.running():
            _check_stays(last, nats_port, s3_port)
            if accounts and not last.accounts:
                raise UserError("servers that run ask nobody who he is: stop them first")
            return _start_the_others(directory, last, detached=detached)
        ports, free_s3_port = [node.port for node in last.nodes], last.s3_port
    servers = launch(
        directory,
        nats_port or ports[0],
        s3_port or free_s3_port,
        peer_ports=ports[1:],
        accounts=accounts,
        detached=detached,
    )
    with contextlib.ExitStack() as undo:
        undo.callback(kill, servers)
        wait(directory, servers)
        undo.pop_all()
    return servers


def _require_accounts(directory: Path) -> None:
    """Make the operator's keys, unless they are there."""
    folder = directory / cluster.ACCOUNTS
    if not folder.exists() and any(any(directory.glob(streams)) for streams in _STREAMS_OF_NOBODY):
        raise UserError(
            f"{directory} has streams of servers that asked nobody who he is, which are then out "
            "of reach: name another directory with --servers, and `broker restore` a backup there"
        )
    make_credentials(Keyring.open(folder), folder)


def _start_the_others(directory: Path, last: Servers, *, detached: bool) -> Servers:
    if len(last.running()) == len(last.nodes) + 1:
        raise UserError(f"the servers of {directory} run already")
    for number, node in enumerate(last.nodes, 1):
        if not is_running(node.process):
            start_nats(directory, number, detached=detached)
    if not is_running(last.s3_process):
        start_s3(directory, detached=detached)
        wait_s3(directory)
    servers = read(directory)
    cluster.wait(directory, servers.nodes)
    return servers


def launch(
    directory: Path,
    nats_port: int,
    s3_port: int,
    *,
    peer_ports: Sequence[int] = (),
    accounts: bool = False,
    detached: bool,
) -> Servers:
    """Start both servers on these ports, without waiting: see `wait`, for which any thread will do.

    With `peer_ports`, NATS is a cluster whose other nodes have these. For `accounts` see `up`.

    Raises:
        ServerMissing: a program is not installed, or a port is in use.
        UserError: two have the same port, or what is stored belongs to no account.
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    nats_ports = (nats_port, *peer_ports)
    if s3_port in nats_ports:
        raise UserError(f"both servers cannot have port {s3_port}")
    for port in nats_ports:
        check_port_free(NATS, port)
    check_port_free(S3, s3_port)
    if accounts:
        _require_accounts(directory)
    credentials = s3_server.write_keys(directory)
    nodes = cluster.launch(directory, nats_ports, detached=detached)
    with contextlib.ExitStack() as undo:
        for node in nodes:
            undo.callback(stop, node.process, grace_s=0)
        s3_process = s3_server.launch(directory, s3_port, detached=detached)
        undo.pop_all()
    keys = directory / cluster.ACCOUNTS
    return Servers(
        nodes=nodes,
        s3_port=s3_port,
        s3_credentials=str(credentials),
        s3_process=s3_process,
        accounts=str(keys) if keys.exists() else "",
    )


def wait(directory: Path, launched: Servers) -> None:
    """Wait until both servers answer; from then on the directory says that they run.

    Raises:
        ServerMissing: one of them does not come up; the other is left to the caller.
    """
    directory = directory.resolve()
    cluster.wait(directory, launched.nodes)
    s3_server.wait(directory, launched.s3_process, launched.s3_port)
    write(directory, launched)


def kill(launched: Servers) -> None:
    """End servers that nobody has used yet."""
    for process in launched.running().values():
        stop(process, grace_s=0)


def start_nats(directory: Path, number: int = 1, *, detached: bool) -> Servers:
    """Start a nats-server that was killed again, alone, on the same port and streams.

    `number` says which one of a cluster; the cluster may have no leader yet when this returns.

    Raises:
        ServerMissing: it does not come up, or nothing was ever started in the directory.
        UserError: there is no node with this number.
    """
    directory = directory.resolve()
    servers = read(directory)
    nodes = cluster.start(directory, servers.nodes, number, detached=detached)
    servers = replace(servers, nodes=nodes)
    write(directory, servers)
    return servers


def start_s3(directory: Path, *, detached: bool) -> Servers:
    """Start a SeaweedFS that was killed again, alone, on the same port and objects.

    It takes seconds until it stores again: see `wait_s3`, for which any thread will do.

    Raises:
        ServerMissing: nothing was ever started in the directory, or the program is gone.
    """
    directory = directory.resolve()
    servers = read(directory)
    stop(servers.s3_process, grace_s=_S3_GRACE_S)
    process = s3_server.launch(directory, servers.s3_port, detached=detached)
    servers = replace(servers, s3_process=process)
    write(directory, servers)
    return servers


def wait_s3(directory: Path) -> None:
    """Wait until the SeaweedFS of a directory stores what it is given.

    Raises:
        ServerMissing: it does not come up, or nothing was ever started in the directory.
    """
    servers = read(directory)
    s3_server.wait(directory.resolve(), servers.s3_process, servers.s3_port)


def down(directory: Path, number: int | None = None) -> Stopped:
    """Stop both servers within seconds, or one node of a cluster; what they have stored stays.

    Raises:
        ServerMissing: nothing was ever started in the directory.
        UserError: a server is another user's, or does not end, or there is no such node.
    """
    servers = read(directory)
    running = servers.running()
    if number is not None:
        named = node_name(servers.nodes, number)
        running = {name: process for name, process in running.items() if name == named}
    with ThreadPoolExecutor() as threads:
        stopping = [
            threads.submit(stop, process, grace_s=_S3_GRACE_S if name == S3 else _NATS_GRACE_S)
            for name, process in running.items()
        ]
    for each in stopping:
        _check_stopped(each)
    return Stopped(directory=str(directory), stopped=tuple(running))


def _check_stopped(stopping: Future[None]) -> None:
    try:
        stopping.result()
    except PermissionError:
        raise UserError("the servers were started by another user, who alone stops them") from None
    except TimeoutError as error:
        raise UserError(str(error)) from None


def _check_stays(last: Servers, nats_port: int | None, s3_port: int | None) -> None:
    """Raises UserError when a port is asked for that the servers do not come back on."""
    if nats_port not in (None, last.nats_port) or s3_port not in (None, last.s3_port):
        raise UserError("one of the servers still runs: stop it first, to give them other ports")


def _check_same_size(directory: Path, last: Servers, num_nodes: int | None) -> None:
    """Raises UserError: a cluster does not take over what one server has stored, nor one server
    what a cluster has."""
    if num_nodes not in (None, len(last.nodes)):
        raise UserError(
            f"NATS in {directory} is {counted(len(last.nodes), 'node')}, which stays so: "
            f"start another number of them in another directory, with --servers"
        )
