"""Which rank trains on which rows, and which rollouts share a micro-batch.

Pure arithmetic on lengths: every rank deals the same rows from the batch alone, before it has read
any, and then reads and packs only its own. Packing is best fit decreasing, which wastes 1 to 2% of
a bin on rollouts of very different lengths.
"""

from collections.abc import Sequence


def deal(costs: Sequence[int], num_ranks: int) -> tuple[tuple[int, ...], ...]:
    """Deal rows to ranks, the costliest first, each to the rank with the least so far.

    A row's cost is its number of tokens. A rank gets the indices of its rows, ascending; none when
    there are more ranks than rows.

    >>> deal([8, 6, 3], 2)
    ((0,), (1, 2))
    """
    totals = [0] * num_ranks
    rows: list[list[int]] = [[] for _ in range(num_ranks)]
    for row in sorted(range(len(costs)), key=lambda row: (-costs[row], row)):
        rank = min(range(num_ranks), key=lambda rank: (totals[rank], rank))
        totals[rank] += costs[row]
        rows[rank].append(row)
    return tuple(tuple(sorted(own)) for own in rows)


def pack(lengths: Sequence[int], token_budget: int) -> tuple[tuple[int, ...], ...]:
    """Put each rollout, the longest first, into the fullest bin that still has room for it.

    A rollout longer than the budget gets a bin of its own: nothing is cut or left out. Within a bin
    lengths never rise, which `learner.trainer.attention` uses.

    >>> pack([2, 5, 3, 9], token_budget=8)
    ((3,), (1, 2), (0,))
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        fitting = [bin for bin, free in enumerate(room) if free >= lengths[index]]
        if fitting:
            chosen = min(fitting, key=lambda bin: (room[bin], bin))
        else:
            chosen = len(bins)
            bins.append([])
            room.append(token_budget)
        bins[chosen].append(index)
        room[chosen] -= lengths[index]
    return tuple(tuple(indices) for indices in bins)
