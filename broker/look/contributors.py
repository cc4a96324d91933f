"""Who was invited into a run, and what has come of it."""

import time
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from broker.accounts.roster import Contributor
from broker.interface import Broker
from broker.logbook import LogItem
from broker.look.read_on import LogFold
from broker.program import words
from broker.program.screen import Column, show_line, show_table
from schemas import ledger, names


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


class Contributions:
    """What each actor has done: a fold of LOG."""

    def __init__(self) -> None:
        self._deeds: dict[str, _Deeds] = {}
        self._judged: set[tuple[str, int, str]] = set()
        """Stream, sequence and digest: what is said twice counts once."""

    def add(self, item: LogItem) -> None:
        """Enter the next record."""
        if isinstance(item.content, ledger.LedgerEntry):
            for event in item.content.events:
                self._enter(event, item.time)

    def of(self, actor: str) -> _Deeds:
        return self._deeds.get(actor, _Deeds())

    def _enter(self, event: ledger.LedgerEvent, time: float) -> None:
        if isinstance(event, ledger.VerdictEvent):
            judged = (event.stream, event.sequence, event.sha256)
            if judged in self._judged:
                return
            self._judged.add(judged)
        match event:
            case ledger.LeaseIssued(lease=lease):
                self._seen(lease.actor, time)
            case ledger.GroupAccepted():
                deeds = self._seen(event.actor, time)
                deeds.num_accepted += 1
                deeds.num_bytes += event.length
            case ledger.GroupRefused():
                self._seen(event.actor, time).num_refused += 1

    def _seen(self, actor: str, time: float) -> _Deeds:
        deeds = self._deeds.setdefault(actor, _Deeds())
        deeds.last_seen = time
        return deeds


async def list_contributors(
    broker: Broker, log: LogFold[Contributions], run: str, contributors: Sequence[Contributor]
) -> list[ContributorView]:
    """The contributors of a run, in the order of their invitations."""
    done = await log.up_to(broker, await broker.state(names.log_stream(run)))
    now = time.time()
    return [_view(one, done.of(one.actor), now) for one in contributors if one.run == run]


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
