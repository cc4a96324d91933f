"""What keeps a policy away when its download fails: who or what is at fault, for the screen."""

from actors.state import Said
from schemas.errors import (
    BrokerError,
    BrokerUnavailable,
    NoResponders,
    PolicyError,
    StoreError,
    StoreUnavailable,
)
from schemas.heartbeat import State
from schemas.policy import PolicyId


def obstacle_to(policy: PolicyId, error: Exception) -> Said:
    """The state of an actor that cannot have a policy, and why it cannot."""
    state, cause = _cause(error)
    return Said(state, f"policy {policy} cannot be had: {cause}")


def _cause(error: Exception) -> tuple[State, str]:
    match error:
        case StoreUnavailable():
            return State.STORE_AWAY, f"object storage does not answer: {error}"
        case StoreError():
            return State.WAITING_FOR_POLICY, f"object storage does not give it: {error}"
        case NoResponders():
            return State.COORDINATOR_AWAY, "the run has no coordinator to grant it"
        case BrokerUnavailable():
            return State.COORDINATOR_AWAY, "the coordinator does not answer"
        case BrokerError():
            return State.WAITING_FOR_POLICY, f"no URL is granted: {error}"
        case PolicyError():
            return State.WAITING_FOR_POLICY, f"it is not what it should be: {error}"
        case _:
            return State.WAITING_FOR_POLICY, f"this disk cannot keep it: {error}"
