"""The report of a small run that was written by hand."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from broker.memory import MemoryBroker, MemoryServer, MemoryStore
from learner import events
from learner.report import (
    fates,
    flow,
    kills,
    lanes,
    multiples,
    provenance,
    rewards,
    rollouts,
    staleness,
    tiles,
)
from learner.report.axes import Point, Scale
from learner.report.build import build_report, read_story
from learner.report.groups import refused_group, used_group
from schemas import ledger
from schemas.errors import UserError
from schemas.policy import PolicyId, PolicyKind, PolicyManifest, Probe, StepMetrics, TensorEntry
from schemas.purge import PurgeReason
from schemas.trainer_events import IncarnationStarted
from schemas.verdict import Outcome, Reason
from tests.support.examples import NUMERICS
from tests.support.runs import START, SyntheticRun

HOSTILE = "<script>alert(1)</script>\x1b[31m"


class Checker(HTMLParser):
    """Every element is closed by its own end; collects what a browser would see."""

    VOID = frozenset({"meta", "line", "rect", "circle", "path", "polyline"})

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open, self.seen, self.text = [], [], []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
async def run():
    run = SyntheticRun(num_steps=2)
    await run.open()
    await run.accept("alice", [True, False, False, False])
    await run.accept("alice", [True, True, True, True])
    await run.refuse_claim("mallory", [False, True, False, False])
    await run.refuse_claim("mallory", [False, False, False, False])
    await run.accept("bob", [True, True, False, False])
    await run.refuse("mallory", Outcome.REJECTED, Reason.ENVELOPE, detail=HOSTILE)
    await run.refuse("bob", Outcome.DUPLICATE)
    await run.cut()
    await run.start_coordinator("coordinator-2")
    await run.announce(StepMetrics(loss=0.25, waited_s=1.0))
    expired = await run.lease("bob", instance="i2")
    await run.say(ledger.LeaseExpired(lease_id=expired.lease_id))
    await run.lease("bob", instance="i2")
    await run.accept("alice", [True, False, True, False], version=1)
    return run


@pytest.fixture
def outside():
    return [
        events.ActorNamed(actor="mallory", name="liar", honest=False),
        events.ActorNamed(actor="alice", name="honest-1", honest=True),
        events.Killed(
            time=1_700_000_020.0, who="coordinator", step=1, doing="the middle of a step"
        ),
        events.Killed(time=1_700_000_021.0, who="nats-server", step=1, doing=HOSTILE),
        events.Started(time=1_700_000_022.5, who="coordinator"),
        events.Checked(text=f"the replay {HOSTILE}", holds=False),
    ]


async def story_of(run, outside=()):
    return await read_story(run.broker, run.settings.name, outside)


async def document_of(run, outside=()):
    return await build_report(await story_of(run, outside), run.store)


async def test_the_page_is_whole_and_loads_and_runs_nothing(run, outside):
    document = await document_of(run, outside)
    seen = Checker(document).seen
    policy = [a["content"] for t, a in seen if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert {tag for tag, _ in seen}.isdisjoint({"script", "img", "iframe", "link", "object", "a"})
    assert not any(key.startswith("on") or key in ("src", "href") for _, a in seen for key in a)
    assert "\x1b" not in document
    assert not re.search(r"url\(|@import|https?:", document)


async def test_the_page_says_what_happened(run, outside):
    document = await document_of(run, outside)
    text = " ".join(Checker(document).text)
    assert "exact, trained on" in text
    assert "mean reward (exact) of all rollouts of the first and last 10 steps" in text
    assert "liar" in text
    assert "honest-1" in text
    assert "the middle of a step" in text
    assert "the replay <script>alert(1)</script>\\x1b[31m" in text
    assert "2 reward-mismatch, 1 envelope" in text
    assert "of 4 accepted groups without signal (1): in no batch" in text


async def test_every_picture_has_a_title(run, outside):
    document = await document_of(run, outside)
    assert len(re.findall("<svg [^>]*><title>", document)) == document.count("<svg") == 9


async def test_flows_are_conserved(run):
    tally = (await story_of(run)).tally
    found = flow.flows(tally)
    into = sum(each.count for each in found if each.target == "accepted")
    out = sum(each.count for each in found if each.source == "accepted")
    assert into == out == len(tally.accepted) == 4
    issued = sum(each.count for each in found if each.source == "leases issued")
    assert issued == len(tally.leases) == 8
    beyond = {each.target: each.count for each in found if "open lease" in each.source}
    assert beyond == {"duplicate": 1, "rejected(envelope)": 1}


async def test_the_most_mixed_group_of_a_batch_is_shown(run):
    shown = await used_group(await story_of(run), run.store)
    assert shown is not None
    assert (shown.group.actor, shown.rewards, shown.step) == ("bob", (1.0, 1.0, 0.0, 0.0), 1)
    assert shown.advantages == (0.5, 0.5, -0.5, -0.5)


async def test_the_most_false_refused_group_is_shown_with_its_claims(run):
    story = await story_of(run)
    shown = await refused_group(story, run.store)
    assert shown is not None
    assert shown.rewards == (0.0, 0.0, 0.0, 0.0)
    assert rollouts.draw(story, shown).count('<strong class="lie">1.00</strong>') == 4


async def test_groups_whose_bytes_are_gone_are_left_out(run, outside):
    document = await build_report(await story_of(run, outside), MemoryStore())
    assert "rollout by rollout" not in " ".join(Checker(document).text)


async def test_a_storage_that_is_away_can_be_mended_by_who_asks(run):
    run.store.away = True
    with pytest.raises(UserError, match="no report was made") as caught:
        await document_of(run)
    assert caught.value.exit_status == 2


async def test_kept_bytes_that_are_no_group_are_left_out(run):
    story = await story_of(run)
    for info in await run.store.list("refused/"):
        await run.store.put(info.key, b"TRIB\x01junk")
    assert await refused_group(story, run.store) is None


async def test_staleness_counts_the_rows_of_all_batches(run):
    await run.cut()
    await run.announce()
    story = await story_of(run)
    assert staleness.count_rows(story) == {0: 3}
    assert "limit 2" in staleness.draw(story)


async def test_a_kill_is_marked_at_the_step_that_it_came_after(run, outside):
    # Two batches are cut by then, and one policy is announced: the event says what was known.
    await run.cut()
    await run.announce()
    early = events.Killed(time=run.now, who="trainer", step=1, doing="")
    drawn = rewards.against_steps(await story_of(run, [early]))
    axis = Scale(0, 2, 56, 960 - 150)
    (circle,) = [attrs for tag, attrs in Checker(drawn).seen if tag == "circle"]
    assert float(circle["cx"]) == axis(1)


async def test_the_table_of_kills_says_who_is_back_as_the_screen_does(run):
    kill = events.Killed(time=run.now, who="alice", step=1, doing="generating")
    assert "not seen again" in kills.as_table(await story_of(run, [kill]))
    await run.lease("alice", instance="i2")
    lease = await run.lease("alice", instance="i2")
    await run.refuse("alice", Outcome.STALE, lease_id=lease.lease_id)
    drawn = Checker(kills.as_table(await story_of(run, [kill]))).text
    assert drawn[6:12] == [
        "1",
        "alice",
        "generating",
        f"{run.now - 3 - START - 1:.0f}",
        "1",
        "3.0 s",
    ]


async def test_who_is_killed_has_a_lane_with_its_starts(run, outside):
    story = await story_of(run, [*outside, events.Started(time=run.now, who="nats-server")])
    assert lanes.of(story)[-1] == "nats-server"
    drawn = Checker(lanes.draw(story, "nats-server", Scale(0, 100, 0, 100), 0)).text
    assert sorted(drawn) == ["killed", "nats-server", "started"]


async def test_the_legend_has_what_there_is(run, outside):
    assert "".join(Checker(lanes.legend(await story_of(run, outside))).text) == (
        "▲ process starts✕ killed| accepted| batch cut, policy announced| duplicate| rejected"
    )


async def test_what_never_happened_is_not_spoken_of():
    run = SyntheticRun(num_steps=1)
    await run.open()
    await run.accept("alice", [True, False, False, False])
    await run.cut()
    await run.announce()
    page = (await document_of(run)).partition("</style>")[2]
    text = page.partition("What was run")[0].replace('<th scope="col">refused</th>', "")
    for absent in (
        "kill",
        "Back at work",
        "refused groups",
        "refused,",
        "| stale",
        "without an open",
    ):
        assert absent not in text
    assert "accepted groups, all with signal" in text


async def test_every_fate_has_words_and_its_reason():
    for reason in Reason:
        if reason is not Reason.NONE:
            assert fates.in_words(f"rejected({reason})").startswith("rejected, ")
            assert fates.in_words(f"rejected({reason})").endswith(f"({reason})")


async def test_what_was_purged_is_shown_with_its_reason_and_its_actor(run):
    await run.purge("carl", 20, PurgeReason.CUT_OFF)
    await run.purge("bob", 3, PurgeReason.PURGED)
    story = await story_of(run)
    counts = {each.target: each.count for each in flow.flows(story.tally)}
    assert (counts["purged(cut-off)"], counts["purged"]) == (20, 3)
    assert "carl" in story.actors
    page = await document_of(run)
    assert "purged unseen, their sender was cut off (cut-off)" in page
    assert "20 purged(cut-off)" in page
    assert "messages purged unseen, counted by reason" in page


async def test_leases_end_under_the_names_of_the_audit(run):
    lease = await run.lease("bob", instance="i2")
    await run.say(ledger.LeaseAbandoned(lease_id=lease.lease_id))
    ends = {each.target: each.count for each in flow.flows((await story_of(run)).tally)}
    assert (ends["expired"], ends["abandoned"], ends["open"]) == (1, 1, 1)


async def test_a_damaged_log_that_has_batches_and_no_verdicts_is_drawn_all_the_same(run):
    story = await story_of(run)
    story.tally.judged.clear()
    assert "in a batch" in flow.draw(story.tally)


async def test_the_name_of_what_flows_in_below_lies_on_no_other_ribbon(run):
    """It stands no higher than the lowest ribbon of the leases ends."""
    drawn = Checker(flow.draw((await story_of(run)).tally)).seen
    bars = [float(a["y"]) for tag, a in drawn if tag == "rect" and a["x"] == "4"]
    ends = [float(a["y"]) for tag, a in drawn if tag == "rect" and a["x"] == "400"]
    assert max(bars) == max(ends) > min(bars)


async def test_the_report_can_be_cited(run):
    model = PolicyManifest(
        run="synthetic",
        policy=PolicyId(1, 1),
        kind=PolicyKind.FULL,
        weights_digest="d" * 64,
        tensors=(
            TensorEntry(name="a", dtype="f32", shape=(200, 6), digest="0" * 16),
            TensorEntry(name="b", dtype="f32", shape=(34,), digest="0" * 16),
        ),
        files=(),
        renderer="0" * 64,
        probe=Probe(token_ids=bytes(8), logprobs=bytes(4)),
        previous_sha256=None,
    )
    started = IncarnationStarted(instance="t", incarnation=1, numerics=NUMERICS, resumed_from=0)
    story = await story_of(run)
    story.incarnations.append(started)
    assert provenance.lead(story, model) == (
        "Opened 2023-11-14 22:13 UTC. Task: reverse, sizes 3 to 6; trained on the reward part "
        "exact. 1 optimizer step of 2 groups of 8 rollouts, at most 2 versions behind; a model of "
        "1.23 thousand parameters, DPPO loss, learning rate 0.0002, seed 0."
    )
    text = " ".join(Checker(provenance.draw(story, model)).text)
    for fact in (
        "1,234 parameters in 2 tensors (f32)",
        "d" * 64,
        "1-1, 2023-11-14",
        "DPPO, mask_low 0.2",
        "AdamW, learning rate 0.0002 after 10 steps of warmup",
        f"torch {NUMERICS.torch_version}",
        story.opened.code_sha256,
        "here",
        "trainer.learning_rate = 0.0002",
    ):
        assert fact in text


async def test_a_model_whose_manifest_cannot_be_had_is_left_out(run):
    document = await document_of(run)
    assert "parameters in" not in document


async def test_the_rate_of_a_step_is_over_the_time_since_the_batch_before(run):
    await run.accept("alice", [True, False, False, False])
    await run.cut()
    await run.announce()
    first, second = (await story_of(run)).steps
    (point,) = multiples.accepted_per_s([first, second])
    assert point == Point(2, 2 / (second.cut_time - first.cut_time))


async def test_a_run_that_has_only_been_opened_has_a_report():
    run = SyntheticRun()
    await run.open()
    document = await document_of(run)
    assert "No lease was issued." in Checker(document).text


async def test_a_run_that_is_not_there_is_named():
    run = SyntheticRun()
    await run.open()
    with pytest.raises(UserError, match="no run other; it has synthetic"):
        await read_story(run.broker, "other")


async def test_tokens_are_ids_where_the_renderer_is_not_ours():
    assert rollouts.speller("0" * 64)(7) == "7 "


async def test_a_server_without_the_run_has_no_logs():
    broker = MemoryBroker(MemoryServer())
    with pytest.raises(UserError, match="it has none"):
        await read_story(broker, "demo")


async def standing_still() -> SyntheticRun:
    """Two steps, an hour in which nobody is there, and two more steps."""
    run = SyntheticRun(num_steps=4)
    await run.open()
    for step in range(4):
        if step == 2:
            run.now += 3600
            await run.start_coordinator("coordinator-2")
            await run.start_trainer("trainer-2")
        await run.accept("alice", [True, False, False, False])
        await run.cut()
        await run.announce(StepMetrics(waited_s=1.0))
    return run


async def test_no_line_crosses_the_time_in_which_the_run_stood_still():
    story = await story_of(await standing_still())
    across = Checker(rewards.against_time(story)).seen
    lines = [attrs["points"] for tag, attrs in across if tag == "polyline"]
    x = Scale(0, max(story.seconds(mark.time) for mark in story.deeds.marks), 56, 960 - 150)
    middle = x(1800)
    for line in lines:
        sides = {float(place.partition(",")[0]) < middle for place in line.split()}
        assert len(sides) == 1
    assert len(lines) == 2 * len(
        [a for t, a in Checker(rewards.against_steps(story)).seen if t == "polyline"]
    )
    assert "broken where no batch was cut" in await document_of(await standing_still())


async def test_the_trainer_is_not_said_to_wait_while_nobody_is_there(run):
    story = await story_of(await standing_still())
    spans = [
        after.announced_time - before.announced_time for before, after in pairwise(story.steps)
    ]
    assert spans[1] > 3600
    assert tiles.waited_share(story) == 2.0 / (spans[0] + spans[2])
    assert tiles.waited_share(await story_of(run)) is None


async def test_the_time_of_a_step_in_which_one_of_them_began_is_not_counted():
    run = SyntheticRun(num_steps=3)
    await run.open()
    for step in range(3):
        await run.accept("alice", [True, False, False, False])
        if step == 1:
            await run.start_trainer("trainer-2")
        await run.cut()
        await run.announce(StepMetrics(waited_s=0.5))
    story = await story_of(run)
    last, before = story.steps[2].announced_time, story.steps[1].announced_time
    assert tiles.waited_share(story) == 0.5 / (last - before)


async def test_starts_are_told_where_nobody_wrote_down_a_kill(run, outside):
    standing = await standing_still()
    assert tiles.starts_again(await story_of(standing)) == 2
    assert "times that coordinator or trainer started again" in await document_of(standing)
    assert "started again" not in await document_of(run, outside)
    text = Checker(lanes.draw(await story_of(standing), "trainer", Scale(0, 4000, 0, 100), 0)).text
    assert text.count("started") == 2
