"""Where every group went, from the lease that asked for it to a batch or to a counted reason.

Three columns: asked for, judged, used. What flows in flows out; the numbers are those of
`broker audit`. Messages that end no lease (duplicates, late ones, junk) come in beside the leases.
"""

from collections import Counter

from msgspec import Struct

from broker.tally import LeaseEnd, Tally, verdict_name
from learner.report.markup import label, picture, tag, words
from learner.report.palette import class_of
from schemas import ledger

_WIDTH, _TOP = 960, 12
_BAR = 14
_COLUMNS = (4, 400, 780)
_GAP = 30
_USABLE = 300
"""Height that the fullest column's bars share."""
_ACCEPTED = "accepted"
_ISSUED, _BEYOND = "leases issued", "messages that end no lease"


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
    ends = Counter(end for lease_ends in tally.ends.values() for end in lease_ends)
    closing["expired"] = ends[LeaseEnd.EXPIRED]
    closing["given back"] = ends[LeaseEnd.ABANDONED]
    closing["still open"] = len(tally.open_leases)
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
        "too old at the cut": len({drop.lease_id for drop in tally.drops}),
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
    bottom = 0.0
    for x, column in zip(_COLUMNS, columns, strict=True):
        y = float(_TOP)
        for name, count in column.items():
            height = max(2.0, count * scale)
            nodes[name] = _Node(name=name, count=count, x=x, y=y, height=height)
            y += max(height, 4.0) + _GAP
        bottom = max(bottom, y)
    ribbons = "".join(_ribbon(nodes[f.source], nodes[f.target], f.count, scale) for f in found)
    return picture(
        _WIDTH, bottom, "Where every group went", ribbons, *(_node(each) for each in nodes.values())
    )


def as_table(tally: Tally) -> list[tuple[str, str, str]]:
    """The same flows as rows of markup, for who cannot see the picture."""
    return [(words(f.source), words(f.target), f"{f.count:,}") for f in flows(tally)]


def _columns(found: list[Flow]) -> tuple[dict[str, int], ...]:
    first: Counter[str] = Counter()
    second: Counter[str] = Counter()
    third: Counter[str] = Counter()
    for flow in found:
        if flow.source == _ACCEPTED:
            third[flow.target] += flow.count
        else:
            first[flow.source] += flow.count
            second[flow.target] += flow.count
    return dict(first), dict(second.most_common()), dict(third)


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
    said = tag("title", words(f"{count:,} from {source.name} to {target.name}"))
    return tag("path", said, d=d, class_=f"ribbon fill-{class_of(target.name)}")


def _node(node: _Node) -> str:
    bar = tag(
        "rect",
        x=node.x,
        y=node.y,
        width=_BAR,
        height=node.height,
        class_=f"fill-{class_of(node.name)}",
    )
    height = node.y + min(node.height / 2, 40) + 5
    name = label(node.x + _BAR + 8, height, f"{node.name} {node.count:,}", class_="node")
    return bar + name
