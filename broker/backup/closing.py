"""The last entry of each restored log, which says that it was restored. Pure.

The same backup gives the same bytes, so that a restore that is repeated finds its own entries.
"""

from broker.backup.chunks import KeptRecord
from broker.backup.manifest import LogEnd, Manifest
from schemas import names, wire
from schemas.ledger import LedgerEntry, RunRestored
from schemas.trainer_events import PoliciesRestored, TrainerEntry


def close_policies(manifest: Manifest) -> KeptRecord:
    """What comes behind the records of POLICIES."""
    event = PoliciesRestored(instance=_instance(manifest), backup_sha256=manifest.sha256)
    subject = names.trainer_subject(manifest.head.run)
    return _behind(manifest.head.logs[0], subject, wire.encode_own(TrainerEntry(event=event)))


def close_log(manifest: Manifest) -> KeptRecord:
    """What comes behind the records of LOG; with it the restore has ended."""
    event = RunRestored(
        instance=_instance(manifest),
        backup_sha256=manifest.sha256,
        taken=manifest.head.taken,
        queues=manifest.head.queues,
    )
    entry = LedgerEntry(instance=event.instance, events=(event,))
    return _behind(
        manifest.head.logs[1], names.ledger_subject(manifest.head.run), wire.encode_own(entry)
    )


def _instance(manifest: Manifest) -> str:
    return f"restore-{manifest.sha256[:12]}"


def _behind(end: LogEnd, subject: str, data: bytes) -> KeptRecord:
    return KeptRecord(sequence=end.last_sequence + 1, subject=subject, time=0.0, data=data)
