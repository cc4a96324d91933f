"""The `learner` command, as far as nothing needs to be running."""

import pytest
from typer.testing import CliRunner

from learner.cli import app
from tests.support.servers import write_servers_file


def invoke(*words: str):
    return CliRunner().invoke(app, list(words), prog_name="learner")


@pytest.fixture
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    write_servers_file(folder)
    return folder


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
        (
            "--intake.max_message_bytes=2000",
            "intake.max_message_bytes is 2000, but a group of environment reverse takes up to 3952",
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


@pytest.mark.parametrize("verb", ["run", "sft", "open", "coordinator", "trainer"])
def test_servers_are_found_in_the_directory_that_is_named(verb, started, tmp_path):
    words = [verb, "--name", "mine", "--directory", str(tmp_path), "--dry-run"]
    result = invoke(*words, "--servers", str(started))
    assert result.exit_code == 0
    assert 'connection.nats = "nats://127.0.0.1:5001"' in result.stdout
    result = invoke(*words, "--servers", str(started), "--connection.nats", "nats://b:1")
    assert 'connection.nats = "nats://b:1"' in result.stdout


@pytest.mark.parametrize("verb", ["metrics", "report", "replay"])
def test_the_servers_of_a_run_that_is_looked_at_are_found_too(verb, started, tmp_path):
    words = [verb, "mine", "--directory", str(tmp_path), "--dry-run", "--servers", str(started)]
    result = invoke(*words)
    assert result.exit_code == 0
    assert 'connection.nats = "nats://127.0.0.1:5001"' in result.stdout


def test_a_directory_without_servers_is_said_with_what_to_do(tmp_path):
    result = invoke("open", "--name", "mine", "--servers", str(tmp_path / "none"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"no servers were started in {tmp_path}/none" in result.stderr
    assert f"`broker up --servers {tmp_path}/none`" in result.stderr
    assert "with --connection.nats" in result.stderr
