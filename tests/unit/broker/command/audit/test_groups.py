"""Every accepted group is in a batch, waiting, without signal, or dropped as stale."""

import pytest

from broker.audit import Check
from schemas.ledger import GroupAccepted, GroupsDropped
from tests.support import hand_built
from tests.support.corrupted import expect_violation, more, third_batch, without

CORRUPTIONS = {
    "a group is trained on that was never accepted": (
        without(GroupAccepted, lease_id=7),
        Check.GROUPS,
        "in a batch but never accepted: lease 7",
    ),
    "a group is dropped twice": (
        more(GroupsDropped(step=4, lease_ids=(4,))),
        Check.GROUPS,
        "dropped twice: lease 4",
    ),
    "a group is dropped that was never accepted": (
        more(GroupsDropped(step=4, lease_ids=(9,))),
        Check.GROUPS,
        "dropped but never accepted: lease 9",
    ),
    "a dropped group is trained on": (
        third_batch((hand_built.row(hand_built.accepted(5, 4, 0)),)),
        Check.GROUPS,
        "in a batch and dropped as stale: lease 4",
    ),
    "a group without signal is trained on": (
        third_batch((hand_built.row(hand_built.accepted(4, 3, 0, (1.0, 1.0))),)),
        Check.GROUPS,
        "in a batch though without signal: lease 3",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_named(name: str) -> None:
    expect_violation(*CORRUPTIONS[name])
