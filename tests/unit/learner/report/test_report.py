"""The report of a small run that was written by hand."""

import re
from html.parser import HTMLParser

import pytest

from broker.memory import MemoryBroker, MemoryServer
from broker.memory_store import MemoryStore
from learner import events
from learner.report import flow, rollouts, staleness
from learner.report.build import build_report, read_story
from learner.report.groups import refused_group, used_group
from schemas import ledger
from schemas.errors import UserError
from schemas.policy import StepMetrics
from schemas.verdict import Outcome, Reason
from tests.support.runs import SyntheticRun

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
        events.Killed(time=1_700_000_020.0, who="coordinator", step=1, doing=HOSTILE),
        events.Started(time=1_700_000_022.5, who="coordinator"),
        events.Finding(text=f"the replay {HOSTILE}", holds=False),
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
    assert "liar" in text
    assert "honest-1" in text
    assert "coordinator killed while" in text
    assert "the replay <script>alert(1)</script>\\x1b[31m" in text
    assert "2 reward-mismatch, 1 envelope" in text


async def test_every_picture_has_a_title(run, outside):
    document = await document_of(run, outside)
    assert len(re.findall("<svg [^>]*><title>", document)) == document.count("<svg") == 4


async def test_flows_are_conserved(run):
    tally = (await story_of(run)).tally
    found = flow.flows(tally)
    into = sum(each.count for each in found if each.target == "accepted")
    out = sum(each.count for each in found if each.source == "accepted")
    assert into == out == len(tally.accepted) == 4
    issued = sum(each.count for each in found if each.source == "leases issued")
    assert issued == len(tally.leases) == 8
    beyond = {each.target: each.count for each in found if "no lease" in each.source}
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


async def test_starts_are_seen_in_the_logs(run):
    story = await story_of(run)
    starts = [mark.who for mark in story.marks if mark.what == "start"]
    assert sorted(starts) == [
        "alice", "bob", "bob", "coordinator", "coordinator", "mallory", "trainer",
    ]  # fmt: skip


async def test_a_killed_process_is_back_when_its_next_life_has_an_effect(run):
    def killed(who):
        return events.Killed(time=run.now, who=who, step=1, doing="")

    coordinator, server = killed("coordinator"), killed("nats-server")
    bob, alice = killed("bob"), killed("alice")
    await run.accept("alice", [True, False, False, False])
    await run.start_coordinator("coordinator-3")
    await run.accept("bob", [True, False, False, False])
    await run.cut()
    story = await story_of(run)
    # Alice's lease and verdict, the start, Bob's lease and verdict, the batch: a second each.
    assert story.back_at_work(server) == coordinator.time + 2
    assert story.back_at_work(coordinator) == coordinator.time + 6
    # Bob's lease is a new process's, Alice's is that of the process that she had.
    assert story.back_at_work(bob) == coordinator.time + 5
    assert story.back_at_work(alice) is None


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
