"""Two daemons never share a home."""

import os

import pytest

from actors.instance_lock import instance_lock
from schemas.errors import UserError


def test_the_second_one_is_told_who_is_there(tmp_path):
    told = rf"process {os.getpid()}\) works in .*--home"
    with (
        instance_lock(tmp_path / "home"),
        pytest.raises(UserError, match=told),
        instance_lock(tmp_path / "home"),
    ):
        pass
    with instance_lock(tmp_path / "home"):
        pass


def test_a_home_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot write to the actor's home"),
        instance_lock(tmp_path / "file"),
    ):
        pass
