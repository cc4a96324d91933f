"""What the logs say, by actor."""

from msgspec.structs import replace

from broker.heard import Heard
from broker.logbook import LogItem, PolicyItem
from broker.top import words
from broker.top.fold import Fold
from broker.top.view import ActorView, Badge, QueueView, ReasonCount
from schemas import ledger
from schemas.heartbeat import Heartbeat, State
from schemas.policy import PolicyId
from schemas.purge import PurgeReason
from schemas.verdict import Outcome, Reason
from schemas.wire import encode
from tests.support import hand_built

NOW = hand_built.START + 20


def fold_of(log: list) -> Fold:
    fold = Fold(hand_built.RUN)
    for item in hand_built.items(log):
        fold.add_log(item)
    return fold


def silence() -> Heard:
    return Heard(max_senders=9)


def view_of(fold: Fold, actor: str, *, now: float = NOW, heard: Heard | None = None) -> ActorView:
    (view,) = [one for one in fold.actors(heard or silence(), {}, now) if one.actor == actor]
    return view


def test_everything_is_counted_by_actor():
    fold = fold_of(hand_built.contents())
    alice, bob = view_of(fold, "ALICE"), view_of(fold, "BOB")
    assert (alice.num_accepted, bob.num_accepted) == (5, 2)
    assert alice.reasons == (ReasonCount(reason="duplicate", count=1),)
    assert (alice.num_refused, bob.num_refused) == (1, 4)
    assert {one.reason for one in bob.reasons} == {"reward-mismatch", "envelope", "late", "stale"}
    assert alice.num_bytes == sum(len(hand_built.MESSAGES[i - 1][1]) for i in (1, 4, 5, 9, 12))
    # Lease 9 is open; all others have ended, in every way that there is.
    assert (alice.num_open_leases, bob.num_open_leases) == (0, 1)


def test_latency_is_from_the_lease_to_the_verdict():
    """Entry 2 issues leases 0 and 3, entry 3 judges them; 5 and 6, 5 and 8, 10 and 11 likewise."""
    fold = fold_of(hand_built.contents())
    assert view_of(fold, "ALICE").latency_s == 1.0
    assert view_of(fold, "BOB").latency_s == 2.0


def test_staleness_is_that_of_rows_in_batches():
    log = hand_built.contents()
    fold = fold_of(log)
    assert view_of(fold, "ALICE").staleness == 0.0
    old = hand_built.accepted(9, 7, 0)
    log[-3] = replace(log[-3], rows=(hand_built.row(old), *log[-3].rows[1:]))
    assert view_of(fold_of(log), "ALICE").staleness == 0.5


def test_rates_are_over_the_last_minute():
    fold = fold_of(hand_built.contents())
    # The first verdict is at 3 s, now is 20 s.
    before = view_of(fold, "ALICE").rates
    assert before.groups_per_min == 60 * 6 / 17
    assert before.tokens_per_s == 5 * 8 / 17
    # Only what entry 11 says, a minute after entry 8.
    later = view_of(fold, "ALICE", now=hand_built.START + 69).rates
    assert later.groups_per_min == 1.0
    assert view_of(fold, "ALICE", now=NOW + 600).rates.groups_per_min == 0.0
    assert view_of(fold, "ALICE", now=NOW + 600).last_verdict_s == 609.0


def test_the_head_tells_of_the_run():
    fold = fold_of(hand_built.contents())
    for sequence, content in enumerate(hand_built.policies(), 1):
        fold.add_policy(PolicyItem(sequence=sequence, time=0.0, content=content))
    fold.count_queues(hand_built.states(hand_built.contents())[:1])
    head = fold.head(silence(), NOW)
    assert (head.run, head.step, head.num_steps) == ("demo", 2, 200)
    assert (head.policy, head.num_open_leases, head.num_waiting) == (PolicyId(1, 2), 1, 1)
    assert (head.staleness_mean, head.staleness_max, head.staleness_limit) == (0.0, 0, 1)
    assert head.queue == QueueView(
        num_messages=1, num_bytes=100, max_bytes=-1, num_in_hand=0, oldest_time=None
    )
    # Before batch 1: 1 0, 0 1 and 1 1; before batch 2: 1 0 three times.
    assert head.rewards == (4 / 6, 3 / 6)
    assert head.reward == 0.5
    assert head.who_waits == (
        "the learner waits for the actors: 1 of 2 groups for step 3 are there, 1 message to judge, "
        "1 lease open"
    )
    assert (head.coordinator.state, head.trainer.state) == (None, None)
    assert head.rates.groups_per_min == 60 * 12 / 17


def test_a_record_that_comes_again_changes_nothing():
    fold = fold_of(hand_built.contents())
    before = view_of(fold, "ALICE")
    for item in hand_built.items(hand_built.contents()):
        fold.add_log(item)
    assert view_of(fold, "ALICE") == before


