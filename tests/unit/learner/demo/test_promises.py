"""Each promise of the demo that is broken fails it, and is named."""

import re

import pytest
from msgspec.structs import replace

from learner.demo.plan import KILLS, step_of
from learner.demo.promises import CheckResult, Evidence, check, holds
from learner.metrics import StepFigures
from schemas.policy import StepMetrics

FINE = CheckResult(status=0, last_words="The audit of demo holds.")
WRONG = CheckResult(status=1, last_words="12 issued != 2 open + 9 fulfilled")


def figures(step: int, reward: float | None) -> StepFigures:
    return StepFigures(
        step=step,
        policy=f"1-{step}",
        cut_time=0.0,
        announced_time=0.0,
        trained_on="exact",
        reward=reward,
        parts={},
        num_rollouts=0 if reward is None else 100,
        judged={},
        num_without_signal=0,
        num_dropped=0,
        num_leases=0,
        staleness_mean=0.0,
        staleness_max=0,
        staleness_rows=(1,),
        rows_by_actor={},
        skipped=False,
        trainer=StepMetrics(),
    )


def steps(first: float, last: float, num_steps: int = 40) -> list[StepFigures]:
    return [figures(step, first if step <= 20 else last) for step in range(1, num_steps + 1)]


GOOD = Evidence(
    steps=steps(0.5, 0.75),
    num_steps=40,
    trained_on="exact",
    audit=FINE,
    replay=FINE,
    liar_rows=0,
    liar_accepted=3,
    liar_refused=50,
    planned_kills=("honest-2", "trainer"),
    came_back=("trainer", "honest-2"),
    died=(),
)


def broken(**changes: object) -> list[str]:
    return [each.text for each in check(replace(GOOD, **changes)) if not each.holds]


def test_a_good_run_has_a_finding_for_each_promise():
    checks = check(GOOD)
    assert holds(checks)
    assert [one.text.partition(":")[0] for one in checks] == [
        "Reward", "Run", "Kills", "Liar", "Audit", "Replay",
    ]  # fmt: skip
    assert "exact reward rose from 0.50 in the first 10 steps to 0.75" in checks[0].text
    assert "each over all their rollouts" in checks[0].text


def test_a_check_that_holds_says_what_it_promises_and_repeats_nothing():
    audit, replay = check(replace(GOOD, replay=CheckResult(status=0, last_words="41 of 41")))[-2:]
    assert audit.text.count("udit") == 1
    assert "every lease, message and group has one counted end" in audit.text
    assert replay.text == "Replay: 41 of 41"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": steps(0.5, 0.69)}, r"rose from 0.50 .*: \+0.19, at least \+0.20 is asked for"),
        ({"steps": steps(0.5, 0.3)}, "fell from 0.50 .* to 0.30 .*: -0.20"),
        ({"steps": []}, "nothing was scored"),
        ({"num_steps": 41}, "40 of 41 steps"),
        ({"died": ["honest-1 (status 1)"]}, "ended unasked: honest-1"),
        ({"came_back": ["trainer"]}, "honest-2 was not killed, or did not come back"),
        ({"liar_rows": 1}, "1 in a batch"),
        ({"liar_refused": 0}, "0 refused"),
        ({"audit": WRONG}, "Audit: 12 issued .* .status 1"),
        ({"replay": WRONG}, "Replay: 12 issued .* .status 1"),
    ],
)
def test_a_broken_promise_is_named(changes, named):
    texts = broken(**changes)
    assert texts
    assert any(re.search(named, text) for text in texts)


def test_a_run_cut_short_breaks_the_length_alone():
    assert broken(num_steps=41) == ["Run: 40 of 41 steps"]


def test_steps_without_rewards_are_left_out_of_the_means():
    holes = [figures(41, None), figures(42, None)]
    assert broken(steps=[*steps(0.5, 0.75), *holes], num_steps=42) == []


def test_last_words_of_any_length_fit():
    checks = check(replace(GOOD, audit=CheckResult(status=1, last_words="x" * 10_000)))
    assert max(len(one.text) for one in checks) == 500


def test_kills_strike_at_different_steps_in_their_order():
    steps = [step_of(kill, 80) for kill in KILLS]
    assert steps == sorted(set(steps))
    assert steps[0] > 0
    assert steps[-1] < 80
