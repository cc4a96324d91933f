"""What the purging verbs ask and say; a coordinator in the same process answers."""

import io
import sys

import pytest

from broker import removal
from broker.look import removal_view
from broker.verbs import purge as verbs
from schemas import names
from schemas.errors import UserError
from schemas.policy import PolicyId
from schemas.purge import PurgeReason, PurgeRequest
from tests.support.intake_stage import Stage

ALL = PurgeRequest(run="test", reason=PurgeReason.PURGED)


@pytest.fixture
async def stage():
    stage = Stage()
    await stage.open()
    purging = stage.coordinator.purging
    await stage.world.broker.serve(names.purge_subject("test"), purging.answer)
    await stage.world.broker.serve(names.let_in_subject("test"), purging.let_in)
    await stage.noise("MALLORY", 3)
    await stage.noise("ALICE", 1)
    return stage


async def test_a_look_says_messages_and_bytes_by_subject(stage, capsys):
    looked = await removal.look(stage.world.broker, ALL)
    assert (looked.num_messages, looked.num_bytes, looked.done) == (4, 34, False)
    removal_view.show_look(looked)
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "Queue s0, up to sequence 4",
        "subject messages about",
        "rollouts.test.s0.1-0.MALLORY 3 27 B",
        "rollouts.test.s0.1-0.ALICE 1 7 B",
        "4 messages without a verdict, about 34 B, would go from run test.",
    ]
    assert await stage.num_queued() == 4


async def test_what_is_removed_is_what_was_looked_at(stage, capsys):
    broker = stage.world.broker
    looked = await removal.look(broker, ALL)
    await stage.coordinator.round(max_messages=1)
    await stage.noise("MALLORY", 1, begin=3)
    removed = await removal.remove(broker, ALL, looked)
    assert (removed.num_messages, removed.done) == (3, True)
    assert await stage.num_queued() == 1
    capsys.readouterr()
    removal_view.show_done(looked, removed)
    assert capsys.readouterr().out == (
        "3 messages went, and LOG tells which; 1 of those above had got a verdict.\n"
    )


async def test_what_the_coordinator_refuses_is_one_sentence(stage):
    asked = PurgeRequest(run="test", reason=PurgeReason.PURGED, shard="s9")
    with pytest.raises(UserError, match="the coordinator refuses: there is no shard s9"):
        await removal.look(stage.world.broker, asked)
    with pytest.raises(UserError, match="ALICE is not cut off"):
        await removal.let_in(stage.world.broker, "test", "ALICE")


async def test_without_a_coordinator_it_says_so(stage):
    await stage.world.broker.close()
    stage.world.server.servants.clear()
    with pytest.raises(UserError, match="nobody coordinates run test"):
        await removal.look(stage.coordinator.broker, ALL)


async def look(stage) -> removal.Removal:
    return await removal.look(stage.world.broker, ALL)


@pytest.mark.parametrize(("typed", "is_done"), [("4\n", True), ("3\n", False), ("\n", False)])
async def test_the_number_that_goes_is_to_be_typed(stage, monkeypatch, capsys, typed, is_done):
    looked = await look(stage)
    keys = io.StringIO(typed)
    keys.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", keys)
    if is_done:
        verbs._confirm(looked)
    else:
        with pytest.raises(UserError, match="nothing is removed"):
            verbs._confirm(looked)
    assert capsys.readouterr().err == "Type 4 to do it: "


async def test_without_a_terminal_nobody_is_asked(stage, monkeypatch):
    looked = await look(stage)
    monkeypatch.setattr(sys, "stdin", io.StringIO("4\n"))
    with pytest.raises(UserError, match="--yes"):
        verbs._confirm(looked)


def test_a_policy_is_its_incarnation_and_version():
    assert verbs._policy("1-7") == PolicyId(1, 7)
    assert verbs._policy("") is None
    with pytest.raises(UserError, match="incarnation and version"):
        verbs._policy("7")


def test_a_name_that_smuggles_a_wildcard_is_refused():
    with pytest.raises(UserError, match="--actor"):
        verbs._named("*", "actor")
