"""What the log says of one actor."""

import statistics
from collections import Counter, deque
from typing import Final

from broker.heard import Heard
from broker.tally import verdict_name
from broker.top.view import RECENT, ActorView, Badge, Judged, ReasonCount
from broker.top.window import Window
from schemas import ledger, names
from schemas.verdict import Outcome

_KEPT: Final = 100
"""Verdicts of an actor that can be looked at."""
NO_BADGE: Final = Badge(name="", tier="")


class Actor:
    """A fold of the verdicts on one actor's messages."""

    def __init__(self, actor: str) -> None:
        self.actor = actor
        self.num_accepted = 0
        self.num_bytes = 0
        self.refused: Counter[str] = Counter()
        """By reason."""
        self.num_purged = 0
        self.num_open_leases = 0
        self.window = Window()
        self.staleness: deque[int] = deque(maxlen=RECENT)
        """Of its rows in batches."""
        self._latencies_s: deque[float] = deque(maxlen=RECENT)
        self._verdicts: deque[tuple[float, float | None, ledger.VerdictEvent]] = deque(maxlen=_KEPT)

    def judge(self, time: float, event: ledger.VerdictEvent, issued: float | None) -> None:
        """A message of it was judged; `issued` is when the lease that it answers was."""
        tokens = num_bytes = 0
        if isinstance(event, ledger.GroupAccepted):
            self.num_accepted += 1
            tokens, num_bytes = sum(event.num_tokens), event.length
            self.num_bytes += num_bytes
            if issued is not None:
                self._latencies_s.append(time - issued)
        else:
            is_rejected = event.outcome is Outcome.REJECTED
            self.refused[str(event.reason if is_rejected else event.outcome)] += 1
        self.window.add(time, tokens=tokens, num_bytes=num_bytes)
        self._verdicts.append((time, None if issued is None else time - issued, event))

    def view(self, heard: Heard, badge: Badge, now: float) -> ActorView:
        """How it stands."""
        word, seen = heard.word_of(self.actor), heard.seen.get(self.actor)
        return ActorView(
            actor=self.actor,
            name=badge.name,
            tier=badge.tier,
            state=word.state if word else None,
            waiting_for=word.waiting_for if word else "",
            policy=seen.heartbeat.policy if seen else None,
            rates=self.window.rates(now),
            num_bytes=self.num_bytes,
            num_accepted=self.num_accepted,
            num_refused=self.refused.total(),
            reasons=tuple(
                ReasonCount(reason=reason, count=count)
                for reason, count in self.refused.most_common()
            ),
            num_purged=self.num_purged,
            num_open_leases=self.num_open_leases,
            staleness=statistics.fmean(self.staleness) if self.staleness else None,
            latency_s=statistics.median(self._latencies_s) if self._latencies_s else None,
            last_verdict_s=max(0.0, now - self._verdicts[-1][0]) if self._verdicts else None,
        )

    def judged(self, run: str) -> list[Judged]:
        """Its last verdicts, the newest first."""
        shards = names.rollouts_stream_prefix(run)
        return [
            Judged(
                time=time,
                verdict=verdict_name(event),
                message=f"{event.stream.removeprefix(shards)}:{event.sequence}",
                lease_id=event.lease_id,
                policy=event.policy if isinstance(event, ledger.GroupAccepted) else None,
                rewards=event.rewards,
                latency_s=latency_s,
                detail=event.detail if isinstance(event, ledger.GroupRefused) else "",
            )
            for time, latency_s, event in reversed(self._verdicts)
        ]
