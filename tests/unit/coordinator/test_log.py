"""Entries fit into a message, whatever a round decides."""

import pytest

from learner.coordinator import log
from schemas import ledger
from schemas.wire import encode


def expired(number: int) -> ledger.LeaseExpired:
    return ledger.LeaseExpired(lease_id=number)


@pytest.mark.parametrize("max_bytes", [60, 100, 500])
def test_events_that_are_too_many_for_one_entry_become_several(monkeypatch, max_bytes):
    monkeypatch.setattr(log, "_MAX_ENTRY_BYTES", max_bytes)
    events = tuple(expired(number * 7919) for number in range(200))
    split = list(log.entries("c1", events))
    assert tuple(event for entry, _ in split for event in entry.events) == events
    assert all(len(data) <= max_bytes or len(entry.events) == 1 for entry, data in split)
    assert all(data == encode(entry) for entry, data in split)
    assert len(split) > 1


def test_events_that_fit_are_one_entry():
    events = tuple(expired(number) for number in range(1000))
    assert [entry.events for entry, _ in log.entries("c1", events)] == [events]
