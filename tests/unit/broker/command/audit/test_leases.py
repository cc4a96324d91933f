"""Every lease that was issued ends once, by its holder."""

import pytest
from msgspec.structs import replace

from broker.audit import Check
from schemas.ledger import GroupAccepted, LeaseExpired
from tests.support import hand_built
from tests.support.corrupted import changed, expect_violation, more, other

CORRUPTIONS = {
    "a lease is not issued": (
        lambda log: changed(log, lambda event: None if event == hand_built.issued(6) else event),
        Check.LEASES,
        "lease 6 is abandoned and was never issued",
    ),
    "a lease ends twice": (
        more(LeaseExpired(lease_id=0)),
        Check.LEASES,
        "lease 0 ended 2 times: fulfilled, expired",
    ),
    "a lease is answered twice": (
        more(replace(hand_built.accepted(12, 0, 2), sequence=13)),
        Check.LEASES,
        "lease 0 ended 2 times: fulfilled, fulfilled",
    ),
    "a lease is fulfilled by a stranger": (
        other(GroupAccepted, {"lease_id": 10}, actor="MALLORY"),
        Check.LEASES,
        "lease 10 is ALICE's and was fulfilled by MALLORY",
    ),
    "a group is smaller than its lease": (
        other(GroupAccepted, {"lease_id": 10}, rewards=(1.0,)),
        Check.LEASES,
        "lease 10 asks for 2 rollouts, 1 were accepted",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_named(name: str) -> None:
    expect_violation(*CORRUPTIONS[name])
