"""Ticks are round, inside, and few, whatever the range."""

from hypothesis import given
from hypothesis import strategies as st

from learner.report.axes import Point, Scale, curve, smooth, ticks

BOUNDS = st.floats(-1e6, 1e6, allow_nan=False)


@given(BOUNDS, st.floats(1e-3, 1e6))
def test_ticks_lie_within_their_range_in_order(low, width):
    high = low + width
    found = ticks(low, high)
    assert found == sorted(set(found))
    assert len(found) <= 8
    slack = 1e-6 * max(abs(low), abs(high), 1)
    assert all(low - slack <= value <= high + slack for value in found)


def test_a_range_without_width_has_one_tick_in_the_middle():
    assert ticks(3, 3) == [3]
    assert Scale(3, 3, 0, 100)(3) == 50


def test_a_scale_may_run_backwards():
    assert Scale(0, 1, 300, 0)(0.25) == 225


def test_a_curve_goes_through_its_points():
    x, y = Scale(0, 2, 0, 200), Scale(0, 1, 100, 0)
    drawn = curve([Point(0, 0), Point(1, 1), Point(2, 0.5)], x, y, class_="c")
    assert drawn == '<polyline points="0,100 100,0 200,50" class="c"/>'
    assert curve([], x, y, class_="c") == ""


@given(st.lists(st.floats(0, 1), max_size=30), st.integers(0, 5))
def test_smoothing_keeps_the_range_and_the_places(values, reach):
    points = [Point(float(i), value) for i, value in enumerate(values)]
    smoothed = smooth(points, reach=reach)
    assert [point.x for point in smoothed] == [point.x for point in points]
    assert all(min(values) - 1e-9 <= point.y <= max(values) + 1e-9 for point in smoothed)
    if reach == 0:
        assert smoothed == points
