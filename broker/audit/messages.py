"""Every message that a stream ever stored has a verdict or is still there.

A stream's state was read before the log. What it counted and no longer holds has its verdict in the
log by then, because a verdict is written before its message is acked.
"""

from collections import Counter
from collections.abc import Iterator

from broker.audit.report import Check, Equation, Violation, equation, listed
from broker.interface import StreamState
from broker.tally import Judged, Tally, verdict_name
from schemas.verdict import Outcome


def unjudged(log: Tally, state: StreamState) -> set[int]:
    """Sequences up to the stream's last one that have no verdict."""
    return {
        sequence
        for sequence in range(1, state.last_sequence + 1)
        if (state.name, sequence) not in log.judged
    }


def message_equations(log: Tally, state: StreamState, gone: frozenset[int]) -> list[Equation]:
    """last sequence = judged + unjudged; judged = the sum over all verdicts."""
    events = _judged_until(log, state)
    num_judged = len({event.sequence for event in events})
    there = _still_there(unjudged(log, state), state, gone)
    counts = Counter(verdict_name(event) for event in events)
    always = [str(outcome) for outcome in Outcome if outcome is not Outcome.REJECTED]
    terms = [(name, counts[name]) for name in (*always, *sorted(counts.keys() - set(always)))]
    if len(events) > num_judged:
        terms.append(("sequences given again", num_judged - len(events)))
    return [
        equation(
            Check.MESSAGES,
            state.name,
            ("last sequence", state.last_sequence),
            [("judged", num_judged), ("unjudged", len(there))],
        ),
        equation(Check.MESSAGES, state.name, ("judged", num_judged), terms),
    ]


def check_messages(log: Tally, state: StreamState, gone: frozenset[int]) -> Iterator[Violation]:
    """Name the messages that left the queue without a verdict."""
    without = unjudged(log, state)
    there = _still_there(without, state, gone)
    if without != there:
        detail = f"{state.name}: gone without a verdict: {listed('sequence', without - there)}"
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


def _judged_until(log: Tally, state: StreamState) -> list[Judged]:
    """Verdicts on what the stream had stored when its state was read."""
    return [
        event
        for (stream, sequence), events in log.judged.items()
        if stream == state.name and sequence <= state.last_sequence
        for event in events
    ]
