"""The head of `broker top` in words, for its screen and for a pipe."""

from broker.program import words
from broker.top.view import DaemonView, HeadView, TopView

AWAY = "The server is away: this is how things were when it was last heard."
_BARS = "▁▂▃▄▅▆▇█"


def step(head: HeadView) -> str:
    if not head.num_steps:
        return "no coordinator yet"
    policy = "no policy yet" if head.policy is None else f"policy {head.policy}"
    return f"{head.step:,} of {head.num_steps:,}, {policy}"


def reward(head: HeadView) -> str:
    return "none yet" if head.reward is None else f"{head.reward:.3f}"


def staleness(head: HeadView) -> str:
    if head.staleness_mean is None:
        return f"no batch yet; the limit is {head.staleness_limit}"
    return (
        f"{head.staleness_mean:.1f} in the last batch, {head.staleness_max} at most; "
        f"the limit is {head.staleness_limit}"
    )


def queue(head: HeadView, now: float) -> str:
    """What has no verdict yet, and what lies before and behind it."""
    if head.queue is None:
        return "not counted yet"
    size = words.size(head.queue.num_bytes)
    if head.queue.max_bytes >= 0:
        size += f" of {words.size(head.queue.max_bytes)}"
    said = [words.counted(head.queue.num_messages, "message"), size]
    if head.queue.num_messages:
        said.append(f"{head.queue.num_in_hand:,} in hand")
    if head.queue.oldest_time is not None:
        said.append(f"the oldest has waited {words.age(now - head.queue.oldest_time)}")
    return ", ".join(said)


def groups(head: HeadView) -> str:
    open_leases = words.counted(head.num_open_leases, "open lease")
    said = [open_leases, words.counted(head.num_waiting, "waiting group")]
    if head.num_purged:
        said.append(f"{words.counted(head.num_purged, 'message')} purged")
    return ", ".join(said)


def rates(head: HeadView) -> str:
    rates = head.rates
    return (
        f"{rates.groups_per_min:,.0f} groups/min, {rates.tokens_per_s:,.0f} tokens/s, "
        f"{words.size(int(rates.bytes_per_s))}/s"
    )


def daemons(head: HeadView) -> str:
    """What both say of themselves; a part of it is in their own words."""
    return f"coordinator {_daemon(head.coordinator)}; trainer {_daemon(head.trainer)}"


def _daemon(daemon: DaemonView) -> str:
    if daemon.state is None:
        return "silent"
    return f"{daemon.state}: {daemon.waiting_for}" if daemon.waiting_for else str(daemon.state)


def lines(view: TopView) -> list[str]:
    """The whole head, one fact after the other."""
    head = view.head
    said = [
        f"step {step(head)}; reward {reward(head)}; staleness {staleness(head)}",
        f"queue {queue(head, view.time)}; {groups(head)}; {rates(head)}",
        f"{head.who_waits}; {daemons(head)}",
    ]
    return said if view.connected else [AWAY, *said]


def unlisted(view: TopView) -> str:
    """Of whom there is no row; empty when there is nobody."""
    if not view.num_unlisted:
        return ""
    return f"{words.counted(view.num_unlisted, 'message')} of further senders without a lease"


def sparkline(values: tuple[float, ...], *, width: int) -> str:
    """The last values as bars between the lowest and the highest of them.

    >>> sparkline((0.0, 0.5, 1.0), width=2), sparkline((3.0, 3.0), width=9)
    ('▁█', '▁▁')
    """
    shown = values[-width:]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    span = (high - low) or 1.0
    return "".join(_BARS[int((value - low) / span * (len(_BARS) - 1))] for value in shown)
