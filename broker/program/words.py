"""Numbers as people read them.

>>> size(1536), size(3 << 30), age(0.2), age(75), age(7300), age(200_000)
('1.5 KiB', '3.0 GiB', '0.2 s', '1 min 15 s', '2 h 1 min', '2 d 7 h')
>>> utc(0.25)
'1970-01-01 00:00:00.250Z'
"""

from collections.abc import Sequence
from datetime import UTC, datetime

_STEPS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def size(num_bytes: int) -> str:
    """Bytes with a binary unit."""
    value, unit = float(num_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def age(seconds: float) -> str:
    """A length of time in its two largest units."""
    if seconds < 60:
        return f"{max(0.0, seconds):.1f} s"
    left, parts = int(seconds), []
    for length, unit in _STEPS:
        if left >= length or parts:
            parts.append(f"{left // length} {unit}")
        left %= length
    return " ".join(parts[:2])


def since(time: float | None, *, now: float) -> str:
    """How long it is since a moment in Unix seconds; nothing for none.

    >>> since(100.0, now=175.0), since(None, now=1.0)
    ('1 min 15 s', '')
    """
    return "" if time is None else age(now - time)


def utc(time: float) -> str:
    """Unix seconds as a date and a time of day, to the millisecond."""
    return datetime.fromtimestamp(time, UTC).isoformat(" ", "milliseconds").replace("+00:00", "Z")


def figures(values: Sequence[float], *, signed: bool = False) -> str:
    """Numbers side by side, such as rewards.

    >>> figures([1.0, 0.25]), figures([0.5, -0.5], signed=True)
    ('1 0.25', '+0.5 -0.5')
    """
    return " ".join(f"{value:{'+' if signed else ''}.4g}" for value in values)


def counted(count: int, noun: str) -> str:
    """So many of something.

    >>> counted(1, "version"), counted(1234, "step")
    ('1 version', '1,234 steps')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"
