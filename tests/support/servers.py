"""What `broker up` leaves behind in its folder, without any server."""

from pathlib import Path

import msgspec

from broker.embedded.cluster import Node
from broker.embedded.started import Servers
from broker.program.process import ProcessId


def write_servers_file(folder: Path) -> None:
    """Say in `servers.json` that NATS was started on port 5001, and SeaweedFS on 5002."""
    servers = Servers(
        nodes=(Node(port=5001, process=ProcessId(pid=1, started=1)),),
        s3_port=5002,
        s3_credentials="s3.json",
        s3_process=ProcessId(pid=2, started=2),
    )
    (folder / "servers.json").write_bytes(msgspec.json.encode(servers))
