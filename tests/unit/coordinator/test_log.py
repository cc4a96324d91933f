"""Entries fit into a message, whatever a round decides."""

import pytest

from learner.coordinator import log
from learner.coordinator.cutter import dropped
from schemas import ledger
from schemas.wire import decode, encode


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


def test_no_entry_has_more_events_than_its_readers_take():
    events = tuple(expired(number) for number in range(ledger.MAX_ENTRY_EVENTS + 1))
    split = [data for _, data in log.entries("c1", events)]
    read = [decode(data, ledger.LedgerEntry).events for data in split]
    assert tuple(event for part in read for event in part) == events
    assert len(split) == 2


def test_leases_of_more_groups_than_an_event_holds_are_several_events():
    stale = range(ledger.MAX_DROPPED + 1)
    events = dropped(3, stale)
    assert [len(event.lease_ids) for event in events] == [ledger.MAX_DROPPED, 1]
    assert [lease_id for event in events for lease_id in event.lease_ids] == list(stale)


def test_events_that_fit_are_one_entry():
    events = tuple(expired(number) for number in range(1000))
    assert [entry.events for entry, _ in log.entries("c1", events)] == [events]
