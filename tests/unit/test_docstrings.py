"""The examples in docstrings are true."""

import doctest
import importlib

import pytest

MODULES = (
    "broker.audit.batches",
    "broker.audit.report",
    "broker.catalogue",
    "broker.sanitise",
    "broker.screen",
    "broker.words",
    "schemas.arrays",
    "schemas.names",
    "schemas.resolve",
    "learner.coordinator.advantages",
    "learner.coordinator.capacity",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    failures, attempted = doctest.testmod(
        module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
    )
    assert attempted > 0
    assert failures == 0
