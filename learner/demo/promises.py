"""Whether the demo kept its promises. Pure: evidence in, one check for each promise out."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from learner.events import Checked
from learner.metrics import EDGE_STEPS, StepFigures, edges

WANTED_RISE: Final = 0.2

_AUDITED: Final = (
    "every lease, message and group has one counted end, and the archive holds the bytes of every "
    "row"
)


class CheckResult(Struct, frozen=True, kw_only=True):
    """What a checking process said."""

    status: int
    """Its exit status: 0 means that what it checks holds."""
    last_words: str
    """One sentence."""


class Evidence(Struct, frozen=True, kw_only=True):
    """Everything that the checks rest on."""

    steps: Sequence[StepFigures]
    num_steps: int
    """That the run was to have."""
    trained_on: str
    audit: CheckResult
    replay: CheckResult
    liar_rows: int
    """Rows of batches that a liar made."""
    liar_accepted: int
    """Groups of a liar whose claims were true: all right, hence without signal."""
    liar_refused: int
    planned_kills: Sequence[str]
    """Who was to be killed."""
    came_back: Sequence[str]
    """Who was killed and has been seen at work again."""
    died: Sequence[str]
    """Who ended although nobody had asked for it."""


def check(evidence: Evidence) -> tuple[Checked, ...]:
    """What became of each promise."""
    return (
        _rise(evidence),
        _length(evidence),
        _kills(evidence),
        _liar(evidence),
        _checked("Audit", evidence.audit, _AUDITED),
        _checked("Replay", evidence.replay, evidence.replay.last_words),
    )


def holds(checks: Sequence[Checked]) -> bool:
    return all(one.holds for one in checks)


def _rise(evidence: Evidence) -> Checked:
    part, found = evidence.trained_on, edges(evidence.steps)
    if found is None:
        return Checked(holds=False, text=f"Reward: nothing was scored ({part})")
    first, last = found
    verb = "rose" if last >= first else "fell"
    return Checked(
        holds=last - first >= WANTED_RISE,
        text=f"Reward: mean {part} reward {verb} from {first:.2f} in the first {EDGE_STEPS} steps "
        f"to {last:.2f} in the last {EDGE_STEPS}, each over all their rollouts: "
        f"{last - first:+.2f}, at least {WANTED_RISE:+.2f} is asked for",
    )


def _length(evidence: Evidence) -> Checked:
    died = f"; ended unasked: {', '.join(evidence.died)}" if evidence.died else ""
    return Checked(
        holds=len(evidence.steps) >= evidence.num_steps and not evidence.died,
        text=f"Run: {len(evidence.steps)} of {evidence.num_steps} steps{died}",
    )


def _kills(evidence: Evidence) -> Checked:
    missing = [who for who in evidence.planned_kills if who not in evidence.came_back]
    if missing:
        return Checked(
            holds=False, text=f"Kills: {', '.join(missing)} was not killed, or did not come back"
        )
    killed = ", ".join(evidence.planned_kills) or "nobody"
    return Checked(holds=True, text=f"Kills: SIGKILL to {killed} in the middle of work; all back")


def _liar(evidence: Evidence) -> Checked:
    sent = evidence.liar_accepted + evidence.liar_refused
    fate = (
        f"{evidence.liar_refused:,} refused, {evidence.liar_accepted:,} with all answers right "
        "and so without signal"
    )
    return Checked(
        holds=evidence.liar_rows == 0 and evidence.liar_refused > 0,
        text=f"Liar: sent {sent:,} groups, {fate}; {evidence.liar_rows} in a batch",
    )


def _checked(name: str, result: CheckResult, promise: str) -> Checked:
    """What a check promises when it holds, else what it said itself."""
    if result.status == 0:
        return Checked(holds=True, text=f"{name}: {promise}"[:500])
    return Checked(holds=False, text=f"{name}: {result.last_words} (status {result.status})"[:500])
