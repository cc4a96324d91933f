"""Gaps: times in which a run made no step for so long that it stood still. Pure."""

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_LEAST_S: Final = 30.0
_TIMES_MEDIAN: Final = 10.0


def ends(times: Sequence[float]) -> list[float]:
    """Those of a run's steps that come long after the step before: half a minute and ten medians.

    >>> ends([0, 2, 4, 34, 36]), ends([0, 2, 4, 35, 37]), ends([0, 60, 120, 500])
    ([], [35], [])
    """
    spans = [after - before for before, after in pairwise(times)]
    long_s = max(_LEAST_S, _TIMES_MEDIAN * statistics.median(spans or [0.0]))
    return [after for before, after in pairwise(times) if after - before > long_s]
