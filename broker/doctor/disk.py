"""Room: a full queue is told so and nothing is lost; after a full disk a stream stays dead.

A stream whose write has failed acknowledges nothing more, also when there is room again, until its
server is started anew. So streams must fill before the disk does.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from broker.doctor.commands import again
from broker.doctor.durability import HOW_TO_KNOW
from broker.doctor.facts import Greeting, ServerFacts, StreamFacts
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
        where = "a server tells its operator alone where it stores"
        whether = "a server tells its operator alone whether a write has failed"
        return [
            unknown(_DISK, "NATS", where, HOW_TO_KNOW),
            unknown(_WRITES, "NATS", whether, HOW_TO_KNOW),
        ]
    growth = _growth(streams)
    # All that are here may be on one disk.
    num_here = sum(server.free_bytes is not None for server in servers)
    found: list[Finding] = []
    for server in servers:
        found.append(_free(server, growth * max(1, num_here)))
        if server.max_storage is not None:
            found.append(_limit(server.name, server.storage, server.max_storage, growth))
        found.append(_writes(server))
    return found


def check_account(greeting: Greeting, streams: Sequence[StreamFacts]) -> list[Finding]:
    """Room that an operator gives our account, where he bounds it."""
    if greeting.max_storage < 0:
        return []
    return [_limit("our account", greeting.storage, greeting.max_storage, _growth(streams))]


def _growth(streams: Sequence[StreamFacts]) -> int:
    """What the streams may take more, as far as they have a bound."""
    return sum(max(0, each.max_bytes - each.num_bytes) for each in streams if each.in_files)


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


def _limit(about: str, stored: int, allowed: int, growth: int) -> Finding:
    """A limit that is not configured is three quarters of what was free when the server started."""
    found = f"{words.size(stored)} stored, and {words.size(allowed)} allowed"
    needed = stored + growth + _RESERVE_BYTES
    fix = (
        f"max_file_store: {-(-needed >> 20)}MB   # in jetstream {{ }} of nats.conf, and restart it"
    )
    if stored >= allowed:
        return critical(_LIMIT, about, f"{found}: nothing more is stored", fix)
    if allowed - stored < growth:
        found = f"{found}; queues may take {words.size(growth)} more, and the logs grow beside them"
        return warning(_LIMIT, about, found, fix)
    return fine(_LIMIT, about, found)


def _writes(server: ServerFacts) -> Finding:
    if not server.write_errors:
        return fine(_WRITES, server.name, "no write has failed since it was started")
    named = (_STREAM_OF_ERROR.search(error) for error in server.write_errors)
    dead = sorted({each[1] for each in named if each})
    about = listed(dead, "and") if dead else "something"
    restart = f"systemctl restart nats-server   # on the machine of {server.name}"
    if server.our_folder:
        restart = again(Path(server.our_folder))
    return critical(
        _WRITES,
        server.name,
        f"{about} stores nothing more since a write has failed ({server.write_errors[0]})",
        f"df -h {shlex.quote(server.store)} && {restart}",
    )
