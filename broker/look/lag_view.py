"""`broker lag` as lines."""

from broker.look.lag import Lag, Role
from broker.look.window import Window
from broker.program.screen import Column, show_line, show_table
from broker.program.words import counted

_BAR = 32
"""Characters of the longest bar."""


def show_lag(lag: Lag) -> None:
    policy = f"policy {lag.policy} is the newest" if lag.policy else "no policy is announced"
    steps = f"batch {lag.step} is cut" if lag.step else "no batch is cut"
    show_line(f"{lag.run}: {policy}, {steps}")
    if lag.window:
        show_line()
        _show_window(lag.window)
    show_line()
    show_line(f"{lag.sentence[:1].upper()}{lag.sentence[1:]}.")
    show_line(_heard_words(lag))


def _show_window(window: Window) -> None:
    rows = [(str(bar.staleness), bar.num_queued, bar.num_waiting) for bar in window.bars]
    if window.queued_too_old or window.waiting_too_old:
        rows.append(("older", window.queued_too_old, window.waiting_too_old))
    longest = max(queued + waiting for _, queued, waiting in rows)
    scale = _BAR / longest if longest else 0
    counts = ("staleness", "in the queue =", "accepted, waiting #")
    show_table(
        f"Staleness in the batch of step {window.next_step}; the limit is {window.max_staleness}",
        [*(Column(name, right=True) for name in counts), Column("")],
        [
            [age, queued, waiting, "=" * round(queued * scale) + "#" * round(waiting * scale)]
            for age, queued, waiting in rows
        ],
    )
    for sentence in _refusals(window):
        show_line(sentence)


def _refusals(window: Window) -> list[str]:
    """What is refused now, and what when the window moves on by a version."""
    now = [
        (window.queued_too_old, "message", "too old already"),
        (window.num_never_announced, "message", "made with a version that was never announced"),
        (window.num_unreadable, "message", "on a subject that is not that of a group"),
        (window.waiting_too_old, "accepted group", "too old for the next batch"),
    ]
    found = [f"{counted(count, noun)} {why}" for count, noun, why in now if count]
    refused = [f"Refused as it stands: {', '.join(found)}."] if found else []
    queued, waiting = window.queued_refused_next, window.waiting_refused_next
    after = f"once the batch of step {window.next_step} is cut"
    if not queued and not waiting:
        return [*refused, f"Refused next, {after}: nothing of this."]
    parts = [
        f"{counted(queued, 'message')} unless judged by then" if queued else "",
        f"{counted(waiting, 'accepted group')} that the batch has no room for" if waiting else "",
    ]
    return [*refused, f"Refused next, {after}: {', '.join(filter(None, parts))}."]


def _heard_words(lag: Lag) -> str:
    said = [
        f"{who}: {role.state}{_for(role)}" if role else f"no word of the {who}"
        for who, role in (("coordinator", lag.coordinator), ("trainer", lag.trainer))
    ]
    actors = ", ".join(f"{count} {state}" for state, count in lag.actors.items())
    said.append(f"actors: {actors}" if actors else "no word of any actor")
    return f"Heard: {'; '.join(said)}."


def _for(role: Role) -> str:
    return f" ({role.waiting_for})" if role.waiting_for else ""
