"""Which actor a verb is about."""

import pytest
from msgspec.structs import replace

from broker.accounts.roster import Roster
from broker.look.who import actors_of, called_in, the_actor
from schemas.errors import UserError
from schemas.ledger import ActorCutOff
from tests.support import hand_built
from tests.support.runs import SyntheticRun

KNOWN = {"UALICE", "UBOB", "UBORIS"}
CALLED = {"carol": "UCAROL"}
KEY = "A" * 56


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("UBOB", "UBOB"),
        ("UA", "UALICE"),
        ("UALI…", "UALICE"),
        ("carol", "UCAROL"),
        ("UC", "UCAROL"),
        (KEY, KEY),
    ],
)
def test_an_id_its_beginning_or_a_name(typed: str, meant: str) -> None:
    assert the_actor(typed, KNOWN, CALLED) == meant


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("UBO", "2 actors begin with UBO: UBOB and UBORIS; type more of it"),
        ("UALISE", "the run has no actor UALISE; the nearest is UALICE"),
        ("carrol", "the nearest is carol"),
        ("*", "the run has no actor"),
    ],
)
def test_nobody_or_several_is_a_sentence(typed: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        the_actor(typed, KNOWN, CALLED)


def test_many_candidates_are_not_all_listed() -> None:
    with pytest.raises(UserError, match="U7 and 4 others; type more of it"):
        the_actor("U", {f"U{letter}" for letter in "0123456789AB"})


def test_names_are_those_of_the_roster(tmp_path) -> None:
    assert called_in("") == {}
    roster = Roster(tmp_path / "contributors")
    (tmp_path / "contributors").mkdir()
    roster.add(replace(hand_built.CONTRIBUTOR, actor=KEY))
    assert called_in(str(tmp_path)) == {"alice": KEY}


async def test_actors_are_whom_the_log_or_a_queue_names(broker) -> None:
    await broker.publish("rollouts.demo.s0.1-0.EVE", b"x")
    await broker.publish("rollouts.demo.s0.x.y", b"y")
    assert await actors_of(broker, "demo") == {"ALICE", "BOB", "EVE"}


async def test_who_did_nothing_but_was_cut_off_can_be_let_in() -> None:
    run = SyntheticRun()
    await run.open()
    await run.say(ActorCutOff(actor="MALLORY", change=0))
    assert await actors_of(run.broker, "synthetic") == {"MALLORY"}
