"""Where the servers are: what is said comes before what is found."""

import pytest
from msgspec.structs import replace

from broker.addresses import SERVERS_DIRECTORY, find_connection, how_to_start
from schemas.errors import ServerMissing, UserError
from schemas.settings import Connection
from tests.support.servers import write_servers_file

DEFAULT = Connection()


@pytest.fixture
def folder(tmp_path):
    write_servers_file(tmp_path)
    return tmp_path


def test_started_servers_are_found_where_nothing_is_said(folder):
    found = find_connection(["--seed", "1"], directory=folder)
    assert found.nats.endswith(":5001")
    assert found.s3.endswith(":5002")


def test_what_is_said_counts_even_where_it_is_the_default(folder, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(f'[connection]\nnats = "{DEFAULT.nats}"\n')
    for said in (["@", str(file)], ["--connection.nats", DEFAULT.nats]):
        assert find_connection(said, directory=folder).nats == DEFAULT.nats


def test_what_is_not_said_is_that_of_the_started_servers(folder, tmp_path):
    found = find_connection(["--connection.bucket", "mine"], directory=folder)
    assert found == replace(find_connection(directory=folder), bucket="mine")
    found = find_connection(["--connection.bucket", "mine"], directory=tmp_path / "empty")
    assert found == Connection(bucket="mine")


def test_one_address_overrides_all_of_them(folder, tmp_path):
    url = "nats://elsewhere:4222"
    assert find_connection(nats=url, directory=folder).nats == url
    assert find_connection(nats=url, directory=folder).s3.endswith(":5002")
    assert find_connection(nats=url, directory=tmp_path / "empty") == Connection(nats=url)
    assert (
        find_connection(["--connection.nats", "nats://a"], nats=url, directory=folder).nats == url
    )


def test_nothing_said_and_nothing_started_is_one_sentence(tmp_path):
    with pytest.raises(ServerMissing, match=f"broker up --servers {tmp_path}`"):
        find_connection(directory=tmp_path)


def test_a_damaged_file_is_no_reason_to_take_the_defaults(folder):
    (folder / "servers.json").write_text("{}")
    with pytest.raises(UserError, match="does not say what runs here"):
        find_connection(["--connection.bucket", "mine"], directory=folder)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("nats://127.0.0.1:5001", "; start it with `broker up --servers {folder}`"),
        ("http://127.0.0.1:5002", "; start it with `broker up --servers {folder}`"),
        # Somebody else's, perhaps, on this machine; and surely, on another one.
        ("nats://127.0.0.1:5003", "; start it with `broker up` (add --servers DIR if it was"),
        ("nats://broker.example.org:5001", ""),
    ],
)
def test_who_named_the_servers_is_told_how_to_start_them(folder, url, advice):
    assert how_to_start(url, folder).startswith(advice.format(folder=folder))
    assert bool(how_to_start(url, folder)) == bool(advice)


def test_where_nothing_was_started_a_command_can_still_be_named(tmp_path):
    assert "`broker up` (add" in how_to_start("nats://localhost", tmp_path)
    (tmp_path / "servers.json").write_text("{}")
    assert "`broker up` (add" in how_to_start("nats://localhost", tmp_path)
    assert "--servers" in how_to_start("localhost", SERVERS_DIRECTORY)
