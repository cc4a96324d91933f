"""A mapping from lease to its end, in a few bytes a lease."""

import pytest

from learner.coordinator.ended import EndedLease, EndedLeases, LeaseEnd


def filled() -> EndedLeases:
    ended = EndedLeases()
    ended.add(5, LeaseEnd.EXPIRED, "BOB")
    ended.add(2, LeaseEnd.FULFILLED, "ALICE")
    ended.add(3, LeaseEnd.REFUSED, "BOB")
    return ended


def test_it_reads_like_a_mapping():
    ended = filled()
    assert {lease_id: ended[lease_id] for lease_id in ended} == {
        2: EndedLease(LeaseEnd.FULFILLED, "ALICE"),
        3: EndedLease(LeaseEnd.REFUSED, "BOB"),
        5: EndedLease(LeaseEnd.EXPIRED, "BOB"),
    }
    assert 4 not in ended
    assert ended.get(4) is None
    assert ended.get(1 << 53) is None
    with pytest.raises(KeyError):
        ended[4]


def test_equal_whatever_the_order_they_ended_in():
    other = EndedLeases()
    other.add(3, LeaseEnd.REFUSED, "BOB")
    other.add(2, LeaseEnd.FULFILLED, "ALICE")
    assert other != filled()
    other.add(5, LeaseEnd.EXPIRED, "BOB")
    assert other == filled()


def test_a_million_leases_are_a_few_megabytes():
    ended = EndedLeases()
    for lease_id in range(1_000_000):
        ended.add(lease_id, LeaseEnd.FULFILLED, "ALICE" if lease_id % 2 else "BOB")
    assert len(ended._end) + ended._actor.itemsize * len(ended._actor) == 5_000_000
    assert ended[999_999] == EndedLease(LeaseEnd.FULFILLED, "ALICE")
