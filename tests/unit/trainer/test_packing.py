"""Dealing and packing: nothing lost, nothing twice, nothing above the budget."""

import doctest
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.trainer import attention, engine, packing

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@given(lengths=lengths, token_budget=st.integers(1, 64))
def test_bins_hold_every_rollout_once_and_keep_the_budget(
    lengths: list[int], token_budget: int
) -> None:
    bins = packing.pack(lengths, token_budget)
    assert sorted(index for indices in bins for index in indices) == list(range(len(lengths)))
    for indices in bins:
        inside = [lengths[index] for index in indices]
        assert sum(inside) <= token_budget or len(inside) == 1
        assert inside == sorted(inside, reverse=True)


@given(costs=lengths, num_ranks=st.integers(1, 8))
def test_every_row_is_dealt_to_one_rank(costs: list[int], num_ranks: int) -> None:
    dealt = packing.deal(costs, num_ranks)
    assert len(dealt) == num_ranks
    assert sorted(row for rows in dealt for row in rows) == list(range(len(costs)))
    assert all(list(rows) == sorted(rows) for rows in dealt)


@given(costs=lengths, num_ranks=st.integers(1, 8))
def test_ranks_differ_by_no_more_than_the_costliest_row(costs: list[int], num_ranks: int) -> None:
    totals = [sum(costs[row] for row in rows) for rows in packing.deal(costs, num_ranks)]
    assert max(totals) - min(totals) <= max(costs)


def test_best_fit_wastes_little_on_very_different_lengths() -> None:
    lengths = [(index * 7919) % 700 + 20 for index in range(500)]
    bins = packing.pack(lengths, token_budget=1000)
    assert sum(lengths) / (len(bins) * 1000) > 0.95


@pytest.mark.parametrize("module", [packing, attention, engine])
def test_examples_in_docstrings(module: ModuleType) -> None:
    found = doctest.testmod(module, extraglobs={"TrainerSettings": engine.TrainerSettings})
    assert found.attempted > 0
    assert found.failed == 0
