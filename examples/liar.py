"""An actor that claims reward 1 for everything, and is otherwise like any other.

The demo has one, to show that a claim changes nothing: the learner computes every reward from the
tokens, and refuses a group whose claim is another one.

    python examples/liar.py RUN [@ settings.toml] [--home DIR]
"""

import sys

import msgspec

from actors.groups import Groups
from actors.identity import home_of
from actors.membership import find_membership
from actors.policies import Served
from actors.screens import Lines
from actors.start import run_actor
from broker.program.logs import log_to_stderr
from environments.interface import Environment
from schemas.errors import TributaryError
from schemas.lease import Lease
from schemas.resolve import resolve
from schemas.rollout import RolloutGroup
from schemas.settings import ActorSettings


class Lies(Groups):
    """Groups that are all right except for what they claim."""

    async def make(self, lease: Lease, environment: Environment, served: Served) -> RolloutGroup:
        group = await super().make(lease, environment, served)
        rollouts = tuple(
            msgspec.structs.replace(rollout, claimed_reward=1.0) for rollout in group.rollouts
        )
        return msgspec.structs.replace(group, rollouts=rollouts)


def main(run: str, *settings: str) -> int:
    log_to_stderr()
    try:
        resolved = resolve(ActorSettings, settings)
        membership = find_membership(home_of(resolved), run)
        return run_actor(membership, resolved, Lines(), Lies)
    except TributaryError as error:
        print(f"liar: {error}", file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
