"""The tree in the module's docstring is the tree of the classes."""

import re
from collections.abc import Iterator

from schemas import errors
from schemas.errors import TributaryError


def tree(error: type[TributaryError], depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, error.__name__
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child, depth + 1)


def test_the_docstring_draws_the_tree() -> None:
    lines = (errors.__doc__ or "").splitlines()[2:]
    drawn = [re.match(r"( *)(\w+)", line) for line in lines if line]
    assert [(len(found[1]) // 2, found[2]) for found in drawn if found] == list(
        tree(TributaryError)
    )
