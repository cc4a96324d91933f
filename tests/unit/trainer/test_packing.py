"""The plan of a batch: nothing lost, nothing twice, nothing above the budget."""

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


@given(rows=st.lists(lengths, min_size=1, max_size=20), num_ranks=st.integers(1, 8))
def test_every_row_is_dealt_to_one_rank(rows: list[list[int]], num_ranks: int) -> None:
    plans = packing.plan(rows, num_ranks, token_budget=64)
    assert len(plans) == num_ranks
    assert sorted(row for plan in plans for row in plan.rows) == list(range(len(rows)))
    for plan in plans:
        own = [length for row in plan.rows for length in rows[row]]
        assert plan.bins == packing.pack(own, 64)


@given(rows=st.lists(lengths, min_size=1, max_size=20), num_ranks=st.integers(1, 8))
def test_ranks_differ_by_no_more_than_the_costliest_row(
    rows: list[list[int]], num_ranks: int
) -> None:
    plans = packing.plan(rows, num_ranks, token_budget=64)
    totals = [sum(sum(rows[row]) for row in plan.rows) for plan in plans]
    assert max(totals) - min(totals) <= max(map(sum, rows))


def test_best_fit_wastes_little_on_very_different_lengths() -> None:
    lengths = [(index * 7919) % 700 + 20 for index in range(500)]
    bins = packing.pack(lengths, token_budget=1000)
    assert sum(lengths) / (len(bins) * 1000) > 0.95


@pytest.mark.parametrize("module", [packing, attention, engine])
def test_examples_in_docstrings(module: ModuleType) -> None:
    found = doctest.testmod(module, extraglobs={"TrainerSettings": engine.TrainerSettings})
    assert found.attempted > 0
    assert found.failed == 0
