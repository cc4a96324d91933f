"""Room: a full queue is told so and nothing is lost; after a full disk a stream stays dead.

A stream whose write has failed acknowledges nothing more, also when there is room again, until its
server is started anew. So streams must fill before the disk does.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from broker.addresses import typed
from broker.doctor.durability import HOW_TO_KNOW
from broker.doctor.facts import ServerFacts, StreamFacts
from broker.doctor.finding import Finding, critical, fine, unknown, warning
from broker.program import words
from schemas.listed import listed

_DISK: Final = "disk"
_LIMIT: Final = "storage limit"
_WRITES: Final = "writes"
_RESERVE_BYTES: Final = 1 << 30
"""What logs, which have no bound, should find beside what the queues may take."""
_STREAM_OF_ERROR: Final = re.compile(r"stream '[^']* > ([^']+)'")


def check_disk(servers: Sequence[ServerFacts], streams: Sequence[StreamFacts]) -> list[Finding]:
    """Room on the disk, room that the server gives, and whether its writes have failed."""
    if not servers:
        why = "without the system account a server does not say where it stores"
        return [unknown(_DISK, "NATS", why, HOW_TO_KNOW)]
    growth = sum(max(0, each.max_bytes - each.num_bytes) for each in streams)
    found: list[Finding] = []
    for server in servers:
        found += [_free(server, growth), *_limit(server, growth), _writes(server)]
    return found


def _free(server: ServerFacts, growth: int) -> Finding:
    folder = shlex.quote(server.store)
    if server.free_bytes is None:
        why = f"its disk is on another machine; queues may take {words.size(growth)} more"
        return unknown(_DISK, server.name, why, f"df -h {folder}   # on its machine")
    room = f"{words.size(server.free_bytes)} free in {server.store}"
    if server.free_bytes < growth:
        return critical(
            _DISK,
            server.name,
            f"{room}, and queues may take {words.size(growth)} more: they die before they are full",
            f"df -h {folder}   # make room, or lower intake.max_stream_bytes in the next run",
        )
    if server.free_bytes < growth + _RESERVE_BYTES:
        return warning(
            _DISK,
            server.name,
            f"{room}: queues may take {words.size(growth)} more, and the logs grow beside them",
            f"df -h {folder}   # make room",
        )
    return fine(_DISK, server.name, f"{room}; queues may take {words.size(growth)} more")


def _limit(server: ServerFacts, growth: int) -> list[Finding]:
    """A limit that is not configured is three quarters of what was free when the server started."""
    if server.max_storage is None:
        return []
    left = server.max_storage - server.storage
    found = f"{words.size(server.storage)} stored, and the server allows"
    found = f"{found} {words.size(server.max_storage)}"
    needed = words.size(server.storage + growth + _RESERVE_BYTES)
    fix = f"max_file_store: {_mib(server.storage + growth + 2 * _RESERVE_BYTES)}MB"
    fix = f"{fix}   # in jetstream {{ }} of nats.conf, then start {server.name} again"
    if left <= 0:
        return [critical(_LIMIT, server.name, f"{found}: nothing more is stored", fix)]
    if left < growth:
        return [warning(_LIMIT, server.name, f"{found}; queues and logs may need {needed}", fix)]
    return [fine(_LIMIT, server.name, found)]


def _mib(num_bytes: int) -> int:
    return -(-num_bytes >> 20)


def _writes(server: ServerFacts) -> Finding:
    if not server.write_errors:
        return fine(_WRITES, server.name, "no write has failed since it was started")
    named = (_STREAM_OF_ERROR.search(error) for error in server.write_errors)
    dead = sorted({each[1] for each in named if each})
    about = listed(dead, "and") if dead else "something"
    again = f"systemctl restart nats-server   # on the machine of {server.name}"
    if server.our_folder:
        folder = Path(server.our_folder)
        again = " && ".join(typed(verb, folder).strip("`") for verb in ("down", "up"))
    return critical(
        _WRITES,
        server.name,
        f"{about} stores nothing more since a write has failed ({server.write_errors[0]})",
        f"df -h {shlex.quote(server.store)} && {again}",
    )
