"""The `actor` command as a person and a script meet it."""

import json
import subprocess
import sys

import msgspec
import pytest
from typer.testing import CliRunner

from actors import reach
from actors.cli import app
from actors.instance_lock import instance_lock
from environments.catalogue import open_environment
from schemas.run_card import RunCard, write_run_card
from schemas.settings import EnvironmentSettings

RUNNER = CliRunner()
ENVIRONMENT = open_environment(EnvironmentSettings()).ref
CARD = RunCard(run="demo", nats="nats://127.0.0.1:1", run_key="0" * 64, environment=ENVIRONMENT)


@pytest.fixture
def card(tmp_path):
    path = tmp_path / "run.json"
    write_run_card(path, CARD)
    return path


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def run(*arguments: object):
    return RUNNER.invoke(app, [str(argument) for argument in arguments])


def test_help_imports_neither_torch_nor_nats():
    code = (
        "import sys; from typer.testing import CliRunner; from actors.cli import app\n"
        "for verb in ([], ['start'], ['check'], ['id']):\n"
        "    assert CliRunner().invoke(app, [*verb, '--help']).exit_code == 0\n"
        "assert not {'torch', 'nats', 'httpx', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_id_is_made_once(home):
    first, second = run("id", "--home", home), run("id", "--home", home)
    assert first.exit_code == 0
    assert first.stdout == second.stdout
    assert first.stdout.startswith("A")
    assert len(first.stdout.strip()) == 56
    assert (home / "actor.key").stat().st_mode & 0o077 == 0


def test_a_script_gets_the_id_as_json(home):
    assert json.loads(run("id", "--json", "--home", home).stdout) == {
        "id": run("id", "--home", home).stdout.strip()
    }


def test_a_key_that_others_can_read_is_refused(home):
    run("id", "--home", home)
    (home / "actor.key").chmod(0o644)
    refused = run("id", "--home", home)
    assert refused.exit_code == 2
    assert "chmod 600" in refused.stderr


def test_a_dry_run_prints_the_settings(card, home, tmp_path):
    (tmp_path / "a.toml").write_text("max_leases = 2\ndrain_s = 3\n")
    shown = run("start", card, "@", tmp_path / "a.toml", "--max_leases", 7, "--dry-run")
    assert shown.exit_code == 0
    assert "max_leases = 7" in shown.stdout
    assert "drain_s = 3.0" in shown.stdout
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max_leases", "0"], "max_leases"),
        (["--max_lease", "3"], "the nearest is max_leases"),
    ],
)
def test_a_start_that_cannot_be_is_one_sentence(card, home, arguments, words):
    refused = run("start", card, "--home", home, *arguments)
    assert refused.exit_code == 2
    assert words in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_second_actor_in_one_home_is_refused(card, home):
    with instance_lock(home):
        refused = run("start", card, "--home", home)
    assert refused.exit_code == 2
    assert "another actor" in refused.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "elsewhere"}, "here are only reverse"),
        ({"digest": "0" * 64}, f"here it is version 1 ({ENVIRONMENT.digest[:12]})"),
    ],
)
def test_an_environment_that_is_not_here_is_said_before_any_work(
    tmp_path, home, monkeypatch, change, words
):
    monkeypatch.setattr(reach, "_TIMEOUT_S", 0.2)
    wanted = msgspec.structs.replace(ENVIRONMENT, **change)
    card = tmp_path / "other.json"
    write_run_card(card, msgspec.structs.replace(CARD, environment=wanted))
    named = f"the run needs environment {wanted.id} version 1 (source digest {wanted.digest[:12]})"
    refused = run("start", card, "--home", home)
    assert refused.exit_code == 2
    (sentence,) = refused.stderr.strip().splitlines()
    checked = run("check", "--run", card, "--home", home)
    assert checked.exit_code == 1
    for said in (sentence, checked.stdout):
        assert named in said
        assert words in said
        assert "install the Tributary that the run was opened with" in said
    assert "tasks " not in checked.stdout


def test_an_address_that_is_none_is_said_before_any_wait(tmp_path, home):
    card = tmp_path / "other.json"
    write_run_card(card, msgspec.structs.replace(CARD, nats="bla bla"))
    refused = run("start", card, "--home", home)
    assert refused.exit_code == 2
    assert "'bla bla' is no URL of a NATS server" in refused.stderr


def test_check_measures_and_judges(card, home, monkeypatch):
    monkeypatch.setattr(reach, "_TIMEOUT_S", 0.2)
    found = run("check", "--home", home, "--json")
    machine = json.loads(found.stdout)
    assert machine["tokens_per_s"] > 0
    assert machine["engine"].startswith("torch")
    assert (found.exit_code == 0) == machine["can_contribute"] == (not machine["problems"])
    assert machine["environment"] == ""

    found = run("check", "--home", home, "--run", card)
    assert found.exit_code == 1
    assert "no NATS server answers" in found.stdout
    assert "It cannot contribute yet." in found.stdout
    tasks = f"tasks    reverse version 1 (source digest {ENVIRONMENT.digest[:12]}), installed here"
    assert tasks in found.stdout


def test_without_a_run_the_settings_may_follow_at_once(tmp_path):
    ended = run("start", "--home", str(tmp_path), "--max_leases", "2")
    assert ended.exit_code == 2
    assert "this machine has joined no run yet: `actor join LINK`" in ended.stderr


def test_a_run_that_was_not_joined_is_named_with_those_that_were(tmp_path):
    ended = run("start", "frist", "--home", str(tmp_path))
    assert ended.exit_code == 2
    assert "has joined no run called 'frist'" in ended.stderr


def test_what_is_no_invitation_says_how_one_looks(tmp_path):
    ended = run("join", "https://example.org", "--home", str(tmp_path))
    assert ended.exit_code == 2
    assert "one begins with tributary:join:" in ended.stderr or "no invitation" in ended.stderr


def test_leaving_what_was_not_joined_says_so(tmp_path):
    ended = run("leave", "first", "--home", str(tmp_path / "home"))
    assert ended.exit_code == 2
    assert "has joined no run called 'first'" in ended.stderr
