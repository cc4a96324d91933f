"""A run with a whole bucket on servers in memory, and other servers with nothing."""

import pytest

from tests.support import hand_built, kept_run
from tests.support.kept_run import Site, empty_site


@pytest.fixture
async def site(tmp_path) -> Site:
    """Where the run is."""
    site = empty_site()
    (tmp_path / "scratch").mkdir()
    await kept_run.fill(site.broker, site.store, tmp_path / "scratch")
    return site


@pytest.fixture
def other() -> Site:
    """Where it is restored, later."""
    return empty_site(hand_built.START + 1000)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backup"
