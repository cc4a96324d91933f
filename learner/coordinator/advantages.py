"""Advantages of a group's rollouts (Dr.GRPO, prime-rl): A_i = R_i - mean(R).

No division by the standard deviation: it would weigh groups by how evenly matched they are.
"""

from collections.abc import Sequence


def group_advantages(rewards_G: Sequence[float]) -> tuple[float, ...]:
    """Each reward minus the group's mean.

    >>> group_advantages([1.0, 0.0, 0.0, 1.0])
    (0.5, -0.5, -0.5, 0.5)
    """
    mean = sum(rewards_G) / len(rewards_G)
    return tuple(reward - mean for reward in rewards_G)


def has_signal(rewards_G: Sequence[float]) -> bool:
    """False when all rewards are equal: every advantage is zero, and so is the gradient.

    >>> has_signal([1.0, 1.0])
    False
    """
    return any(reward != rewards_G[0] for reward in rewards_G)
