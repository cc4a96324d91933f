"""A queue is the one that the run began with, and has stored whatever was judged.

Its state was read before the log and is read again behind it. A verdict on a message that it had
not stored even then is about none. The queues that a run begins with are made before its LOG
(`broker.streams`), so one that is younger was deleted and made again. A server that loses power
before it has synced, or is given an older copy of its files, loses the end of a queue by nobody's
fault: that is a loss all the same, and the sentence says so.
"""

from collections.abc import Iterator

from broker.audit.report import Check, Violation, listed_ids
from broker.interface import StreamState
from broker.tally import Tally


def check_queue(
    log: Tally, before: StreamState, after: StreamState, log_created: float
) -> Iterator[Violation]:
    """Name what shows that messages can be lost which nothing else tells of."""
    for detail in _faults(log, before, after, log_created):
        yield Violation(check=Check.MESSAGES, detail=f"{before.name}: {detail}")


def _faults(
    log: Tally, before: StreamState, after: StreamState, log_created: float
) -> Iterator[str]:
    if max(before.created, after.created) > log_created:
        yield (
            "was made after LOG, so it is not the queue that the run began with: what that one "
            "held without a verdict is lost"
        )
    if after.last_sequence < before.last_sequence:
        yield (
            f"ended at {before.last_sequence}, and at {after.last_sequence} when the log had been "
            "read"
        )
    never = {
        sequence
        for stream, sequence in (*log.judged, *log.purged.by)
        if stream == before.name and sequence > after.last_sequence
    }
    if never:
        yield (
            f"verdicts on what it has not stored: {listed_ids('sequence', never)}; it ends at "
            f"{after.last_sequence}: its server lost the end of it (a power loss, an older copy), "
            "or somebody made it again"
        )
