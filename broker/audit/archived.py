"""Reads what is trained on, or may yet be, from the archive and hashes it."""

from collections.abc import Iterator

from broker.audit.report import Check, Violation
from broker.objects.archive import Archive
from broker.store import Store
from broker.tally import Tally
from schemas.batch import Row
from schemas.errors import DigestMismatch, ObjectMissing
from schemas.ledger import GroupAccepted


async def check_archive(store: Store, run: str, log: Tally) -> list[Violation]:
    """Compare the archive with every row of every batch, and with every group that waits.

    Raises:
        StoreUnavailable: object storage does not answer.
    """
    archive = Archive(store, run)
    violations: list[Violation] = []
    for used_in, one in _groups(log):
        try:
            await archive.read(one.segment, offset=one.offset, length=one.length, sha256=one.sha256)
        except (DigestMismatch, ObjectMissing) as error:
            detail = f"{used_in}, lease {one.lease_id}: {error}"
            violations.append(Violation(check=Check.ARCHIVE, detail=detail))
    return violations


def _groups(log: Tally) -> Iterator[tuple[str, Row | GroupAccepted]]:
    for logged, row in log.placed_rows():
        yield f"step {logged.batch.step}", row
    waiting = log.waiting
    for group in log.accepted:
        if group.lease_id in waiting:
            yield "waiting", group
