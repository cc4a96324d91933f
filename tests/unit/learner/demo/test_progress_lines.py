"""What the demo reads off the output of other processes is what they write."""

from types import SimpleNamespace

from learner import cli
from learner.demo import ending, stage
from learner.trainer.replay_parts import Compared
from schemas.policy import PolicyId


def test_how_far_a_replay_is(capsys):
    show = cli._show_compared()
    for version in (0, 1):
        show(Compared(policy=PolicyId(1, version), differing=()), 5)
    read = [ending._COMPARED.search(line) for line in capsys.readouterr().err.splitlines()]
    assert [found and found.groups() for found in read] == [("1", "5"), ("2", "5")]


def test_how_far_the_initial_policy_is(capsys):
    cli._show_progress(SimpleNamespace(step=70, loss=0.5, reward=0.46))
    found = stage._SFT_STEP.search(capsys.readouterr().out)
    assert found is not None
    assert (found[0], found[1]) == ("step 70: loss 0.500, reward 0.46", "0.46")
