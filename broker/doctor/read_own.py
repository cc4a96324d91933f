"""Reads what a server was started with that `broker up` has started, from its own folder.

Its configuration says how it syncs and where it stores, its log which writes have failed since. One
of a cluster also has a monitoring port, which says more.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from broker.doctor.facts import ServerFacts
from broker.doctor.read_monitoring import read_all
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
    said = {folder: _configuration(folder) for folder in _folders(directory, url)}
    ports = {folder: json.loads(each["http"]) for folder, each in said.items() if "http" in each}
    told = await read_all([f"http://{port}" for port in ports.values()]) if ports else []
    by_folder = dict(zip(ports, told, strict=True))
    return [
        replace(
            by_folder.get(folder) or _from_files(folder, each),
            answers=folder not in ports or by_folder[folder] is not None,
            our_folder=str(directory),
        )
        for folder, each in said.items()
    ]


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


def _configuration(folder: Path) -> dict[str, str]:
    return dict(_LINE.findall((folder / "nats.conf").read_text()))


def _from_files(folder: Path, said: Mapping[str, str]) -> ServerFacts:
    store = json.loads(said["store_dir"])
    return ServerFacts(
        name=json.loads(said["server_name"]),
        sync_always=said.get("sync_interval") == "always",
        sync_interval_s=_DEFAULT_SYNC_S,
        store=store,
        write_errors=write_errors(folder / "nats.log"),
        free_bytes=free_bytes(store),
    )


def write_errors(log: Path) -> tuple[str, ...]:
    """What a server has said of streams whose writes have failed, since it was started."""
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        said = file.read().rpartition(_STARTED)[2]
    found = (each.decode(errors="replace") for each in _FAILED.findall(said))
    return tuple(dict.fromkeys(found))
