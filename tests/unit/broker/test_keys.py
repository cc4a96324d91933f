"""Key and credential files: private, never overwritten, refused when others can read them."""

import errno
import os
import stat
import subprocess
import sys

import nkeys
import pytest

from broker.actor_key import ActorKey
from broker.objects.credentials import Credentials, read_credentials, write_credentials
from broker.policies.signing import RunKey, verify
from broker.program.private_file import write_private
from schemas import names
from schemas.errors import SignatureInvalid, UserError


@pytest.mark.parametrize("kind", [RunKey, ActorKey])
def test_a_key_is_saved_for_its_owner_alone_and_loads_again(kind, tmp_path):
    key = kind.generate()
    key.save(tmp_path / "key")
    assert stat.S_IMODE(os.stat(tmp_path / "key").st_mode) == 0o600
    assert kind.load(tmp_path / "key").public == key.public
    assert kind.generate().public != key.public


@pytest.mark.parametrize("kind", [RunKey, ActorKey])
def test_a_key_is_never_overwritten(kind, tmp_path):
    key = kind.generate()
    key.save(tmp_path / "key")
    with pytest.raises(UserError, match="already there"):
        kind.generate().save(tmp_path / "key")
    assert kind.load(tmp_path / "key").public == key.public
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


KILLED_AT_EACH_LINE = """
import os, sys
from itertools import count
from pathlib import Path
from broker.program import private_file

def killed_at(moment, folder):
    "Write a key in a process that ends at its moment-th line; False: it got through."
    left = moment
    def trace(frame, event, arg):
        nonlocal left
        if frame.f_code.co_filename == private_file.__file__ and event == "line":
            left -= 1
            if left == 0:
                os._exit(9)
        return trace
    process = os.fork()
    if not process:
        sys.settrace(trace)
        private_file.write_private(folder / "key", b"first")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9

for moment in count(1):
    folder = Path(sys.argv[1], str(moment))
    folder.mkdir()
    if not killed_at(moment, folder):
        break
"""


def test_a_kill_at_any_line_leaves_the_whole_key_or_none(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED_AT_EACH_LINE, tmp_path], check=True)
    found = [(folder / "key").exists() for folder in tmp_path.iterdir()]
    assert set(found) == {True, False}
    for folder in tmp_path.iterdir():
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
        if not (folder / "key").exists():
            write_private(folder / "key", b"second")
            assert [path.name for path in folder.iterdir()] == ["key"]
        assert (folder / "key").read_bytes() in (b"first", b"second")


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_a_disk_that_fails_leaves_nothing_behind(step, tmp_path, monkeypatch):
    def fails(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as failing:
        failing.setattr(os, step, fails)
        with pytest.raises(UserError, match=r"cannot write .*key: .* is full: free some space"):
            RunKey.generate().save(tmp_path / "key")
    assert not list(tmp_path.iterdir())
    RunKey.generate().save(tmp_path / "key")
    RunKey.load(tmp_path / "key")


def test_of_two_writers_the_slower_is_told_that_the_key_is_there(tmp_path, monkeypatch):
    link = os.link

    def late(*args):
        monkeypatch.setattr(os, "link", link)
        write_private(tmp_path / "key", b"first")
        link(*args)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(UserError, match="already there"):
        write_private(tmp_path / "key", b"second")
    assert (tmp_path / "key").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
@pytest.mark.parametrize("kind", [RunKey, ActorKey])
def test_a_key_that_others_can_read_is_refused_with_the_remedy(kind, mode, tmp_path):
    kind.generate().save(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(UserError, match=r"chmod 600 .*key"):
        kind.load(tmp_path / "key")


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"0" * 63, b"zz" * 32, b"SUAM"])
@pytest.mark.parametrize("kind", [RunKey, ActorKey])
def test_a_file_that_holds_no_key_is_refused(kind, content, tmp_path):
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UserError, match="does not hold"):
        kind.load(path)


def test_a_missing_key_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*: No such file"):
        RunKey.load(tmp_path / "key")


def test_an_actors_id_is_an_account_key_and_a_valid_token():
    public = ActorKey.generate().public
    assert len(public) == 56
    assert public.startswith("A")
    assert names.token(public) == public


def test_a_users_nkey_is_no_actors_key(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
    path.chmod(0o600)
    with pytest.raises(UserError, match="another kind"):
        ActorKey.load(path)


def test_credentials_read_back_and_do_not_print_their_secret(tmp_path):
    credentials = Credentials(access_key="us", secret_key="hush")
    write_credentials(tmp_path / "s3.json", credentials)
    assert read_credentials(tmp_path / "s3.json") == credentials
    assert "hush" not in repr(credentials)
    (tmp_path / "s3.json").chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        read_credentials(tmp_path / "s3.json")


def test_credentials_of_another_form_are_refused(tmp_path):
    (tmp_path / "s3.json").write_bytes(b'{"access_key": "us"}')
    (tmp_path / "s3.json").chmod(0o600)
    with pytest.raises(UserError, match="not a credentials file"):
        read_credentials(tmp_path / "s3.json")


def test_a_signature_holds_for_its_key_and_its_bytes_only():
    key = RunKey.generate()
    signature = key.sign(b"words")
    verify(key.public, b"words", signature)
    for run_key, data, forged in [
        (RunKey.generate().public, b"words", signature),
        (key.public, b"word", signature),
        (key.public, b"words", bytes(64)),
        ("not hex", b"words", signature),
        ("00", b"words", signature),
    ]:
        with pytest.raises(SignatureInvalid):
            verify(run_key, data, forged)
