"""When and how often to try again: every retry of the system follows one of these policies.

The waits are exponential with full jitter: uniform between nothing and a bound that doubles, so
that a thousand clients that lost the same server do not come back in step. What a retry cannot mend
(PermissionDenied, MessageTooLarge, Fenced) is in no policy.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Final

import tenacity

from schemas.errors import BrokerUnavailable, QueueFull, StoreUnavailable

FIRST_BOUND_S = 0.1
LONGEST_BOUND_S = 5.0

NOT_STORED: Final = (BrokerUnavailable, QueueFull)
"""What a publish may get over by itself."""

BeforeWait = Callable[[tenacity.RetryCallState], Awaitable[None] | None]


def full_jitter_s(attempt: int) -> float:
    """How long to wait after the failure of attempt 1, 2, 3, ..."""
    bound_s = min(LONGEST_BOUND_S, FIRST_BOUND_S * 2 ** min(attempt - 1, 16))
    return random.uniform(0.0, bound_s)


def _wait(state: tenacity.RetryCallState) -> float:
    return full_jitter_s(state.attempt_number)


def until_stored(before_wait: BeforeWait | None = None) -> tenacity.AsyncRetrying:
    """For a publish: tries until the broker is there and the queue has room, or it is cancelled."""
    return tenacity.AsyncRetrying(
        wait=_wait,
        retry=tenacity.retry_if_exception_type(NOT_STORED),
        before_sleep=before_wait,
        reraise=True,
    )


def until_available(before_wait: BeforeWait | None = None) -> tenacity.AsyncRetrying:
    """For any call to the broker or the store: tries until there is an answer, or cancelled."""
    return tenacity.AsyncRetrying(
        wait=_wait,
        retry=tenacity.retry_if_exception_type((BrokerUnavailable, StoreUnavailable)),
        before_sleep=before_wait,
        reraise=True,
    )


def for_seconds(limit_s: float) -> tenacity.AsyncRetrying:
    """As `until_available`, but the last failure is raised once the time is over."""
    return until_available().copy(stop=tenacity.stop_after_delay(limit_s))
