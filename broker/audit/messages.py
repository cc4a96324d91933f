"""Every message that a stream ever stored has a verdict, or was purged, or is still there.

A stream's state was read before the log. What it counted and no longer holds has its verdict in the
log by then, because a verdict is written before its message is acked. What was stored and judged
after the snapshot is in the log too: the sum takes it off, so that every sum is over the same log.
That is at most what the stream had stored when its state was read again, behind the log.

A purge removes messages without a verdict, and the log says which, in two entries: before it what
is to go, behind it what went. What has gone by a purge of which there is the first alone, because
it is under way or its coordinator was killed, is "being purged": no more than there was to go.

A run that was restored from a backup has new queues. What the old ones held without a verdict is
lost, and the entry that says so lets it be counted: it is no violation, and never silent.
"""

from collections import Counter
from collections.abc import Iterator

from broker.audit.report import Check, Equation, Violation, equation, listed_ids
from broker.interface import StreamState
from broker.purged import purge_name
from broker.tally import Tally, verdict_name
from schemas.ledger import VerdictEvent
from schemas.purge import PurgeReason
from schemas.verdict import Outcome


def unjudged(log: Tally, state: StreamState) -> set[int]:
    """Sequences up to the stream's last one that have no verdict, were not purged and were not left
    behind."""
    first = log.not_restored.get(state.name, 0) + 1
    return {
        sequence
        for sequence in range(first, state.last_sequence + 1)
        if not log.is_settled(state.name, sequence)
    }


def lost_at_restores(log: Tally, stream: str) -> int:
    """Messages that had no verdict when the backup was taken that the run was restored from."""
    last = log.not_restored.get(stream, 0)
    return sum(not log.is_settled(stream, sequence) for sequence in range(1, last + 1))


def stored_since(log: Tally, state: StreamState, after: StreamState) -> set[int]:
    """Settled sequences that the stream was given after its first state and before its second."""
    return {
        sequence
        for stream, sequence in (*log.judged, *log.purged.by)
        if stream == state.name and state.last_sequence < sequence <= after.last_sequence
    }


def message_equations(
    log: Tally, state: StreamState, after: StreamState, gone: frozenset[int]
) -> list[Equation]:
    """last sequence = judged + purged + unjudged + lost; judged = the sum over all verdicts."""
    events = _judged(log, state.name)
    sequences = {event.sequence for event in events}
    without = unjudged(log, state)
    there = _still_there(without, state, gone)
    since = len(stored_since(log, state, after))
    stored = [("judged", len(sequences)), *_purged(log, state.name), ("unjudged", len(there))]
    if under_way := _being_purged(log, state.name, without - there):
        stored.append(("being purged", len(under_way)))
    if state.name in log.not_restored:
        stored.append(("lost at a restore", lost_at_restores(log, state.name)))
    if since:
        stored.append(("stored after the snapshot", -since))
    counts = Counter(verdict_name(event) for event in events)
    always = [str(outcome) for outcome in Outcome if outcome is not Outcome.REJECTED]
    verdicts = [(name, counts[name]) for name in (*always, *sorted(counts.keys() - set(always)))]
    if len(events) > len(sequences):
        verdicts.append(("sequences given again", len(sequences) - len(events)))
    last = ("last sequence", state.last_sequence)
    return [
        equation(Check.MESSAGES, state.name, last, stored),
        equation(Check.MESSAGES, state.name, ("judged", len(sequences)), verdicts),
    ]


def check_messages(log: Tally, state: StreamState, gone: frozenset[int]) -> Iterator[Violation]:
    """Name the messages that left the queue without a verdict."""
    without = unjudged(log, state)
    there = _still_there(without, state, gone)
    gone_so = without - there - _being_purged(log, state.name, without - there)
    if gone_so:
        detail = f"{state.name}: gone without a verdict: {listed_ids('sequence', gone_so)}"
        yield Violation(check=Check.MESSAGES, detail=detail)
    if len(there) > state.num_messages:
        yield Violation(
            check=Check.MESSAGES,
            detail=f"{state.name}: {len(there)} messages have no verdict, "
            f"{state.num_messages} are in the stream",
        )


def _still_there(sequences: set[int], state: StreamState, gone: frozenset[int]) -> set[int]:
    # Nothing below the first sequence is in the stream.
    return {n for n in sequences if n >= state.first_sequence and n not in gone}


def _purged(log: Tally, stream: str) -> list[tuple[str, int]]:
    """Messages that were purged, by reason, in their order in PurgeReason."""
    counts = Counter(
        log.purged.reason(place)
        for place in log.purged.by
        # A server that lost power may have given its sequence to a message that was judged.
        if place[0] == stream and place not in log.judged
    )
    return [(purge_name(reason), counts[reason]) for reason in PurgeReason if counts[reason]]


def _being_purged(log: Tally, stream: str, gone: set[int]) -> set[int]:
    """Of what is gone without a verdict, the part that purges under way account for."""
    found: set[int] = set()
    for purge in log.purged.unfinished:
        if purge.stream == stream:
            inside = {n for n in gone if purge.first <= n <= purge.through} - found
            found.update(sorted(inside)[: purge.num_messages])
    return found


def _judged(log: Tally, stream: str) -> list[VerdictEvent]:
    """All verdicts on a stream's messages."""
    return [event for (name, _), events in log.judged.items() if name == stream for event in events]
