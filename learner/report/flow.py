"""Where every group went, from the lease that asked for it to a batch or to a counted reason.

Three columns: asked for, judged, used. What flows in flows out; the numbers are those of
`broker audit`, under its names. Messages without an open lease come in below the leases.
"""

from collections import Counter

from msgspec import Struct

from broker.tally import LeaseEnd, Tally, verdict_name
from learner.report.fates import class_of, in_words
from learner.report.markup import label, picture, tag, words
from schemas import ledger

_WIDTH, _TOP = 960, 12
_BAR = 14
_COLUMNS = (4, 400, 780)
_GAP = 30
_USABLE = 300
"""Height that the fullest column's bars share."""
_ACCEPTED = "accepted"
_THIN = 24.0
"""A bar that is lower has its name below it where ribbons leave it."""
_ISSUED, _BEYOND = "leases issued", "messages without an open lease"


class Flow(Struct, frozen=True, kw_only=True):
    """So many groups went from one node to the next."""

    source: str
    target: str
    count: int


def flows(tally: Tally) -> list[Flow]:
    """Every lease and every message, by what became of it."""
    return [*_to_verdicts(tally), *_to_uses(tally)]


def _to_verdicts(tally: Tally) -> list[Flow]:
    closing: Counter[str] = Counter()
    beyond: Counter[str] = Counter()
    for verdicts in tally.judged.values():
        for event in verdicts:
            closes = isinstance(event, ledger.GroupAccepted) or event.closes_lease
            (closing if closes else beyond)[verdict_name(event)] += 1
    beyond.update(tally.purged.counts())
    ends = Counter(end for lease_ends in tally.ends.values() for end in lease_ends)
    closing[LeaseEnd.EXPIRED] = ends[LeaseEnd.EXPIRED]
    closing[LeaseEnd.ABANDONED] = ends[LeaseEnd.ABANDONED]
    closing["open"] = len(tally.open_leases)
    return [
        Flow(source=source, target=target, count=count)
        for source, counts in ((_ISSUED, closing), (_BEYOND, beyond))
        for target, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if count
    ]


def _to_uses(tally: Tally) -> list[Flow]:
    uses = {
        "in a batch": len(tally.rows),
        "no signal": len(tally.without_signal),
        "stale at the cut": len({drop.lease_id for drop in tally.drops}),
        "waiting": len(tally.waiting),
    }
    return [Flow(source=_ACCEPTED, target=use, count=count) for use, count in uses.items() if count]


class _Node(Struct, kw_only=True):
    name: str
    count: int
    x: float
    y: float
    height: float
    left_used: float = 0.0
    """Of its left side: flows that have come in."""
    right_used: float = 0.0


def draw(tally: Tally) -> str:
    """The picture of all flows."""
    found = flows(tally)
    columns = _columns(found)
    fullest = max((sum(column.values()) for column in columns), default=0)
    if not fullest:
        return tag("p", "No lease was issued.")
    scale = _USABLE / fullest
    nodes: dict[str, _Node] = {}
    for x, column in zip(_COLUMNS, columns, strict=True):
        y = float(_TOP)
        for name, count in column.items():
            height = max(2.0, count * scale)
            nodes[name] = _Node(name=name, count=count, x=x, y=y, height=height)
            y += max(height, 4.0) + _GAP
    _lower_beyond(nodes, found)
    bottom = max(node.y + node.height for node in nodes.values()) + _GAP
    sources = {flow.source for flow in found}
    ribbons = "".join(_ribbon(nodes[f.source], nodes[f.target], f.count, scale) for f in found)
    named = (_node(each, feeds=each.name in sources) for each in nodes.values())
    return picture(_WIDTH, bottom, "Where every group went", ribbons, *named)


def num_beyond(tally: Tally) -> int:
    """Messages without an open lease."""
    return sum(each.count for each in flows(tally) if each.source == _BEYOND)


def as_table(tally: Tally) -> list[tuple[str, str, str]]:
    """The same flows as rows of markup, for who cannot see the picture."""
    return [(words(f.source), words(in_words(f.target)), f"{f.count:,}") for f in flows(tally)]


def _columns(found: list[Flow]) -> tuple[dict[str, int], ...]:
    """Counts by node, from top to bottom; what only comes from beyond the leases is lowest."""
    first: Counter[str] = Counter()
    second: Counter[str] = Counter()
    third: Counter[str] = Counter()
    from_leases: Counter[str] = Counter()
    for flow in found:
        if flow.source == _ACCEPTED:
            third[flow.target] += flow.count
        else:
            first[flow.source] += flow.count
            second[flow.target] += flow.count
            from_leases[flow.target] += flow.count * (flow.source == _ISSUED)
    if third:
        second.setdefault(_ACCEPTED, 0)  # Of a damaged log that has batches and no verdicts.
    order = sorted(second, key=lambda name: (not from_leases[name], -second[name]))
    return dict(first), {name: second[name] for name in order}, dict(third)


def _lower_beyond(nodes: dict[str, _Node], found: list[Flow]) -> None:
    """Put it as low as what it flows to, so that its name lies on no other ribbon."""
    if _BEYOND in nodes:
        targets = [nodes[flow.target].y for flow in found if flow.source == _BEYOND]
        nodes[_BEYOND].y = max(nodes[_BEYOND].y, max(targets))


def _ribbon(source: _Node, target: _Node, count: int, scale: float) -> str:
    thickness = max(1.0, count * scale)
    x1, x2 = source.x + _BAR, target.x
    y1, y2 = source.y + source.right_used, target.y + target.left_used
    source.right_used += count * scale
    target.left_used += count * scale
    middle = (x1 + x2) / 2
    d = (
        f"M{x1:.1f},{y1:.1f} C{middle:.1f},{y1:.1f} {middle:.1f},{y2:.1f} {x2:.1f},{y2:.1f} "
        f"v{thickness:.1f} "
        f"C{middle:.1f},{y2 + thickness:.1f} {middle:.1f},{y1 + thickness:.1f} "
        f"{x1:.1f},{y1 + thickness:.1f} z"
    )
    said = tag("title", words(f"{count:,} from {source.name} to {in_words(target.name)}"))
    return tag("path", said, d=d, class_=f"ribbon fill-{class_of(target.name)}")


def _node(node: _Node, *, feeds: bool) -> str:
    """A bar and its name: beside it, or below a thin one that ribbons leave."""
    class_ = f"fill-{class_of(node.name)}"
    bar = tag("rect", x=node.x, y=node.y, width=_BAR, height=node.height, class_=class_)
    said = f"{in_words(node.name)} {node.count:,}"
    if feeds and node.height < _THIN:
        return bar + label(node.x, node.y + node.height + 16, said, class_="node")
    middle = node.y + min(node.height / 2, 40) + 5
    return bar + label(node.x + _BAR + 8, middle, said, class_="node")
