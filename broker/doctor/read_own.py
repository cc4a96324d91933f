"""Reads what a server was started with that `broker up` has started, from its own folder.

Its configuration says how it syncs and where it stores, its log which writes have failed since. One
of a cluster also has a monitoring port, which says more.
"""

import json
import re
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from broker.doctor.facts import ServerFacts
from broker.doctor.read_monitoring import read_by_monitoring
from broker.doctor.varz import free_bytes
from broker.embedded import servers
from broker.program.process import is_running
from schemas.errors import ServerMissing

_LINE: Final = re.compile(r"^\s*(server_name|store_dir|sync_interval|http)\s*:\s*(.+?)\s*$", re.M)
_STARTED: Final = b"Starting nats-server"
_FAILED: Final = re.compile(rb"JetStream (stream '[^'\n]+' critical write error: [^\n]+)")
_TAIL_BYTES: Final = 1 << 22
"""A stream that is dead says so at every write, so the end of the log will do."""
_DEFAULT_SYNC_S: Final = 120.0


async def read_own(directory: Path, url: str) -> list[ServerFacts]:
    """The servers of a directory, if they are those that answer at `url`.

    Raises:
        UserError: the directory's servers.json is damaged.
        OSError: its files cannot be read.
    """
    return [await _of_folder(each, directory) for each in _folders(directory, url)]


def _folders(directory: Path, url: str) -> list[Path]:
    """Where its nats-servers have their configurations: one, or each of a cluster."""
    try:
        started = servers.read(directory)
    except ServerMissing:
        return []
    if started.connection().nats != url or not is_running(started.nats_process):
        return []
    alone = [directory] if (directory / "nats.conf").exists() else []
    return alone or sorted(directory.glob("node-*"))


async def _of_folder(folder: Path, directory: Path) -> ServerFacts:
    said = dict(_LINE.findall((folder / "nats.conf").read_text()))
    if "http" in said:
        server = await read_by_monitoring(f"http://{json.loads(said['http'])}")
        return replace(server, our_folder=str(directory))
    store = json.loads(said["store_dir"])
    return ServerFacts(
        name=json.loads(said["server_name"]),
        sync_always=said.get("sync_interval") == "always",
        sync_interval_s=_DEFAULT_SYNC_S,
        store=store,
        write_errors=write_errors(folder / "nats.log"),
        free_bytes=free_bytes(store),
        our_folder=str(directory),
    )


def write_errors(log: Path) -> tuple[str, ...]:
    """What a server has said of streams whose writes have failed, since it was started."""
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        said = file.read().rpartition(_STARTED)[2]
    found = (each.decode(errors="replace") for each in _FAILED.findall(said))
    return tuple(dict.fromkeys(found))
