"""The fold of both logs into the figures of each step."""

import asyncio
from itertools import pairwise

import pytest

from broker.logbook import LogItem, PolicyItem, read_log
from broker.policies.signing import RunKey
from learner.metrics import MetricsFold, StepFigures, edges, mean_reward, read_lines, to_line
from learner.metrics_file import follow_steps, read_steps, write_steps
from schemas import ledger
from schemas.policy import StepMetrics
from schemas.purge import PurgeReason
from schemas.verdict import Outcome, Reason
from tests.support.runs import START, SyntheticRun


async def two_steps() -> SyntheticRun:
    """Honest work of two actors, one liar, and one of everything else."""
    run = SyntheticRun(num_steps=2)
    await run.open()
    await run.accept("alice", [True, False, False, False])
    await run.accept("bob", [True, True, True, True])
    await run.refuse_claim("mallory", [False, False, False, True])
    await run.refuse("mallory", Outcome.STALE)
    await run.accept("bob", [True, True, False, False])
    await run.cut()
    await run.announce(StepMetrics(loss=0.5, num_tokens=40, step_s=0.25))
    await run.accept("alice", [True, True, True, False], version=1)
    await run.accept("bob", [False, True, True, True], version=0)
    await run.say(ledger.GroupsDropped(step=2, lease_ids=(90, 91, 92)))
    await run.cut()
    await run.announce()
    return run


async def items(run: SyntheticRun) -> tuple[list[LogItem], list[PolicyItem]]:
    name = run.settings.name
    log = [item async for item in read_log(run.broker, name)]
    return log, await run.policies()


async def steps_of(run: SyntheticRun) -> list[StepFigures]:
    return await read_steps(run.broker, run.settings.name)


@pytest.fixture
async def run():
    return await two_steps()


@pytest.fixture
async def steps(run):
    return await steps_of(run)


def test_a_step_counts_every_recomputed_group_once(steps):
    first, second = steps
    # 1 of 4, 4 of 4, the liar's 1 of 4 and 2 of 4.
    assert first.reward == first.parts["exact"] == 8 / 16
    assert first.parts["partial"] == (8 + 8 * 0.25) / 16
    assert first.num_rollouts == 16
    assert second.reward == 6 / 8
    assert first.trained_on == "exact"


def test_a_step_says_what_became_of_the_messages(steps):
    first, second = steps
    assert first.judged == {"accepted": 3, "rejected(reward-mismatch)": 1, "stale": 1}
    assert (first.num_without_signal, first.num_leases, first.num_dropped) == (1, 4, 0)
    assert second.judged == {"accepted": 2}
    assert (second.num_without_signal, second.num_leases, second.num_dropped) == (0, 2, 3)


def test_a_step_says_how_old_its_rows_are_and_whose(steps):
    first, second = steps
    assert (first.staleness_mean, first.staleness_max, first.staleness_rows) == (0, 0, (2,))
    assert (second.staleness_mean, second.staleness_max, second.staleness_rows) == (0.5, 1, (1, 1))
    assert first.rows_by_actor == {"alice": 1, "bob": 1}


def test_a_step_has_the_trainers_figures_and_the_brokers_clock(steps):
    first, second = steps
    assert first.trainer == StepMetrics(loss=0.5, num_tokens=40, step_s=0.25)
    assert START < first.cut_time < first.announced_time < second.cut_time
    assert [each.policy for each in steps] == ["1-1", "1-2"]


async def test_the_order_of_reading_the_two_logs_changes_nothing(run, steps):
    log, policies = await items(run)
    fold = MetricsFold()
    policies_first = [each for item in policies for each in fold.add_policy(item)]
    policies_first += [each for item in log for each in fold.add_log(item)]
    assert policies_first == steps
    assert fold.finished


async def test_a_record_folded_again_changes_nothing(run, steps):
    log, policies = await items(run)
    fold = MetricsFold()
    again = [each for item in log for _ in range(2) for each in fold.add_log(item)]
    again += [each for item in policies for _ in range(2) for each in fold.add_policy(item)]
    assert again == steps


