"""Batches follow one another; their rows are fresh, in one batch each, and as accepted."""

import pytest

from broker.audit import Check
from schemas.ledger import GroupsDropped
from schemas.policy import PolicyId
from tests.support import hand_built
from tests.support.corrupted import expect_violation, more, other_batch, other_row, third_batch

CORRUPTIONS = {
    "a group is in two batches": (
        third_batch((hand_built.row(hand_built.accepted(10, 8, 1)),)),
        Check.ONCE,
        "the group of lease 8 has 2 rows, in steps 2, 3",
    ),
    "a group is twice in one batch": (
        third_batch((hand_built.row(hand_built.accepted(12, 10, 2)),) * 2),
        Check.ONCE,
        "the group of lease 10 has 2 rows, in steps 3, 3",
    ),
    "a stale group is trained on": (
        third_batch((hand_built.row(hand_built.accepted(5, 4, 0)),)),
        Check.FRESH,
        "the group of lease 4 is in the batch of step 3 with version 0: staleness 2",
    ),
    "a group is trained on before its policy exists": (
        other_row(policy=PolicyId(1, 2)),
        Check.FRESH,
        "step 2 with version 2: staleness -1",
    ),
    "a fresh group is dropped": (
        more(GroupsDropped(step=3, lease_ids=(10,))),
        Check.FRESH,
        "the group of lease 10 was dropped as stale at step 3 with version 2: staleness 0",
    ),
    "a batch is missing": (
        lambda log: log[:3] + log[4:],
        Check.CHAIN,
        "step 2 follows step 0",
    ),
    "a batch names another before it": (
        other_batch(2, previous_sha256="f" * 64),
        Check.CHAIN,
        "step 2 names ffffffffffff as the batch before it",
    ),
    "a batch is changed after the next one": (
        other_batch(1, run="demo2"),
        Check.CHAIN,
        "as the batch before it",
    ),
    "a row has other bytes": (
        other_row(sha256="0" * 64),
        Check.ROWS,
        "step 2, lease 7: not as accepted: sha256",
    ),
    "a row lies elsewhere": (
        other_row(segment=f"1-{0:064}", offset=1, length=2),
        Check.ROWS,
        "step 2, lease 7: not as accepted: segment, offset, length",
    ),
    "a row has other advantages": (
        other_row(advantages=(1.0, -1.0)),
        Check.ROWS,
        "step 2, lease 7: not as accepted: advantages",
    ),
    "a row has an advantage too few": (
        other_row(advantages=(0.5,)),
        Check.ROWS,
        "step 2, lease 7: not as accepted: advantages",
    ),
    "a row is another actor's": (
        other_row(actor="MALLORY"),
        Check.ROWS,
        "step 2, lease 7: not as accepted: actor",
    ),
    "a row is cut before it is accepted": (
        lambda log: [*log[:7], log[8], log[7], *log[9:]],
        Check.ROWS,
        "step 2, lease 7: not as accepted: accepted only later",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_named(name: str) -> None:
    expect_violation(*CORRUPTIONS[name])