def test_what_was_purged_is_counted_once_and_of_whom_it_was():
    log = hand_built.contents()
    for purge, actor in enumerate(("BOB", "MALLORY", "*")):
        spans = (ledger.Span(13, 14),)
        begun = ledger.PurgeBegun(
            purge=purge,
            stream=hand_built.QUEUE,
            subject=f"rollouts.demo.s0.*.{actor}",
            first=13,
            through=14,
            num_messages=2,
            reason=PurgeReason.PURGED,
        )
        told = ledger.MessagesPurged(
            purge=purge, stream=begun.stream, reason=begun.reason, spans=spans
        )
        log += [hand_built.entry(begun), hand_built.entry(told), hand_built.entry(told)]
    fold = fold_of(log)
    purged = {view.actor: view.num_purged for view in fold.actors(silence(), {}, NOW)}
    assert purged == {"ALICE": 0, "BOB": 2, "MALLORY": 2}
    head = fold.head(silence(), NOW)
    assert head.num_purged == 6
    assert "6 messages purged" in words.groups(head)


def test_verdicts_are_kept_newest_first_and_bounded():
    fold = fold_of(hand_built.contents())
    judged = fold.judged("BOB")
    assert [one.message for one in judged] == [f"s0:{n}" for n in (11, 10, 8, 7, 3, 2)]
    assert judged[4].verdict == "rejected(reward-mismatch)"
    assert judged[4].detail == "rollout 1 claims reward 1, it is 0"
    assert (judged[1].policy, judged[1].rewards, judged[1].latency_s) == (
        PolicyId(1, 1),
        (1.0, 0.0),
        3.0,
    )
    assert fold.judged("NOBODY") == []
    sequence = fold.last_log
    for number in range(300):
        fold.add_log(refusal(sequence + 1 + number, "BOB"))
    assert len(fold.judged("BOB")) == 100
    assert view_of(fold, "BOB").num_refused == 304


def refusal(sequence: int, actor: str, lease_id: int | None = None) -> LogItem:
    event = ledger.GroupRefused(
        stream=hand_built.QUEUE,
        sequence=1000 + sequence,
        sha256="1" * 64,
        actor=actor,
        lease_id=lease_id,
        closes_lease=False,
        outcome=Outcome.REJECTED,
        reason=Reason.LEASE_FOREIGN,
    )
    content = hand_built.entry(event)
    return LogItem(sequence=sequence, time=NOW, sha256="2" * 64, content=content)


def test_a_lease_of_somebody_else_gives_no_latency_and_stays_open():
    fold = fold_of(hand_built.contents())
    fold.add_log(refusal(fold.last_log + 1, "MALLORY", lease_id=9))
    (judged,) = fold.judged("MALLORY")
    assert judged.latency_s is None
    assert view_of(fold, "BOB").num_open_leases == 1
    assert view_of(fold, "MALLORY").reasons == (ReasonCount(reason="lease-foreign", count=1),)


def test_who_invents_names_gets_so_many_rows():
    fold = fold_of(hand_built.contents())
    for number in range(1500):
        fold.add_log(refusal(fold.last_log + 1, f"M{number}"))
    assert len(fold.actors(silence(), {}, NOW)) == 1002
    assert fold.num_unlisted == 500
    # Who has a lease always has a row.
    lease = replace(hand_built.issued(10).lease, lease_id=99, actor="LATE")
    event = ledger.LeaseIssued(lease=lease, request_id="r", instance="i")
    sequence = fold.last_log + 1
    item = LogItem(sequence=sequence, time=NOW, sha256="2" * 64, content=hand_built.entry(event))
    fold.add_log(item)
    assert view_of(fold, "LATE").num_open_leases == 1


def test_heartbeats_and_badges_say_the_rest():
    clock = [0.0]
    heard = Heard(max_senders=9, clock=lambda: clock[0])

    def beat(who: str, state: State, waiting_for: str = "") -> None:
        said = Heartbeat(
            run="demo",
            who=who,
            instance="i",
            state=state,
            policy=PolicyId(1, 2),
            waiting_for=waiting_for,
        )
        assert heard.take(f"heartbeat.demo.{who}", encode(said))

    fold = fold_of(hand_built.contents())
    beat("ALICE", State.WAITING_FOR_LEASE, "capacity")
    beat("NEW", State.STARTING)
    beat("coordinator", State.WAITING_FOR_GROUPS, "3 of 16 groups")
    beat("trainer", State.WAITING_FOR_BATCH)
    badges = {"ALICE": Badge("alice", "trusted")}
    views = {view.actor: view for view in fold.actors(heard, badges, NOW)}
    assert views.keys() == {"ALICE", "BOB", "NEW"}
    alice = views["ALICE"]
    assert (alice.name, alice.tier) == ("alice", "trusted")
    assert (alice.state, alice.waiting_for) == (State.WAITING_FOR_LEASE, "capacity")
    assert alice.policy == PolicyId(1, 2)
    assert (views["NEW"].state, views["NEW"].num_accepted) == (State.STARTING, 0)
    assert views["BOB"].state is None
    coordinator = fold.head(heard, NOW).coordinator
    assert (coordinator.state, coordinator.waiting_for) == (
        State.WAITING_FOR_GROUPS,
        "3 of 16 groups",
    )
    clock[0] = 6.0
    assert view_of(fold, "ALICE", heard=heard).state is None
    assert view_of(fold, "ALICE", heard=heard).policy == PolicyId(1, 2)
