"""Who was invited into a run, and what has come of it."""

import time
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from broker.accounts.roster import Contributor
from broker.interface import Broker
from broker.logbook import LogItem, read_log
from broker.program import words
from broker.program.screen import Column, show_line, show_table
from schemas import ledger


class ContributorView(Struct, frozen=True, kw_only=True):
    """One line of `broker contributors`. Times are Unix seconds; None: never."""

    name: str
    actor: str
    tier: str
    shard: str
    standing: str
    """invited, expired, joined, or revoked."""
    why: str
    """Why revoked."""
    since: float | None
    """When he joined."""
    last_seen: float | None
    """When he was last given a lease, or a group of his was judged."""
    num_accepted: int
    num_refused: int
    num_bytes: int
    """Of his accepted groups."""


class _Deeds(Struct):
    last_seen: float | None = None
    num_accepted: int = 0
    num_refused: int = 0
    num_bytes: int = 0


async def list_contributors(
    broker: Broker, run: str, contributors: Sequence[Contributor]
) -> list[ContributorView]:
    """The contributors of a run, in the order of their invitations."""
    deeds: dict[str, _Deeds] = {}
    async for item in read_log(broker, run):
        _enter(deeds, item)
    now = time.time()
    return [
        _view(one, deeds.get(one.actor, _Deeds()), now) for one in contributors if one.run == run
    ]


def show_contributors(views: Sequence[ContributorView]) -> None:
    if not views:
        show_line("Nobody was invited yet: `broker invite NAME` prints a link for somebody.")
        return
    now = time.time()
    numbers = [Column(name, right=True) for name in ("accepted", "refused", "bytes")]
    show_table(
        "Contributors",
        [
            *(Column(name) for name in ("name", "tier", "queue", "standing", "since", "last seen")),
            *numbers,
            Column("actor"),
        ],
        [
            [
                view.name,
                view.tier,
                view.shard,
                f"{view.standing}: {view.why}" if view.why else view.standing,
                words.utc(view.since)[:10] if view.since else "",
                f"{words.since(view.last_seen, now=now)} ago" if view.last_seen else "",
                f"{view.num_accepted:,}",
                f"{view.num_refused:,}",
                words.size(view.num_bytes),
                view.actor,
            ]
            for view in views
        ],
    )
    standings = Counter(view.standing for view in views)
    show_line(", ".join(f"{number} {standing}" for standing, number in standings.items()))


def _enter(deeds: dict[str, _Deeds], item: LogItem) -> None:
    if not isinstance(item.content, ledger.LedgerEntry):
        return
    for event in item.content.events:
        match event:
            case ledger.LeaseIssued(lease=lease):
                deeds.setdefault(lease.actor, _Deeds()).last_seen = item.time
            case ledger.GroupAccepted():
                deed = deeds.setdefault(event.actor, _Deeds())
                deed.last_seen = item.time
                deed.num_accepted += 1
                deed.num_bytes += event.length
            case ledger.GroupRefused():
                deed = deeds.setdefault(event.actor, _Deeds())
                deed.last_seen = item.time
                deed.num_refused += 1


def _view(one: Contributor, deed: _Deeds, now: float) -> ContributorView:
    return ContributorView(
        name=one.name,
        actor=one.actor,
        tier=one.tier,
        shard=one.shard,
        standing=_standing(one, now),
        why=one.why,
        since=one.joined or None,
        last_seen=deed.last_seen,
        num_accepted=deed.num_accepted,
        num_refused=deed.num_refused,
        num_bytes=deed.num_bytes,
    )


def _standing(one: Contributor, now: float) -> str:
    if one.revoked:
        return "revoked"
    if one.joined:
        return "joined"
    return "expired" if now > one.expires else "invited"
