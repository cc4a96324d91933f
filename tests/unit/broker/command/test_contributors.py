"""`broker contributors`: who was invited, and what has come of it."""

import time

from msgspec.structs import replace

from broker.accounts.tier import Tier
from broker.look.contributors import Contributions, list_contributors, show_contributors
from broker.look.read_on import LogFold
from schemas import names
from schemas.ledger import LedgerEntry
from schemas.wire import encode
from tests.support import hand_built

ALICE = replace(hand_built.CONTRIBUTOR, joined=1.5)
BOB = replace(ALICE, name="bob", actor="BOB", tier=Tier.STRANGER, revoked=3.0, why="\x1b[31mflood")
CAROL = replace(ALICE, name="carol", actor="CAROL", joined=0.0)
DAVE = replace(CAROL, name="dave", actor="DAVE", expires=time.time() + 1000)
ELSEWHERE = replace(ALICE, name="eve", run="other")
EVERYBODY = [ALICE, BOB, CAROL, DAVE, ELSEWHERE]


async def listed(broker):
    log = LogFold("demo", Contributions)
    return await list_contributors(broker, log, "demo", EVERYBODY)


async def test_each_has_his_standing_and_what_came_of_it(broker):
    alice, bob, carol, dave = await listed(broker)
    assert [one.standing for one in (alice, bob, carol, dave)] == [
        "joined",
        "revoked",
        "expired",
        "invited",
    ]
    assert (alice.num_accepted, alice.num_refused) == (5, 1)
    assert (bob.num_accepted, bob.num_refused) == (2, 4)
    assert alice.num_bytes > 0
    assert alice.last_seen is not None
    assert (carol.last_seen, carol.num_accepted, carol.since) == (None, 0, None)


async def test_a_verdict_said_twice_counts_once(broker):
    before = await listed(broker)
    for content in hand_built.contents():
        if isinstance(content, LedgerEntry) and len(content.events) == 5:
            last = (await broker.state("LOG_demo")).last_sequence
            subject = names.ledger_subject("demo")
            await broker.append("LOG_demo", subject, encode(content), expected_last=last)
    after = await listed(broker)
    assert [one.num_refused for one in after] == [one.num_refused for one in before]
    assert [one.num_bytes for one in after] == [one.num_bytes for one in before]


async def test_the_table_shows_everybody_and_no_escapes(broker, capsys):
    show_contributors(await listed(broker))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert all(one.name in shown for one in EVERYBODY[:4])
    assert "1 joined, 1 revoked, 1 expired, 1 invited" in shown


def test_nobody_yet(capsys):
    show_contributors([])
    assert "broker invite NAME" in capsys.readouterr().out
