"""What servers have counted for long is nobody's flood, whichever of them starts or is late."""

from broker.gate.counts import Counts
from broker.gate.meter import FloodLimits, Meter, Traffic


def said(num_messages):
    return {"alice": Traffic(num_messages=num_messages, num_bytes=10 * num_messages)}


def test_a_gate_that_is_started_counts_from_there():
    counts = Counts()
    counts.enter("one", said(5000))
    assert counts.of("alice") == Traffic()
    counts.enter("one", said(5001))
    assert counts.of("alice") == Traffic(num_messages=1, num_bytes=10)


def test_who_comes_to_a_server_that_is_known_is_counted_from_the_first_message():
    counts = Counts()
    counts.enter("one", {})
    counts.enter("one", said(7))
    assert counts.of("alice").num_messages == 7


def test_a_server_that_is_late_is_counted_when_it_answers():
    counts = Counts()
    for server in ("one", "two"):
        counts.enter(server, said(5000))
    counts.enter("one", said(5001))
    counts.enter("one", said(5002))
    counts.enter("two", said(5010))
    assert counts.of("alice").num_messages == 12


def test_a_server_of_several_that_is_started_again_takes_nothing_off_and_adds_nothing():
    counts = Counts()
    for server in ("one", "two"):
        counts.enter(server, said(5000))
    counts.enter("two", said(5001))
    counts.enter("one started again", said(3))
    assert counts.of("alice").num_messages == 1
    counts.enter("one started again", said(5))
    assert counts.of("alice").num_messages == 3


def test_what_a_server_has_forgotten_is_counted_from_nothing():
    counts = Counts()
    counts.enter("one", said(5000))
    counts.enter("one", said(2))
    assert counts.of("alice").num_messages == 2


def test_nobody_floods_because_a_gate_or_a_server_was_started():
    counts, meter = Counts(), Meter(FloodLimits())
    looks = ({"one": 90_000, "two": 5000}, {"one": 90_001}, {"two": 5001}, {"one again": 4000})
    for number, look in enumerate(looks):
        for server, num_messages in look.items():
            counts.enter(server, said(num_messages))
        assert not meter.look(0.2 * number, {"alice": counts.of("alice")})
