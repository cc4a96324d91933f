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


def test_a_run_does_not_take_an_initial_policy_and_says_who_does():
    result = invoke("run", "--initial", "folder", "--name", "mine")
    assert result.exit_code == 2
    assert result.stderr == "learner: `learner run` takes no --initial; `learner open` does\n"