async def test_a_policy_announced_again_keeps_its_first_figures(run, steps):
    run.version = 2
    await run.announce(StepMetrics(loss=9.0))
    assert await steps_of(run) == steps


async def test_what_a_stranger_announces_is_in_no_step():
    run = SyntheticRun(num_steps=1)
    await run.open()
    await run.accept("alice", [True, False, False, False])
    await run.cut()
    await run.announce(StepMetrics(loss=9.0), key=RunKey(b"s" * 32))
    assert await steps_of(run) == []
    run.version = 1
    await run.announce(StepMetrics(loss=0.5))
    (figures,) = await steps_of(run)
    assert figures.trainer.loss == 0.5


async def test_a_step_without_a_policy_is_not_complete():
    run = SyntheticRun()
    await run.open()
    await run.accept("alice", [True, False, False, False])
    await run.cut()
    assert await steps_of(run) == []


async def test_a_step_without_any_reward_says_none():
    run = SyntheticRun()
    await run.open()
    await run.accept("alice", [True, False, False, False])
    group = run.waiting[0]
    await run.cut()
    run.waiting = [group]
    await run.cut()
    for _ in range(2):
        await run.announce()
    _, second = await steps_of(run)
    assert (second.reward, second.parts, second.num_rollouts) == (None, {}, 0)
    assert mean_reward([second]) is None


def test_means_of_steps_weigh_by_rollouts(steps):
    assert mean_reward(steps) == (8 + 6) / (16 + 8)


def test_the_edges_are_ten_steps_each(steps):
    first, second = steps
    assert edges([first] * 10 + [second] * 10) == pytest.approx((first.reward, second.reward))
    assert edges([first, *[second] * 10])[1] == pytest.approx(second.reward)
    assert edges([]) is None


async def test_following_writes_the_bytes_that_reading_writes(tmp_path):
    run = SyntheticRun(num_steps=2)
    await run.open()
    followed, told = [], []
    following = asyncio.create_task(
        follow_steps(run.broker, run.settings.name, on_step=followed.append, on_item=told.append)
    )
    for right in ([True, False, False, False], [True, True, False, False]):
        await asyncio.sleep(0)
        await run.accept("alice", right)
        await run.cut()
        await run.announce()
    await asyncio.wait_for(following, 5)
    live, afterwards = tmp_path / "live.jsonl", tmp_path / "afterwards.jsonl"
    write_steps(live, followed)
    write_steps(afterwards, await read_steps(run.broker, run.settings.name))
    assert live.read_bytes() == afterwards.read_bytes() != b""
    assert read_lines(live.read_bytes()) == followed
    for kind in (LogItem, PolicyItem):
        sequences = [item.sequence for item in told if isinstance(item, kind)]
        assert all(after == before + 1 for before, after in pairwise(sequences))
        assert sequences


def test_equal_figures_are_equal_bytes_whatever_the_order_of_counting(steps):
    first = steps[0]
    fields = {name: getattr(first, name) for name in StepFigures.__struct_fields__}
    turned = StepFigures(**fields | {"judged": dict(reversed(first.judged.items()))})
    assert to_line(turned) == to_line(first)


async def test_a_rejection_is_counted_under_its_reason():
    run = SyntheticRun()
    await run.open()
    await run.refuse("mallory", Outcome.REJECTED, Reason.ENVELOPE)
    await run.refuse("mallory", Outcome.LATE)
    await run.accept("alice", [True, False, False, False])
    await run.cut()
    await run.announce()
    (figures,) = await steps_of(run)
    assert figures.judged == {"accepted": 1, "late": 1, "rejected(envelope)": 1}


async def test_what_was_purged_is_counted_in_its_step(run):
    await run.purge("mallory", 5, PurgeReason.CUT_OFF)
    await run.accept("alice", [True, False], version=1)
    await run.cut()
    await run.announce()
    assert (await steps_of(run))[-1].judged == {"accepted": 1, "purged(cut-off)": 5}
