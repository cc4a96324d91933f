"""What the coordinator and its judging processes say to each other.

Frames on a pipe: a length (u32, little-endian) and that many bytes of msgpack.
"""

import struct

from msgspec import Struct

from schemas.lease import EnvironmentRef, Lease
from schemas.names import RolloutsSubject
from schemas.settings import IntakeSettings

LENGTH = struct.Struct("<I")


class WorkerSetup(Struct, frozen=True, kw_only=True):
    """What a worker needs to know of the run."""

    environment: EnvironmentRef
    intake: IntakeSettings


class WorkerJob(Struct, frozen=True, kw_only=True):
    """One message to judge."""

    subject: RolloutsSubject
    data: bytes
    leases: tuple[Lease, ...]
    """The open leases of its sender."""
