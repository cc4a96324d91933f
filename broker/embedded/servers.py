"""Both servers of a run in one directory: up, down, and one of them again after a kill."""

import contextlib
import shlex
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from broker.embedded import nats_server, s3_server
from broker.embedded.launch import check_port_free
from broker.program.process import ProcessId, free_ports, is_running, stop
from schemas.atomic_file import write_atomically
from schemas.errors import ServerMissing, UserError
from schemas.settings import Connection

_FILE = "servers.json"
_NATS_GRACE_S = 10.0
_S3_GRACE_S = 2.0
"""SeaweedFS takes 25 s to end by itself; what it has acknowledged is on the disk."""


class Servers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What runs where; kept as `servers.json`."""

    nats_port: int
    s3_port: int
    s3_credentials: str
    """Path of the file for `broker.objects.s3`."""
    nats_process: ProcessId
    s3_process: ProcessId

    def connection(self) -> Connection:
        """The settings that reach both servers."""
        return Connection(
            nats=nats_server.url(self.nats_port),
            s3=s3_server.url(self.s3_port),
            s3_credentials=self.s3_credentials,
        )


class Stopped(Struct, frozen=True, kw_only=True):
    """What `broker down --json` prints."""

    directory: str
    stopped: tuple[str, ...]
    """The servers that ran until then."""


def up(
    directory: Path, nats_port: int | None = None, s3_port: int | None = None, *, detached: bool
) -> Servers:
    """Start both servers on loopback ports, and wait until they answer.

    The ports are the given ones, or those of the last start in the directory, so that who knows
    them comes back; else free ones. Streams, objects and credentials of the last start are there
    again. Where one of the two still runs, the other is started. Servers that are not detached die
    with the thread that calls this.

    Raises:
        ServerMissing: a program is not installed, a port is in use, or a server ends at its start.
        UserError: a server of this directory runs already: both do, or one on another port.
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    last = read(directory) if (directory / _FILE).exists() else None
    if last:
        nats_runs, s3_runs = is_running(last.nats_process), is_running(last.s3_process)
        if nats_runs and s3_runs:
            raise UserError(f"the servers of {directory} run already")
        if nats_runs or s3_runs:
            _check_stays(last, nats_port, s3_port)
        if s3_runs:
            return start_nats(directory, detached=detached)
        if nats_runs:
            started = start_s3(directory, detached=detached)
            wait_s3(directory)
            return started
    servers = launch(directory, *_ports(last, nats_port, s3_port), detached=detached)
    with contextlib.ExitStack() as undo:
        undo.callback(kill, servers)
        wait(directory, servers)
        undo.pop_all()
    return servers


def launch(directory: Path, nats_port: int, s3_port: int, *, detached: bool) -> Servers:
    """Start both servers on these ports, without waiting: see `wait`, for which any thread will do.

    Raises:
        ServerMissing: a program is not installed, or a port is in use.
        UserError: both have the same port.
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    if nats_port == s3_port:
        raise UserError(f"both servers cannot have port {nats_port}")
    check_port_free("nats-server", nats_port)
    check_port_free("SeaweedFS", s3_port)
    nats_server.write_config(directory, nats_port)
    credentials = s3_server.write_keys(directory)
    with contextlib.ExitStack() as undo:
        nats_process = nats_server.launch(directory, detached=detached)
        undo.callback(stop, nats_process, grace_s=0)
        s3_process = s3_server.launch(directory, s3_port, detached=detached)
        undo.pop_all()
    return Servers(
        nats_port=nats_port,
        s3_port=s3_port,
        s3_credentials=str(credentials),
        nats_process=nats_process,
        s3_process=s3_process,
    )


def wait(directory: Path, launched: Servers) -> None:
    """Wait until both servers answer; from then on the directory says that they run.

    Raises:
        ServerMissing: one of them does not come up; the other is left to the caller.
    """
    directory = directory.resolve()
    nats_server.wait(directory, launched.nats_process, launched.nats_port)
    s3_server.wait(directory, launched.s3_process, launched.s3_port)
    _write(directory, launched)


def kill(launched: Servers) -> None:
    """End servers that nobody has used yet."""
    for process in (launched.nats_process, launched.s3_process):
        stop(process, grace_s=0)


def start_nats(directory: Path, *, detached: bool) -> Servers:
    """Start a nats-server that was killed again, alone, on the same port and streams.

    Raises:
        ServerMissing: it does not come up, or nothing was ever started in the directory.
    """
    directory = directory.resolve()
    servers = read(directory)
    stop(servers.nats_process, grace_s=_NATS_GRACE_S)
    process = nats_server.launch(directory, detached=detached)
    nats_server.wait(directory, process, servers.nats_port)
    servers = replace(servers, nats_process=process)
    _write(directory, servers)
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
    _write(directory, servers)
    return servers


def wait_s3(directory: Path) -> None:
    """Wait until the SeaweedFS of a directory stores what it is given.

    Raises:
        ServerMissing: it does not come up, or nothing was ever started in the directory.
    """
    servers = read(directory)
    s3_server.wait(directory.resolve(), servers.s3_process, servers.s3_port)


def down(directory: Path) -> Stopped:
    """Stop both servers within seconds; what they have stored stays.

    Raises:
        ServerMissing: nothing was ever started in the directory.
        UserError: a server is another user's, or does not end.
    """
    servers = read(directory)
    both = {"nats-server": servers.nats_process, "SeaweedFS": servers.s3_process}
    running = tuple(name for name, process in both.items() if is_running(process))
    with ThreadPoolExecutor() as threads:
        stopping = [
            threads.submit(stop, servers.nats_process, grace_s=_NATS_GRACE_S),
            threads.submit(stop, servers.s3_process, grace_s=_S3_GRACE_S),
        ]
    for each in stopping:
        _check_stopped(each)
    return Stopped(directory=str(directory), stopped=running)


def read(directory: Path) -> Servers:
    """What was started in the directory, running or not.

    Raises:
        ServerMissing: nothing was.
        UserError: the file that says it is damaged.
        OSError: it cannot be read.
    """
    path = directory / _FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Servers)
    except (FileNotFoundError, NotADirectoryError):
        raise ServerMissing(f"no servers were started in {directory}") from None
    except msgspec.MsgspecError as error:
        raise UserError(f"{path} does not say what runs here: {error}") from None


def check_none_runs(directory: Path) -> None:
    """Raises UserError when a server of the directory runs: what it stores must stay."""
    with contextlib.suppress(ServerMissing):
        servers = read(directory)
        if is_running(servers.nats_process) or is_running(servers.s3_process):
            raise UserError(
                f"servers of {directory} run: stop them with "
                f"`broker down --servers {shlex.quote(str(directory))}`"
            )


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


def _ports(last: Servers | None, nats_port: int | None, s3_port: int | None) -> tuple[int, int]:
    free_nats, free_s3 = free_ports(2)
    if last:
        free_nats, free_s3 = last.nats_port, last.s3_port
    return nats_port or free_nats, s3_port or free_s3


def _write(directory: Path, servers: Servers) -> None:
    write_atomically(directory / _FILE, msgspec.json.format(msgspec.json.encode(servers)) + b"\n")
