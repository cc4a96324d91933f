"""What an acknowledgement means: is the message on a disk, and on how many?"""

from collections.abc import Sequence
from typing import Final

from broker.doctor.facts import ServerFacts, StreamFacts
from broker.doctor.finding import Finding, critical, fine, unknown, warning
from broker.program import words
from schemas.listed import listed

_SYNC: Final = "sync"
_STORAGE: Final = "storage"
_REPLICAS: Final = "replicas"
_FIX: Final = "sync_interval: always   # in jetstream {{ }} of nats.conf, then start {} again"
HOW_TO_KNOW: Final = "broker doctor --monitor http://HOST:8222   # `http_port: 8222` in nats.conf"


def check_sync(servers: Sequence[ServerFacts], streams: Sequence[StreamFacts]) -> list[Finding]:
    """Does a server wait for the disk before it acknowledges? What has replicas needs it less."""
    if not servers:
        why = "a server tells its operator alone whether it syncs"
        return [unknown(_SYNC, "NATS", why, HOW_TO_KNOW)]
    alone = [stream.name for stream in streams if stream.num_replicas == 1]
    return [_sync(server, alone, replicated=bool(streams) and not alone) for server in servers]


def _sync(server: ServerFacts, alone: Sequence[str], *, replicated: bool) -> Finding:
    if server.sync_always:
        return fine(_SYNC, server.name, "what it acknowledges is on the disk")
    late = f"what it acknowledges is on the disk up to {words.age(server.sync_interval_s)} later"
    fix = _FIX.format(server.name)
    if replicated:
        found = f"{late}: a power failure of most servers at once loses it"
        return warning(_SYNC, server.name, found, fix)
    named = f": {listed(alone, 'and')}" if alone else ""
    found = f"{late}, and a power failure loses what has no replica{named}"
    return critical(_SYNC, server.name, found, fix)


def check_storage(stream: StreamFacts) -> Finding:
    """Is it a stream of files?"""
    if stream.in_files:
        return fine(_STORAGE, stream.name, "in files")
    return critical(
        _STORAGE,
        stream.name,
        "in memory: it is gone when its server ends",
        "learner open --name ANOTHER   # a stream cannot be moved to files",
    )


def check_replicas(stream: StreamFacts) -> Finding:
    """Are all of its replicas there?"""
    away = [each.name for each in stream.followers if each.offline]
    behind = [each.name for each in stream.followers if not each.current and not each.offline]
    if away:
        return warning(
            _REPLICAS,
            stream.name,
            f"of {stream.num_replicas} the one on {listed(away, 'and')} is away: "
            "a stream lives while most of them do",
            f"systemctl start nats-server   # on {listed(away, 'and')}",
        )
    if behind:
        return warning(
            _REPLICAS,
            stream.name,
            f"of {stream.num_replicas} the one on {listed(behind, 'and')} is behind",
            "broker doctor   # again in a minute: it catches up by itself",
        )
    return fine(_REPLICAS, stream.name, words.counted(stream.num_replicas, "replica"))
