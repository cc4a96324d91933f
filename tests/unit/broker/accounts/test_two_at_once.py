"""Two processes, or one that was ended before its end, that make an operator's keys in a folder."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from broker.accounts.access import SERVER_CONFIG, found_authority, make_credentials
from broker.accounts.credentials import Credentials
from broker.accounts.keyring import Keyring, is_keyring
from schemas.errors import UserError

NUM_AT_ONCE, NUM_ROUNDS = 8, 10


def at_once(do):
    """What each of several, who begin at the same moment, returns. A lock is of the opened file:
    threads wait for each other as processes do."""
    barrier = Barrier(NUM_AT_ONCE)

    def begin(_):
        barrier.wait()
        return do()

    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        return list(pool.map(begin, range(NUM_AT_ONCE)))


def test_all_have_the_same_keys(tmp_path):
    for number in range(NUM_ROUNDS):
        folder = tmp_path / str(number)
        opened = at_once(lambda folder=folder: Keyring.open(folder))
        there = Keyring.load(folder)
        assert {(one.accounts, one.signer) for one in opened} == {(there.accounts, there.signer)}


def test_each_of_the_credentials_is_made_by_one_of_them(tmp_path):
    for number in range(NUM_ROUNDS):
        folder = tmp_path / str(number)
        keyring = Keyring.open(folder)
        made = at_once(lambda k=keyring, f=folder: make_credentials(k, f, "demo", ("s0",)))
        assert sorted(map(len, made)) == [0] * (NUM_AT_ONCE - 1) + [6]
        for path in folder.rglob("*.creds"):
            Credentials.load(path)


def test_one_founds_and_the_others_find_all_of_it(tmp_path):
    for number in range(NUM_ROUNDS):
        folder = tmp_path / str(number) / "accounts"

        def found(folder=folder):
            is_new = found_authority(str(folder))
            return is_new, (folder / SERVER_CONFIG).read_text()

        said = at_once(found)
        assert [is_new for is_new, _ in said].count(True) == 1
        assert len({text for _, text in said}) == 1
        assert [path.name for path in folder.parent.iterdir()] == ["accounts"]


def test_a_key_that_could_not_be_written_is_said_and_made_the_next_time(tmp_path):
    folder = tmp_path / "accounts"
    folder.mkdir()
    (folder / "signer.nk").symlink_to(tmp_path / "nowhere" / "signer.nk")
    for _ in range(2):
        with pytest.raises(UserError, match=r"signer\.nk"):
            Keyring.open(folder)
        assert not is_keyring(folder)
    (folder / "signer.nk").unlink()
    assert Keyring.open(folder).signer


def test_who_was_ended_while_he_founded_is_followed_by_one_who_goes_on(tmp_path, monkeypatch):
    folder = tmp_path / "accounts"
    with monkeypatch.context() as patch:
        patch.setattr("broker.accounts.access.write_server_config", full)
        with pytest.raises(OSError, match="No space"):
            found_authority(str(folder))
    signer = Keyring.load(folder).signer
    assert found_authority(str(folder))
    assert Keyring.load(folder).signer == signer
    assert (folder / SERVER_CONFIG).exists()
    assert not found_authority(str(folder))


def full(*_):
    raise OSError(28, "No space left on device")


def test_a_folder_that_is_not_the_operators_is_left_alone(tmp_path):
    (tmp_path / "credentials").mkdir()
    assert not found_authority(str(tmp_path))
    assert not is_keyring(tmp_path)
