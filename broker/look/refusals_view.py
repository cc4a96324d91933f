"""`broker refused` as tables."""

import time
from collections.abc import Sequence

from broker.look.refusals import ByPurge, Refused, Sample
from broker.look.short_keys import short_keys
from broker.program.screen import Column, show_line, show_table
from broker.program.words import counted, since, utc


def show_refused(refused: Refused) -> None:
    judged = counted(refused.num_judged, "verdict")
    show_line(f"{refused.run}: {refused.num_refused:,} of {judged} refused a message")
    now = time.time()
    if refused.num_refused:
        _show_refusals(refused, now)
    if refused.num_purged:
        show_line()
        show_line(f"{counted(refused.num_purged, 'message')} purged, without a verdict")
        _show_purges(refused.by_purge, now)


def _show_purges(purges: Sequence[ByPurge], now: float) -> None:
    show_table(
        "Purged",
        [Column("actor"), Column("messages", right=True), Column("last", right=True), Column("")],
        [
            [
                "several" if each.actor is None else short_keys(each.actor),
                each.num_messages,
                f"{since(each.last_time, now=now)} ago",
                each.reason,
            ]
            for each in purges
        ],
    )


def _show_refusals(refused: Refused, now: float) -> None:
    right = [Column(name, right=True) for name in ("messages", "actors", "first", "last")]
    show_line()
    show_table(
        "By reason; `broker show` takes a sample's name",
        [Column("reason"), *right, Column("sample"), Column("the last was told")],
        [
            [
                each.reason,
                each.num_refused,
                each.num_actors,
                f"{since(each.first_time, now=now)} ago",
                f"{since(each.last_time, now=now)} ago",
                _name(each.sample),
                each.last_detail,
            ]
            for each in refused.by_reason
        ],
    )
    show_line()
    right = [Column(name, right=True) for name in ("accepted", "refused", "last")]
    show_table(
        "By actor",
        [Column("actor"), *right, Column("sample"), Column("reasons")],
        [
            [
                short_keys(each.actor),
                each.num_accepted,
                each.num_refused,
                f"{since(each.last_time, now=now)} ago",
                _name(each.sample),
                _listed(each.reasons),
            ]
            for each in refused.by_actor
        ],
    )
    show_line()
    show_table(
        "By time",
        [Column("from"), Column("accepted", right=True), Column("refused", right=True), Column("")],
        [
            [
                utc(span.start)[:19] + "Z",
                span.num_accepted,
                sum(span.reasons.values()),
                _listed(span.reasons),
            ]
            for span in refused.by_time
        ],
    )


def _name(sample: Sample | None) -> str:
    return sample.message if sample else ""


def _listed(reasons: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in reasons.items())
