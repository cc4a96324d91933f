"""`broker refused`: what was refused, by reason, actor and time."""

import pytest

from broker.look.read_on import LogFold
from broker.look.refusals import ByActor, Sample, Verdicts, refused
from broker.look.refusals_view import show_refused
from schemas import names
from schemas.errors import UserError
from schemas.ledger import LedgerEntry, MessagesPurged, PurgeBegun, Span
from schemas.purge import PurgeReason
from schemas.verdict import Outcome, Reason
from schemas.wire import encode
from tests.support import hand_built
from tests.support.runs import START, SyntheticRun


async def verdicts_of(broker, run: str) -> list:
    state = await broker.state(names.log_stream(run))
    return [*await LogFold(run, Verdicts).up_to(broker, state)]


async def test_all_refusals_are_counted_and_nothing_else(broker) -> None:
    found = refused("demo", await verdicts_of(broker, "demo"))
    assert (found.num_judged, found.num_refused) == (12, 5)
    assert {each.reason: each.num_refused for each in found.by_reason} == {
        "reward-mismatch": 1,
        "duplicate": 1,
        "envelope": 1,
        "late": 1,
        "stale": 1,
    }
    (mismatch,) = (each for each in found.by_reason if each.reason == "reward-mismatch")
    assert mismatch.last_detail == "rollout 1 claims reward 1, it is 0"
    assert [(each.actor, each.num_accepted, each.num_refused) for each in found.by_actor] == [
        ("BOB", 2, 4),
        ("ALICE", 5, 1),
    ]
    assert sum(sum(span.reasons.values()) for span in found.by_time) == 5
    assert sum(span.num_accepted for span in found.by_time) == 7


async def test_a_verdict_said_twice_counts_once(broker) -> None:
    (again,) = (
        content
        for content in hand_built.contents()
        if isinstance(content, LedgerEntry) and len(content.events) == 5
    )
    last = (await broker.state("LOG_demo")).last_sequence
    await broker.append("LOG_demo", names.ledger_subject("demo"), encode(again), expected_last=last)
    assert refused("demo", await verdicts_of(broker, "demo")).num_judged == 12


async def lied() -> SyntheticRun:
    """EVE lies three times; of her refusals two have a sample, and the last has none."""
    run = SyntheticRun(name="lied")
    await run.open()
    await run.accept("ALICE", [True, False])
    await run.refuse_claim("EVE", [False, False])
    await run.refuse_claim("EVE", [False, True])
    await run.refuse("EVE", Outcome.REJECTED, Reason.REWARD_MISMATCH, detail="\x1b[31m told")
    await run.refuse("MAL", Outcome.REJECTED, Reason.TOKENS, detail="id 99 of 64")
    await run.refuse("ALICE", Outcome.LATE)
    return run


async def test_each_reason_and_actor_has_its_newest_kept_sample() -> None:
    run = await lied()
    found = refused("lied", await verdicts_of(run.broker, "lied"))
    mismatch, *others = found.by_reason
    assert (mismatch.reason, mismatch.num_refused, mismatch.num_actors) == ("reward-mismatch", 3, 1)
    assert mismatch.sample is not None
    assert mismatch.sample.message == "s0:3"
    assert await run.store.get(mismatch.sample.key)
    assert [each.sample for each in others] == [None, None]
    eve = found.by_actor[0]
    assert eve == ByActor(
        actor="EVE",
        num_accepted=0,
        num_refused=3,
        reasons={"reward-mismatch": 3},
        last_time=mismatch.last_time,
        sample=Sample(message="s0:3", key=mismatch.sample.key),
    )
    assert START < mismatch.first_time < mismatch.last_time


async def test_one_actor_and_one_reason_alone() -> None:
    verdicts = await verdicts_of((await lied()).broker, "lied")
    of_alice = refused("lied", verdicts, actor="AL")
    assert (of_alice.num_judged, of_alice.num_refused) == (2, 1)
    assert [each.reason for each in of_alice.by_reason] == ["late"]
    tokens = refused("lied", verdicts, reason="tokens")
    assert [each.actor for each in tokens.by_actor] == ["MAL"]
    nothing = refused("lied", verdicts, actor="MAL", reason="late")
    assert (nothing.num_refused, nothing.by_time) == (0, ())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"actor": "EV3"}, "the run has no actor EV3; it has ALICE, EVE, MAL"),
        ({"actor": "ALICEE"}, "the nearest is ALICE"),
        ({"reason": "token"}, "a run refuses nothing for token; the nearest is tokens"),
        ({"reason": "accepted"}, "a run refuses nothing for accepted; it has"),
    ],
)
async def test_an_unknown_name_has_a_nearest(options: dict[str, str], sentence: str) -> None:
    verdicts = await verdicts_of((await lied()).broker, "lied")
    with pytest.raises(UserError, match=sentence):
        refused("lied", verdicts, **options)


async def test_in_words(capsys) -> None:
    show_refused(refused("lied", await verdicts_of((await lied()).broker, "lied")))
    show_refused(refused("lied", []))
    out = capsys.readouterr().out
    for line in (
        "lied: 5 of 6 verdicts refused a message",
        r"s0:3    \x1b[31m told",
        "lied: 0 of 0 verdicts refused a message",
        "2023-11-14 22:13:2",
    ):
        assert line in out
    assert "\x1b" not in out


async def purged() -> SyntheticRun:
    """Two messages of EVE went, then three of anybody; the second end is said twice."""
    run = await lied()
    for purge, actor, spans in (0, "EVE", (Span(9, 10),)), (1, "*", (Span(11, 12), Span(14, 14))):
        begun = PurgeBegun(
            purge=purge,
            stream="ROLLOUTS_lied_s0",
            subject=f"rollouts.lied.s0.*.{actor}",
            first=9,
            through=14,
            num_messages=3,
            reason=PurgeReason.CUT_OFF if actor == "EVE" else PurgeReason.PURGED,
        )
        told = MessagesPurged(purge=purge, stream=begun.stream, reason=begun.reason, spans=spans)
        await run.say(begun)
        await run.say(told)
    await run.say(told)
    return run


async def found_in(run: SyntheticRun, **options: str):
    state = await run.broker.state(names.log_stream("lied"))
    verdicts = await LogFold("lied", Verdicts).up_to(run.broker, state)
    return refused("lied", [*verdicts], verdicts.purges, **options)


async def test_what_was_purged_is_told_beside_the_refusals(capsys) -> None:
    run = await purged()
    found = await found_in(run)
    assert (found.num_judged, found.num_refused, found.num_purged) == (6, 5, 5)
    assert [(each.actor, each.reason, each.num_messages) for each in found.by_purge] == [
        (None, "purged", 3),
        ("EVE", "cut-off", 2),
    ]
    assert (await found_in(run, actor="EVE")).num_purged == 2
    assert (await found_in(run, actor="ALICE")).num_purged == 0
    assert (await found_in(run, reason="purged")).num_purged == 3
    show_refused(found)
    out = capsys.readouterr().out
    assert "5 messages purged, without a verdict" in out
    assert "several" in out
