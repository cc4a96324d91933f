"""Whether the demo showed what it promises. Pure: what was seen in, findings out."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from learner.events import Finding
from learner.metrics import StepRow, mean_reward

EDGE_STEPS: Final = 10
"""The first and the last steps that are compared."""
WANTED_RISE: Final = 0.2


class CheckResult(Struct, frozen=True, kw_only=True):
    """What a checking process said."""

    status: int
    """Its exit status: 0 means that what it checks holds."""
    last_words: str
    """One sentence."""


class Evidence(Struct, frozen=True, kw_only=True):
    """Everything that the verdict rests on."""

    rows: Sequence[StepRow]
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


def judge(evidence: Evidence) -> tuple[Finding, ...]:
    """One finding for each promise."""
    return (
        _rise(evidence),
        _length(evidence),
        _kills(evidence),
        _liar(evidence),
        _checked("Audit", evidence.audit),
        _checked("Replay", evidence.replay),
    )


def holds(findings: Sequence[Finding]) -> bool:
    return all(finding.holds for finding in findings)


def _rise(evidence: Evidence) -> Finding:
    first = mean_reward(evidence.rows[:EDGE_STEPS])
    last = mean_reward(evidence.rows[-EDGE_STEPS:])
    part = evidence.trained_on
    if first is None or last is None:
        return Finding(holds=False, text=f"Reward: nothing was scored ({part})")
    rose = last - first >= WANTED_RISE
    verb = "rose" if last >= first else "fell"
    short = "" if rose else f", which is less than {WANTED_RISE} up"
    return Finding(
        holds=rose,
        text=f"Reward: mean {part} reward {verb} from {first:.2f} in the first "
        f"{EDGE_STEPS} steps to {last:.2f} in the last {EDGE_STEPS}{short}",
    )


def _length(evidence: Evidence) -> Finding:
    died = f"; ended unasked: {', '.join(evidence.died)}" if evidence.died else ""
    return Finding(
        holds=len(evidence.rows) >= evidence.num_steps and not evidence.died,
        text=f"Run: {len(evidence.rows)} of {evidence.num_steps} steps{died}",
    )


def _kills(evidence: Evidence) -> Finding:
    missing = [who for who in evidence.planned_kills if who not in evidence.came_back]
    if missing:
        return Finding(
            holds=False, text=f"Kills: {', '.join(missing)} was not killed, or did not come back"
        )
    killed = ", ".join(evidence.planned_kills) or "nobody"
    return Finding(holds=True, text=f"Kills: SIGKILL to {killed} in the middle of work; all back")


def _liar(evidence: Evidence) -> Finding:
    sent = evidence.liar_accepted + evidence.liar_refused
    fate = (
        f"{evidence.liar_refused} refused, {evidence.liar_accepted} with all answers right and so "
        "without signal"
    )
    return Finding(
        holds=evidence.liar_rows == 0 and evidence.liar_refused > 0,
        text=f"Liar: sent {sent} groups, {fate}; {evidence.liar_rows} in a batch",
    )


def _checked(name: str, result: CheckResult) -> Finding:
    failure = f" (status {result.status})" if result.status else ""
    return Finding(holds=result.status == 0, text=f"{name}: {result.last_words}{failure}"[:500])
