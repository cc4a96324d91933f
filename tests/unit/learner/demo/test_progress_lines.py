"""What the demo reads off the output of other processes is what they write."""

import io

from learner import cli
from learner.demo import ending, stage
from learner.demo.phases import Phase
from learner.demo.screen import Lines
from learner.initial_policy import progress_line
from learner.trainer.replay_legs import Compared
from learner.trainer.sft import SftProgress
from schemas.policy import PolicyId
from schemas.settings import SftSettings


def test_how_far_a_replay_is(capsys):
    show = cli._show_compared()
    for version in (0, 1):
        show(Compared(policy=PolicyId(1, version), differing=()), 5)
    read = [ending._COMPARED.search(line) for line in capsys.readouterr().err.splitlines()]
    assert [found and found.groups() for found in read] == [("1", "5"), ("2", "5")]


def test_how_far_the_initial_policy_is():
    progress = SftProgress(step=70, loss=0.5, reward=0.46)
    found = stage._SFT_STEP.search(progress_line(progress, SftSettings(target_reward=0.5)))
    assert found is not None
    assert found[0] == "step 70 of at most 600: loss 0.500, reward 0.46 of 0.5"
    assert found[1] == "0.46"


def test_fine_tuning_has_a_line_each_time_it_has_sampled():
    said = io.StringIO()
    lines = Lines({}, said)
    for step, share in ((10, 0.0), (20, 0.0), (30, 0.31), (40, 0.3), (50, 0.39)):
        lines.progress(Phase.SFT, share, f"step {step}")
    assert said.getvalue().split() == [
        word for step in (10, 20, 30, 40, 50) for word in ("SFT:", "step", str(step))
    ]
