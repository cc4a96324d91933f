"""Where the servers are: what is said comes before what is found."""

import pytest
from msgspec.structs import replace

from broker.addresses import find_connection
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
