"""Every message that a stream ever stored has a verdict or is still there.

A stream's state was read before the log. What it counted and no longer holds has its verdict in the
log by then, because a verdict is written before its message is acked. What was stored and judged
after the snapshot is in the log too: the sum takes it off, so that every sum is over the same log.
That is at most what the stream had stored when its state was read again, behind the log.

A run that was restored from a backup has new queues. What the old ones held without a verdict is
lost, and the entry that says so lets it be counted: it is no violation, and never silent.
"""

from collections import Counter
from collections.abc import Iterator

from broker.audit.report import Check, Equation, Violation, equation, listed_ids
from broker.interface import StreamState
from broker.tally import Tally, verdict_name
from schemas.ledger import VerdictEvent
from schemas.verdict import Outcome


def unjudged(log: Tally, state: StreamState) -> set[int]:
    """Sequences up to the stream's last one that have no verdict, and were not left behind."""
    first = log.not_restored.get(state.name, 0) + 1
    return {
        sequence
        for sequence in range(first, state.last_sequence + 1)
        if (state.name, sequence) not in log.judged
    }


def lost_at_restores(log: Tally, stream: str) -> int:
    """Messages that had no verdict when the backup was taken that the run was restored from."""
    last = log.not_restored.get(stream, 0)
    return sum((stream, sequence) not in log.judged for sequence in range(1, last + 1))


def stored_since(log: Tally, state: StreamState, after: StreamState) -> set[int]:
    """Judged sequences that the stream was given after its first state and before its second."""
    return {
        sequence
        for stream, sequence in log.judged
        if stream == state.name and state.last_sequence < sequence <= after.last_sequence
    }


def message_equations(
    log: Tally, state: StreamState, after: StreamState, gone: frozenset[int]
) -> list[Equation]:
    """last sequence = judged + unjudged + lost; judged = the sum over all verdicts."""
    events = _judged(log, state.name)
    sequences = {event.sequence for event in events}
    there = _still_there(unjudged(log, state), state, gone)
    since = len(stored_since(log, state, after))
    stored = [("judged", len(sequences)), ("unjudged", len(there))]
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
    if without != there:
        detail = f"{state.name}: gone without a verdict: {listed_ids('sequence', without - there)}"
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


def _judged(log: Tally, stream: str) -> list[VerdictEvent]:
    """All verdicts on a stream's messages."""
    return [event for (name, _), events in log.judged.items() if name == stream for event in events]
