"""What the acceptance tests share: a first policy, which takes a while to make."""

import asyncio

import pytest

from tests.support.live_run import make_initial


@pytest.fixture(scope="session")
def initial(tmp_path_factory):
    """A policy for `live_run`."""
    return asyncio.run(make_initial(tmp_path_factory.mktemp("initial")))
