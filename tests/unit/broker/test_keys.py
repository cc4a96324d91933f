"""Key and credential files: private, never overwritten, refused when others can read them."""

import os
import stat

import nkeys
import pytest

from broker.actor_key import ActorKey
from broker.objects.credentials import Credentials, read_credentials, write_credentials
from broker.policies.signing import RunKey, verify
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
