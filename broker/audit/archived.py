"""Reads every row's bytes from the archive and hashes them."""

from broker.audit.report import Check, Violation
from broker.objects.archive import Archive
from broker.store import Store
from broker.tally import Tally
from schemas.errors import DigestMismatch, ObjectMissing


async def check_archive(store: Store, run: str, log: Tally) -> list[Violation]:
    """Compare the archive with every row of every batch.

    Raises:
        StoreUnavailable: object storage does not answer.
    """
    archive = Archive(store, run)
    violations: list[Violation] = []
    for logged, row in log.placed_rows():
        try:
            await archive.read(row.segment, offset=row.offset, length=row.length, sha256=row.sha256)
        except (DigestMismatch, ObjectMissing) as error:
            detail = f"step {logged.batch.step}, lease {row.lease_id}: {error}"
            violations.append(Violation(check=Check.ARCHIVE, detail=detail))
    return violations
