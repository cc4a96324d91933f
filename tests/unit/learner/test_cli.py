"""The `learner` command, as far as nothing needs to be running."""

import pytest
from typer.testing import CliRunner

from learner.cli import app


def invoke(*words: str):
    return CliRunner().invoke(app, list(words), prog_name="learner")


@pytest.mark.parametrize("verb", ["metrics", "report", "replay"])
def test_verbs_for_scripts_take_json(verb, tmp_path):
    result = invoke(verb, "mine", "--json", "--dry-run", "--directory", str(tmp_path))
    assert result.exit_code == 0
    assert 'name = "mine"' in result.stdout


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("--model.num_heads=3", "model.num_heads is 3 and must divide model.hidden_size"),
        ("--sampling.max_new_tokens=2", "but a right answer of environment reverse takes up to 7"),
        (
            "--sampling.max_new_tokens=250",
            "model.max_positions is 256, but a rollout of environment reverse takes up to 260",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["run", "sft", "open", "coordinator", "trainer", "demo"])
def test_settings_that_cannot_be_are_refused_before_anything_is_made(
    verb, word, sentence, tmp_path
):
    for more in ([], ["--dry-run"]):
        words = [verb, "--name", "mine", "--directory", str(tmp_path), word, *more]
        result = invoke(*words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert sentence in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_run_does_not_take_an_initial_policy_and_says_who_does():
    result = invoke("run", "--initial", "folder", "--name", "mine")
    assert result.exit_code == 2
    assert result.stderr == "learner: `learner run` takes no --initial; `learner open` does\n"
