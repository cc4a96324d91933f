"""Finished groups outlive the process, and a bounded number of bytes of them is kept."""

import asyncio
import errno
import os

import pytest

from actors.spool import Spool, Spooled
from broker.changes import Changes
from schemas.names import rollouts_subject

SUBJECT = rollouts_subject("demo", "s0", (1, 7), "ALICE")


def group(lease_id: int, data: bytes = b"data") -> Spooled:
    return Spooled(lease_id=lease_id, subject=SUBJECT, data=data)


def open_spool(folder, max_bytes=1 << 20):
    return Spool(folder, max_bytes, Changes())


async def test_groups_outlive_the_process(tmp_path):
    spool = open_spool(tmp_path)
    for lease_id in (10, 9, 11):
        await spool.put(group(lease_id, data=bytes([lease_id])))
    spool.remove(group(11, data=bytes([11])))
    assert open_spool(tmp_path).groups() == (group(9, b"\x09"), group(10, b"\x0a"))


async def test_what_earlier_processes_left_is_told_apart_until_it_is_published(tmp_path):
    earlier = open_spool(tmp_path)
    for lease_id in (5, 7):
        await earlier.put(group(lease_id))
    assert earlier.inherited() == ()
    spool = open_spool(tmp_path)
    await spool.put(group(9))
    assert spool.inherited() == (5, 7)
    spool.remove(group(5))
    assert spool.inherited() == (7,)


async def test_half_a_file_is_no_group(tmp_path):
    await open_spool(tmp_path).put(group(1))
    (tmp_path / ".half").write_bytes(b"da")
    (tmp_path / "notes.txt").write_text("mine")
    assert open_spool(tmp_path).groups() == (group(1),)
    assert not (tmp_path / ".half").exists()
    assert (tmp_path / "notes.txt").exists()


async def test_room_comes_when_a_group_leaves(tmp_path):
    spool = open_spool(tmp_path, max_bytes=4)
    await spool.room()
    await spool.put(group(1))
    assert spool.full
    waiting = asyncio.create_task(spool.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    spool.remove(group(1))
    async with asyncio.timeout(1):
        await waiting


async def test_a_full_disk_keeps_the_group_in_memory(tmp_path, monkeypatch):
    spool = open_spool(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    await spool.put(group(1))
    assert spool.groups() == (group(1),)
    assert list(tmp_path.iterdir()) == []
    spool.remove(group(1))
    assert spool.groups() == ()


@pytest.mark.parametrize("name", ["1.elsewhere", "x.rollouts.demo.s0.1-7.ALICE", "1"])
def test_other_files_are_left_alone(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert open_spool(tmp_path).groups() == ()
    assert (tmp_path / name).exists()
