"""A storage in memory, and a trainer that publishes into it."""

import pytest

from broker.memory import MemoryStore
from tests.support.publisher import Publisher


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def publisher(store, tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    return Publisher(store, folder)
