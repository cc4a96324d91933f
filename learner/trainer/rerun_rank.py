"""Entry of each rank of a replay under torchrun: settings, a leg of the run, a folder for states.

The first rank writes one line of JSON for each version to standard output.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from learner.trainer.rank import as_rank
from learner.trainer.replay_legs import ReplayLeg
from schemas.resolve import resolve
from schemas.settings import LearnerSettings


def main() -> None:
    """Be a rank of a replay."""
    parser = argparse.ArgumentParser(description="one rank of a replay")
    parser.add_argument("settings", help="TOML file with resolved settings")
    parser.add_argument("leg", help="JSON file with the leg of the run")
    parser.add_argument("folder", help="folder of states")
    arguments = parser.parse_args()
    settings = resolve(LearnerSettings, ["@", arguments.settings])
    leg = msgspec.json.decode(Path(arguments.leg).read_bytes(), type=ReplayLeg)
    _run(settings, leg, Path(arguments.folder))


def _run(settings: LearnerSettings, leg: ReplayLeg, folder: Path) -> None:
    from broker.login import OPERATOR, login
    from broker.objects.s3 import S3Store
    from learner.trainer.portal import Portal
    from learner.trainer.rerun import Rerun
    from learner.trainer.service import follow
    from learner.trainer.world import World

    world = World.join()
    store = S3Store.open(settings.connection)
    with Portal() as portal:
        if world.rank > 0:
            follow(portal, world, store, settings.name)
        else:
            broker = portal.call(
                login(settings.connection, *OPERATOR, run=settings.name, name="learner replay")
            )
            rerun = Rerun(portal, world, broker, store, settings.name, folder)
            for compared in rerun.compare(leg):
                sys.stdout.write(msgspec.json.encode(compared).decode() + "\n")
                sys.stdout.flush()
            portal.call(broker.close())
        portal.call(store.close())
    world.leave()


if __name__ == "__main__":
    sys.exit(as_rank(main))
