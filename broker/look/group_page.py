"""Lays a group out for the eye: rollouts side by side where there is room, else below each other.

Every line of a stranger's text is sanitised by itself and stands behind a bar of ours, so that no
newline in it can look like a line of this page: `|` what the policy sampled, `>` what the
environment rendered between. Long texts are cut in the middle, since rewards are mostly decided at
the end.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.cells import cell_len, chop_cells

from broker.look.group import GroupShown, RolloutShown, Stretch
from broker.look.held import Place
from broker.look.message import UNJUDGED
from broker.program import words
from broker.program.sanitise import sanitise
from schemas.verdict import Outcome

_WIDE: Final = 110
"""Columns of a terminal from which on rollouts stand side by side."""
_MIN_COLUMN: Final = 20
"""Columns of one rollout."""
_LABEL: Final = 13
_WHEN: Final = ("judged", "stored")
_EACH: Final = "logprobs"
_INDENT: Final = "  "
_MAX_LINES: Final = 24
"""Of one rollout's text."""
_MAX_LOGPROBS: Final = 24
_PLACES: Final = {
    Place.QUEUE: "in the queue",
    Place.ARCHIVE: "from the archive",
    Place.SAMPLE: "from the kept sample of refused messages",
}


def page(group: GroupShown, width: int) -> list[str]:
    """The lines of a group on a terminal of so many columns."""
    lines = [*_head(group, width)]
    if not group.rollouts:
        return lines + _figures(group)
    if group.prompt is not None:
        lines += ["", "prompt", *_text([group.prompt], width - len(_INDENT), _MAX_LINES)]
    cells = [_cells(group, index, rollout) for index, rollout in enumerate(group.rollouts)]
    if width < _WIDE or len(cells) == 1:
        for index, (rollout, facts) in enumerate(zip(group.rollouts, cells, strict=True)):
            lines += ["", *_block(index, rollout, facts, width)]
        return lines
    room = (width - _LABEL - len(_INDENT)) // (_MIN_COLUMN + len(_INDENT))
    num_bands = -(-len(cells) // room)
    per_band = -(-len(cells) // num_bands)
    for start in range(0, len(cells), per_band):
        band = range(start, min(start + per_band, len(cells)))
        lines += ["", *_band(band, group.rollouts, cells, width, per_band)]
    return lines


def _head(group: GroupShown, width: int) -> Iterable[str]:
    size = "" if group.num_bytes is None else f", {words.size(group.num_bytes)}"
    held = f", {_PLACES[group.place]}" if group.place in _PLACES else ""
    yield f"message {group.id} of run {group.run}{size}{held}"
    yield from _fact("sha256", group.sha256, width)
    yield from _fact("actor", group.actor, width)
    if group.lease_id is not None:
        task = f": {group.environment} task {group.task}, seed {group.seed}"
        known = task if group.task is not None else ", which this run has not issued"
        yield from _fact("lease", f"{group.lease_id}{known}", width)
    if group.others:
        yield from _fact("also", f"{', '.join(group.others)} name this lease", width)
    yield from _fact("verdict", _verdict(group), width)
    # By itself: `:30.500Z:` before a detail is sanitised as an emoji's code would be.
    yield from _fact(_WHEN[group.verdict == UNJUDGED], words.utc(group.time), width)
    if group.policy is not None:
        yield from _fact("policy", f"{group.policy}, sampled by {group.engine}", width)
    if group.missing:
        yield from _fact("missing", group.missing, width)
    if group.undecodable is not None:
        wrong = group.undecodable
        yield from _fact("wrong", f"{wrong.reason}: {wrong.detail}", width)
        yield from _fact("begins", wrong.preview, width)


def _verdict(group: GroupShown) -> str:
    if group.verdict == UNJUDGED:
        return "none yet"
    if group.step is not None and group.row is not None:
        return (
            f"{group.verdict}, row {group.row + 1} of the batch of step {group.step} with "
            f"staleness {group.staleness}"
        )
    why = f"({group.reason})" if group.verdict == Outcome.REJECTED else ""
    detail = f": {group.detail}" if group.detail else ""
    return f"{group.verdict}{why}{detail}"


def _figures(group: GroupShown) -> list[str]:
    """What the log says of the rollouts of a group whose bytes nobody has."""
    facts = [("rewards", words.figures(group.rewards))]
    facts += [(part.name, words.figures(part.values)) for part in group.parts]
    facts += [("advantages", words.figures(group.advantages, signed=True))]
    return [f"{_INDENT}{name:<{_LABEL}}{said}" for name, said in facts if said]


def _cells(group: GroupShown, index: int, rollout: RolloutShown) -> dict[str, str]:
    """The figures of one rollout, by what they are."""
    reward, claimed = rollout.reward, f"{rollout.claimed_reward:.4g}"
    facts = {"reward": f"claims {claimed}" if reward is None else f"{reward:.4g}"}
    if reward is not None and f"{reward:.4g}" != claimed:
        facts["reward"] += f", claims {claimed}"
    if rollout.advantage is not None:
        facts["advantage"] = f"{rollout.advantage:+.4g}"
    for part in group.parts:
        if index < len(part.values):
            facts[part.name] = f"{part.values[index]:.4g}"
    facts["finish"] = str(rollout.finish)
    facts["tokens"] = f"{rollout.num_tokens}, {rollout.num_sampled} sampled"
    facts["policy"] = _spans(rollout)
    values = rollout.logprobs
    facts["logprob mean"] = f"{sum(values) / len(values):.3g}"
    facts["logprob min"] = f"{min(values):.3g}"
    more = " …" if len(values) > _MAX_LOGPROBS else ""
    facts[_EACH] = " ".join(f"{value:.2f}" for value in values[:_MAX_LOGPROBS]) + more
    return facts


def _spans(rollout: RolloutShown) -> str:
    if len(rollout.spans) == 1:
        return str(rollout.spans[0].policy)
    return ", ".join(f"{span.policy} for {span.num_tokens}" for span in rollout.spans)


def _block(index: int, rollout: RolloutShown, facts: dict[str, str], width: int) -> Iterable[str]:
    """One rollout over the whole width: short figures in a line, the log-probabilities below."""
    yield f"rollout {index}"
    said = [f"{name} {value};" for name, value in facts.items() if name != _EACH]
    said[-1] = said[-1].removesuffix(";")
    yield from (f"{_INDENT}{line}" for line in _packed(said, width - len(_INDENT)))
    yield from _fact(_EACH, facts[_EACH], width)
    yield from _text(rollout.stretches, width - len(_INDENT), _MAX_LINES)


def _band(
    band: Sequence[int],
    rollouts: Sequence[RolloutShown],
    cells: Sequence[dict[str, str]],
    width: int,
    per_band: int,
) -> Iterable[str]:
    """Some rollouts side by side."""
    column = (width - _LABEL - len(_INDENT)) // per_band - len(_INDENT)
    yield _row("rollout", [[str(index)] for index in band], column)[0]
    names = dict.fromkeys(name for index in band for name in cells[index])
    for name in names:
        yield from _row(
            name, [_wrapped(cells[index].get(name, ""), column) for index in band], column
        )
    texts = [_text(rollouts[index].stretches, column, _MAX_LINES, indent="") for index in band]
    yield from _row("text", texts, column)


def _row(name: str, cells: Sequence[Sequence[str]], column: int) -> list[str]:
    """A row of cells of several lines each."""
    lines = []
    for number in range(max(map(len, cells))):
        label = sanitise(name)[:_LABEL] if number == 0 else ""
        parts = [cell[number] if number < len(cell) else "" for cell in cells]
        padded = [part + " " * (column - cell_len(part)) for part in parts]
        lines.append(f"{_INDENT}{label:<{_LABEL}}{_INDENT.join(padded)}".rstrip())
    return lines


def _text(
    stretches: Sequence[Stretch], width: int, max_lines: int, *, indent: str = _INDENT
) -> list[str]:
    """The texts of stretches, each line behind its bar."""
    lines = []
    for stretch in stretches:
        bar = "| " if stretch.sampled else "> "
        text = stretch.text
        if text is None:
            text = " ".join(map(str, stretch.token_ids))
        for line in text.split("\n"):
            lines += [f"{indent}{bar}{part}" for part in _folded(line, width - len(bar))]
    if len(lines) <= max_lines:
        return lines
    num_last = max_lines // 3
    num_first = max_lines - num_last - 1
    left_out = f"{indent}… {len(lines) - num_first - num_last} lines, see --json …"
    return [*lines[:num_first], left_out, *lines[-num_last:]]


def _fact(name: str, said: str, width: int) -> Iterable[str]:
    first, *rest = _wrapped(said, width - _LABEL - len(_INDENT))
    yield f"{_INDENT}{name:<{_LABEL}}{first}"
    yield from (f"{_INDENT}{'':<{_LABEL}}{line}" for line in rest)


def _folded(text: str, width: int) -> list[str]:
    """A line, sanitised, in pieces of so many columns of the terminal."""
    # One character becomes ten at most (\U0001f642).
    safe = sanitise(text, max_length=10 * len(text) + 1)
    return chop_cells(safe, max(2, width)) or [""]


def _wrapped(text: str, width: int) -> list[str]:
    """As `_folded`, between words where there are any."""
    return _packed(text.split(" "), width)


def _packed(pieces: Iterable[str], width: int) -> list[str]:
    """Pieces side by side, as many in a line as fit."""
    lines = [""]
    for piece in pieces:
        first, *rest = _folded(piece, width)
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(first) <= width:
            lines[-1] += f" {first}"
        elif lines[-1]:
            lines.append(first)
        else:
            lines[-1] = first
        lines += rest
    return lines
