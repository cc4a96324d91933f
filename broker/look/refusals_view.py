"""`broker refused` as tables."""

import time

from broker.look.refusals import Refused, Sample
from broker.look.short_keys import short_keys
from broker.program.screen import Column, show_line, show_table
from broker.program.words import counted, since, utc


def show_refused(refused: Refused) -> None:
    judged = counted(refused.num_judged, "verdict")
    show_line(f"{refused.run}: {refused.num_refused:,} of {judged} refused a message")
    if not refused.num_refused:
        return
    now = time.time()
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
