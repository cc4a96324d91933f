"""Chance that is the same everywhere: a task is a pure function of its environment and index."""

import hashlib

from schemas.lease import EnvironmentRef


class Draw:
    """A stream of numbers that follows from an environment's id and version, a task and a purpose.

    The environment's digest is left out, so that a changed comment does not change the tasks.
    """

    def __init__(self, ref: EnvironmentRef, task: int, purpose: str = "task") -> None:
        self._key = f"{ref.id}\n{ref.version}\n{task}\n{purpose}\n"
        self._drawn = 0

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1; its bias is below bound / 2**512."""
        digest = hashlib.sha512(f"{self._key}{self._drawn}".encode()).digest()
        self._drawn += 1
        return int.from_bytes(digest, "little") % bound

    def between(self, smallest: int, largest: int) -> int:
        """A number from smallest to largest, both included."""
        return smallest + self.below(largest - smallest + 1)

    def number(self, num_digits: int) -> int:
        """A number of so many decimal digits, the first of which is not 0 unless it is alone."""
        return self.between(10 ** (num_digits - 1) if num_digits > 1 else 0, 10**num_digits - 1)
