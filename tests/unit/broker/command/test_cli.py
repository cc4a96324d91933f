import json
import socket
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner, Result

from broker.cli import app
from broker.program.command import application
from schemas.errors import ServerMissing
from tests.support.servers import write_servers_file

pytestmark = pytest.mark.usefixtures("default_logs")

LOOKING = [
    *("status", "ls", "info", "subjects", "consumers", "lag", "refused", "peek", "why", "audit"),
    "doctor",
]
VERBS = [*LOOKING, "up", "down", "init", "tail", "backup", "restore", "bench"]


def broker(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), prog_name="broker")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(verb: str) -> None:
    result = broker(verb, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


@pytest.mark.parametrize("verb", LOOKING)
def test_every_look_can_be_taken_again_and_again(verb: str) -> None:
    words = [verb, "7", "--watch"] if verb in ("why", "info") else [verb, "--watch"]
    result = broker(*words, "--servers", "/nowhere")
    # The option may stand alone; what is wrong is where the servers are.
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("broker: no servers were started in /nowhere")


def test_help_imports_nothing_heavy() -> None:
    heavy = {"nats", "boto3", "rich.console", "structlog", "zstandard"}
    code = f"import sys, broker.cli; sys.exit(bool({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ["down"],
        ["status"],
        ["init", "--name", "demo"],
        ["ls"],
        ["info", "s0"],
        ["subjects"],
        ["consumers"],
        ["lag"],
        ["refused"],
        ["tail"],
        ["peek"],
        ["why", "7"],
        ["audit"],
        ["backup", "demo", "there"],
        ["restore", "there"],
    ],
)
def test_without_servers_there_is_one_sentence(tmp_path, words: list[str]) -> None:
    result = broker(*words, "--servers", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"broker: no servers were started in {tmp_path}/none")
    assert result.stderr.count("\n") == 1


def test_what_is_left_of_a_servers_file_is_one_sentence(tmp_path) -> None:
    (tmp_path / "servers.json").write_text("{}")
    result = broker("ls", "--servers", str(tmp_path))
    assert result.exit_code == 2
    assert "does not say what runs here" in result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["init", "--intake.shard", "s0"], "unknown setting intake.shard"),
        (["init", "@", "nowhere.toml"], "cannot read nowhere.toml"),
        (["ls", "--settings", "nowhere.toml"], "cannot read nowhere.toml"),
    ],
)
def test_wrong_settings_are_one_sentence(words: list[str], sentence: str) -> None:
    result = broker(*words)
    assert result.exit_code == 2
    assert sentence in result.stderr


PORTS = ("-1", "0", "65536", "99999", "http")


@pytest.mark.parametrize(
    "words",
    [
        ["peek", "--last", "0"],
        ["why"],
        ["ls", "a", "b"],
        ["nope"],
        *(["up", option, port] for option in ("--nats-port", "--s3-port") for port in PORTS),
    ],
    ids=" ".join,
)
def test_a_wrong_use_is_one_sentence(words: list[str]) -> None:
    result = broker(*words)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4222", "not a url", "nats://127.0.0.1:99999", "nats://:1", "me:pw@:0"]
)
@pytest.mark.parametrize("verb", ["ls", "status"])
def test_what_is_no_url_of_a_nats_server_is_one_sentence(tmp_path, verb: str, url: str) -> None:
    result = broker(verb, "--nats", url, "--servers", str(tmp_path))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "is no URL of a NATS server" in result.stderr
    assert "pw" not in result.stderr


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_where_the_servers_should_be_is_one_sentence(tmp_path, place: str) -> None:
    (tmp_path / "file").write_text("")
    result = broker("up", "--servers", str(tmp_path / place))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"{tmp_path}/file is " in result.stderr


def test_the_servers_have_a_port_each(tmp_path) -> None:
    ports = ("--nats-port", "12345", "--s3-port", "12345")
    result = broker("up", "--servers", str(tmp_path), *ports)
    assert result.stderr == "broker: both servers cannot have port 12345\n"


def test_a_nats_server_alone_is_asked_alone() -> None:
    """Nobody has said where object storage is, so nothing is said of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{free.getsockname()[1]}"
        result = broker("status", "--nats", url, "--json")
    assert result.exit_code == 1
    (server,) = json.loads(result.stdout)["servers"]
    assert (server["server"], server["url"], server["answers"]) == ("NATS JetStream", url, False)


def test_servers_that_do_not_run_are_named_and_so_is_how_to_start_them(tmp_path) -> None:
    write_servers_file(tmp_path)
    result = broker("tail", "--servers", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "broker: no NATS server answers at nats://127.0.0.1:5001 (Connection refused); "
        f"start it with `broker up --servers {tmp_path}`\n"
    )


def test_status_says_how_to_start_each_of_them(tmp_path, monkeypatch) -> None:
    write_servers_file(tmp_path)
    (tmp_path / "s3.json").write_text('{"access_key": "a", "secret_key": "b"}')
    (tmp_path / "s3.json").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    result = broker("status", "--json", "--servers", str(tmp_path))
    assert result.exit_code == 1
    for server in json.loads(result.stdout)["servers"]:
        assert server["detail"].endswith(f"; start it with `broker up --servers {tmp_path}`")


def test_an_actor_is_not_told_to_start_somebody_elses_server(app_of_actors) -> None:
    """Its verbs have no --servers."""
    result = CliRunner().invoke(app_of_actors, ["go"], prog_name="actor")
    assert result.stderr == "actor: no NATS server answers at nats://127.0.0.1:1 (refused)\n"


@pytest.fixture
def app_of_actors() -> typer.Typer:
    app = application("A toy.")

    @app.command()
    def go() -> None:
        raise ServerMissing(
            "no NATS server answers at nats://127.0.0.1:1 (refused)", nobody_at="nats://127.0.0.1:1"
        )

    @app.command()
    def stay() -> None: ...

    return app
