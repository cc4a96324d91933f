"""Floods are told from honest traffic by rate alone."""

from hypothesis import given
from hypothesis import strategies as st

from broker.gate.meter import FloodLimits, Meter, Traffic

LIMITS = FloodLimits(
    messages_per_s=10,
    burst_messages=50,
    bytes_per_s=1000,
    burst_bytes=10_000,
    connects_per_s=1,
    burst_connects=5,
)


def messages(count):
    return {"alice": Traffic(num_messages=count)}


def meter_of(*accounts):
    """One that has seen these accounts, and nothing of theirs."""
    meter = Meter(LIMITS)
    meter.look(0.0, dict.fromkeys(accounts, Traffic()))
    return meter


@given(st.lists(st.integers(0, 2), min_size=1, max_size=200), st.integers(0, 50))
def test_who_keeps_to_the_rate_is_never_over_whatever_came_first(steps, burst):
    """At most 2 messages in each look of 0.2 s is the rate; the burst may come at once."""
    meter, total = meter_of("alice"), burst
    assert not meter.look(0.2, messages(total))
    for number, step in enumerate(steps, 2):
        total += step
        assert not meter.look(0.2 * number, messages(total))


def test_who_sends_more_than_the_burst_at_once_is_over_at_the_next_look():
    meter = meter_of("alice")
    assert not meter.look(0.0, messages(10))
    assert "61 messages" not in meter.look(0.2, messages(12)).get("alice", "")
    over = meter.look(0.4, messages(73))
    assert over["alice"].startswith("flood: ")


def test_who_sends_a_little_too_much_for_long_is_over_in_the_end():
    meter = Meter(LIMITS)
    looks = [meter.look(0.2 * number, messages(4 * number)) for number in range(60)]
    first = next(number for number, over in enumerate(looks) if over)
    # Twice the rate: the bucket of 50 fills by 2 a look.
    assert 24 <= first <= 27


def test_a_minute_without_a_look_makes_an_honest_minute_no_flood():
    meter = meter_of("alice")
    assert not meter.look(60.0, messages(600))
    assert meter.look(120.0, messages(1251))


def test_bytes_and_connections_are_counted_too():
    meter = meter_of("alice", "bob", "carol")
    over = meter.look(
        0.0,
        {
            "alice": Traffic(num_bytes=10_001),
            "bob": Traffic(num_connects=6),
            "carol": Traffic(num_messages=1, num_bytes=10_000, num_connects=5),
        },
    )
    assert set(over) == {"alice", "bob"}
    assert "bytes" in over["alice"]
    assert "connections" in over["bob"]


def test_who_comes_back_is_counted_from_there():
    """His file may have been damaged for a day."""
    meter = meter_of("alice")
    meter.look(0.0, messages(50))
    assert not meter.look(0.2, {})
    assert not meter.look(0.4, messages(9000))
    assert not meter.look(0.4, messages(9050))
    assert meter.look(0.4, messages(9051))
