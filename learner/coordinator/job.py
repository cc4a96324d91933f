"""What the coordinator and its judging processes say to each other.

Frames on a pipe: a length (u32, little-endian) and that many bytes of msgpack.
"""

import struct
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from schemas.lease import EnvironmentRef, Lease
from schemas.names import RolloutsSubject
from schemas.settings import IntakeSettings

LENGTH = struct.Struct("<I")

PackedLeases = dict[int, msgspec.Raw]
"""Leases by id, each encoded once for all messages of its holder; a worker decodes only one."""


class WorkerSetup(Struct, frozen=True, kw_only=True):
    """What a worker needs to know of the run."""

    environment: EnvironmentRef
    intake: IntakeSettings


class WorkerJob(Struct, frozen=True, kw_only=True):
    """One message to examine."""

    subject: RolloutsSubject
    data: bytes
    leases: PackedLeases
    """The open ones of its sender."""


def pack_leases(leases: Iterable[Lease]) -> PackedLeases:
    """Leases as a job carries them."""
    return {lease.lease_id: msgspec.Raw(msgspec.msgpack.encode(lease)) for lease in leases}


def frame(data: bytes) -> bytes:
    """One frame on the pipe."""
    return LENGTH.pack(len(data)) + data
