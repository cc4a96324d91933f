"""Groups from the real engine, and from a liar."""

import runpy
from pathlib import Path

from actors.groups import Groups
from actors.policies import Served
from actors.status import Status
from actors.torch_engine import TorchEngine
from environments.recorded import verify
from learner.trainer.model import build_model, save_folder
from schemas.rollout import RolloutGroup
from tests.support.actors import (
    ENVIRONMENT,
    FIRST,
    RunningActor,
    ScriptedEngine,
    World,
    make_lease,
    manifest_of,
)
from tests.support.trainers import TINY

LIAR = Path(__file__).parents[3] / "examples" / "liar.py"
SERVED = Served(policy=FIRST, manifest_sha256=manifest_of(FIRST))


async def test_a_group_of_a_real_model_holds_before_the_learner(tmp_path):
    world = World(tmp_path)
    await world.open()
    save_folder(build_model(TINY, ENVIRONMENT.vocabulary_size, seed=0), tmp_path / str(FIRST))
    lease = world.coordinator.offer(group_size=4)
    engine = TorchEngine(max_context=1024)
    async with RunningActor(world, engine) as actor:
        [(_, group)] = await world.until_published(1)
        await actor.drained()
    await engine.close()
    await world.coordinator.broker.close()
    assert len({rollout.token_ids for rollout in group.rollouts}) > 1
    for rollout in group.rollouts:
        interaction = await verify(ENVIRONMENT, lease.task, rollout, lease.sampling)
        assert interaction.reward == rollout.claimed_reward


async def make(kind: type[Groups]) -> RolloutGroup:
    engine = ScriptedEngine()
    engine.policy = FIRST
    return await kind(engine, Status()).make(make_lease(0), ENVIRONMENT, SERVED)


async def test_a_liar_lies_about_rewards_and_nothing_else():
    lies, truth = await make(runpy.run_path(str(LIAR))["Lies"]), await make(Groups)
    assert {rollout.claimed_reward for rollout in lies.rollouts} == {1.0}
    assert {rollout.claimed_reward for rollout in truth.rollouts} != {1.0}
    for lie, true in zip(lies.rollouts, truth.rollouts, strict=True):
        assert (lie.token_ids, lie.logprobs) == (true.token_ids, true.logprobs)
