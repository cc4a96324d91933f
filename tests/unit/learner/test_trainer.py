"""The trainer over the in-memory twins: what it announces, and that no kill changes it."""

import contextlib
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from broker.interface import Record
from broker.memory import MemoryBroker
from learner.metrics import read_lines, to_line
from learner.metrics_file import read_steps
from learner.report import multiples, tables
from learner.report.build import read_story
from learner.role import claim
from learner.run_folder import RunFolder
from learner.trainer.portal import Portal
from learner.trainer.shelf import Shelf
from schemas import names
from schemas.errors import DigestMismatch, Fenced, RoleTaken, StoreUnavailable
from schemas.heartbeat import Heartbeat, State
from schemas.policy import PolicyId
from schemas.trainer_events import TrainerEntry, TrainerStarted
from schemas.wire import decode, encode
from tests.support.mortality import Killed, MortalBroker, Mortality, MortalStore
from tests.support.trainers import TinyRun

NUM_STEPS = 4
TRAINER_SUBJECT = names.trainer_subject("tiny")
TAKEN_OVER = encode(TrainerEntry(event=TrainerStarted(instance="other", host="h", pid=1)))


@pytest.fixture
def portal():
    with Portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> list[str]:
    """The weights' digests of a run that nobody disturbs."""
    with Portal() as portal:
        run = TinyRun(portal, tmp_path_factory.mktemp("uninterrupted"), num_steps=NUM_STEPS)
        run.cut_all()
        run.train()
        assert sorted(run.history().announced) == policies(1, 0, NUM_STEPS)
        weights = run.weights()
    assert len(set(weights)) == NUM_STEPS + 1
    return weights


@pytest.fixture
def run(portal, tmp_path) -> TinyRun:
    run = TinyRun(portal, tmp_path, num_steps=NUM_STEPS)
    run.cut_all()
    return run


def policies(incarnation: int, first: int, last: int) -> list[PolicyId]:
    return [PolicyId(incarnation, version) for version in range(first, last + 1)]


def train_and_die(run: TinyRun, moment: int) -> bool:
    """One life that ends at its n-th moment; True when the run was finished before that."""
    mortality = Mortality(moment)
    broker = MortalBroker(run.server, mortality)
    with contextlib.suppress(Killed):
        run.train(broker, MortalStore(run.store, mortality))
    return not mortality.dead


def checkpoints(run: TinyRun) -> Shelf:
    return Shelf(RunFolder(run.settings).checkpoints)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a bit of the tensors": lambda folder: flip_a_bit(next(folder.glob("*.safetensors"))),
    "no tensors": lambda folder: next(folder.glob("*.safetensors")).unlink(),
    "garbage": lambda folder: (folder / "checkpoint.json").write_bytes(b"\xff{"),
}


def test_no_kill_changes_a_policy(run, uninterrupted) -> None:
    """Life n dies at its n-th moment; each goes on where the one before it was."""
    moment = 1
    while not train_and_die(run, moment):
        moment += 1
    assert moment > 8
    assert sorted(run.history().announced) == policies(1, 0, NUM_STEPS)
    assert run.weights() == uninterrupted


@pytest.mark.parametrize("moment", [9, 10, 13, 16])
def test_a_trainer_that_never_lives_long_gets_there(run, uninterrupted, moment) -> None:
    """Moments 1 to 4 are its start, 8 or 10 more publish one policy."""
    num_lives = 1
    while not train_and_die(run, moment):
        num_lives += 1
    assert num_lives > 1
    assert run.weights() == uninterrupted


@pytest.mark.parametrize("lost", [False, True], ids=["checkpoints kept", "checkpoints lost"])
def test_a_kill_late_in_the_run(run, uninterrupted, lost) -> None:
    train_and_die(run, 30)
    assert PolicyId(1, 2) in run.history().announced
    if lost:
        shutil.rmtree(run.settings.directory + "/tiny/checkpoints")
    run.train()
    assert sorted(run.history().announced) == policies(1, 0, NUM_STEPS)
    assert run.weights() == uninterrupted


def test_a_finished_run_started_again_changes_nothing(run) -> None:
    run.train()
    before = run.history()
    run.train()
    after = run.history()
    assert (after.announced, after.incarnations) == (before.announced, before.incarnations)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_not_used(run, uninterrupted, damage) -> None:
    train_and_die(run, 30)
    shelf = checkpoints(run)
    damage(shelf.path(shelf.policies()[-1]))
    run.train()
    assert list(run.history().incarnations) == [1]
    assert run.weights() == uninterrupted


def test_what_a_killed_trainer_left_is_swept(run) -> None:
    """Half a checkpoint, what was not named by a whole one, and a policy that was not published."""
    train_and_die(run, 30)
    shelf, scratch = checkpoints(run), RunFolder(run.settings).scratch
    whole, half = shelf.path(shelf.policies()[-1]), shelf.path(PolicyId(1, 33))
    half.mkdir()
    for path in (half / "77.partial", whole / "77.partial"):
        path.write_bytes(b"x")
    (scratch / "7-77").mkdir()
    run.train()
    assert not half.exists()
    assert len(list(whole.iterdir())) == 2
    assert [path.name for path in scratch.iterdir()] == ["initial"]


def test_checkpoints_are_pruned(run) -> None:
    run.train(checkpoint_every=1, keep_checkpoints=2)
    assert checkpoints(run).policies() == policies(1, 3, 4)


def test_other_numerics_start_the_next_incarnation_with_an_anchor(run, uninterrupted) -> None:
    train_and_die(run, 30)
    last = max(run.history().announced)
    newest = checkpoints(run).policies()[-1]
    run.train(num_threads=2)
    history = run.history()
    assert history.current is not None
    assert (history.current.incarnation, history.current.numerics.num_threads) == (2, 2)
    first = history.current.resumed_from
    assert PolicyId(1, first) <= min(newest, last)
    assert sorted(history.announced)[-(NUM_STEPS - first + 1) :] == policies(2, first, NUM_STEPS)
    manifests = run.manifests()
    assert manifests[PolicyId(2, first)].weights_digest == uninterrupted[first]
    assert (
        manifests[PolicyId(2, first)].previous_sha256
        == history.announced[PolicyId(1, first)].manifest_sha256
    )


def test_weights_that_differ_from_the_published_ones_start_the_next_incarnation(run) -> None:
    """As after a bit that flipped in memory: what is published cannot be computed again."""
    train_and_die(run, 30)
    shutil.rmtree(run.settings.directory + "/tiny/checkpoints")
    wrong = dict(run.history().announced)
    assert PolicyId(1, 2) in wrong
    run.republish_with_other_weights(PolicyId(1, 1))
    run.train()
    history = run.history()
    assert [history.incarnations[2].resumed_from, history.owner(1)] == [0, 2]
    assert policies(2, 0, NUM_STEPS) == sorted(history.announced)[-NUM_STEPS - 1 :]


@pytest.fixture(params=["inf", "nan"])
def skipping(request, portal, tmp_path) -> TinyRun:
    """A run whose second of three steps has a gradient that is not finite."""
    run = TinyRun(portal, tmp_path, num_steps=3)
    portal.call(run.log.open(run.opened))
    portal.call(run.log.cut())
    portal.call(run.log.cut(advantage=float(request.param)))
    portal.call(run.log.cut())
    run.train()
    return run


def test_a_step_that_is_not_finite_is_skipped_and_announced(skipping) -> None:
    assert skipping.history().skipped == {PolicyId(1, 2)}
    weights = skipping.weights()
    assert weights[1] == weights[2] != weights[3]


def test_a_skipped_step_is_in_the_metrics_and_in_the_report(skipping) -> None:
    steps = skipping.portal.call(read_steps(skipping.broker, "tiny"))
    assert read_lines(b"".join(to_line(each) for each in steps)) == steps
    assert [each.skipped for each in steps] == [False, True, False]
    story = skipping.portal.call(read_story(skipping.broker, "tiny"))
    drawn = multiples.draw(story) + tables.steps(story)
    assert not re.search(r"\b(nan|inf)\b", drawn)
    assert drawn.count("skipped") == 1


@pytest.mark.parametrize("away", ["broker", "storage"])
def test_it_can_be_stopped_while_it_begins_and_a_server_is_away(run, away) -> None:
    broker = MemoryBroker(run.server)
    if away == "broker":
        run.server.stop()
    run.store.away = away == "storage"
    first = run.first_rank(broker)
    with ThreadPoolExecutor(max_workers=1) as threads:
        running = threads.submit(first.run, take_over=False)
        with pytest.raises(TimeoutError):
            running.result(timeout=0.2)
        first.stop()
        running.result(timeout=10)
    run.store.away = False
    run.server.start()
    run.portal.call(broker.close())
    run.train()
    assert sorted(run.history().announced) == policies(1, 0, NUM_STEPS)


def test_what_a_stranger_wrote_into_its_log_stops_no_trainer(run, uninterrupted) -> None:
    """Nobody can take it out again: the stream refuses to delete."""
    train_and_die(run, 30)
    announced = run.history().announced[PolicyId(1, 0)]
    next_policy = PolicyId(1, max(run.history().announced).version + 1)
    forged = msgspec.structs.replace(announced, policy=next_policy)
    for subject, data in (
        (names.policy_subject("tiny"), b"garbage"),
        (names.policy_subject("tiny"), encode(forged)),
        (names.trainer_subject("tiny"), b"garbage"),
    ):
        stream = names.policies_stream("tiny")
        last = run.portal.call(run.broker.state(stream)).last_sequence
        run.portal.call(run.broker.append(stream, subject, data, expected_last=last))
    assert next_policy not in run.history().announced
    run.train()
    assert sorted(run.history().announced) == policies(1, 0, NUM_STEPS)
    assert run.weights() == uninterrupted


def test_a_second_trainer_is_refused(run) -> None:
    other = MemoryBroker(run.server)
    run.portal.call(claim(other, "tiny", names.TRAINER, "the first one", take_over=False))
    with pytest.raises(RoleTaken, match="the first one"):
        run.train()
    assert not run.history().incarnations


def test_a_trainer_that_was_replaced_is_fenced_off_its_log(run) -> None:
    """A take-over before one of its writes: what it has in hand announces nothing."""
    broker = InterruptedBroker(run.server, 6, lambda _: (TRAINER_SUBJECT, TAKEN_OVER))
    with pytest.raises(Fenced):
        run.train(broker)
    run.train()
    assert sorted(run.history().announced) == policies(1, 0, NUM_STEPS)


def test_a_trainer_that_was_replaced_puts_nothing_more_into_object_storage(run) -> None:
    """A take-over behind one of its writes: object storage has no fence of its own."""
    broker = ReplacedBroker(run, 5)
    with pytest.raises(Fenced):
        run.train(broker)
    assert run.portal.call(keys(run)) == broker.keys_when_replaced
    run.train()
    assert sorted(run.history().announced) == policies(1, 0, NUM_STEPS)


async def keys(run: TinyRun) -> list[str]:
    return [info.key for info in await run.store.list("")]


class ReplacedBroker(MemoryBroker):
    """Behind the n-th write to the trainer's log another trainer takes over."""

    def __init__(self, run: TinyRun, behind: int) -> None:
        super().__init__(run.server)
        self._run = run
        self._left = behind
        self.keys_when_replaced: list[str] = []

    async def append(self, stream, subject, data, *, expected_last, timeout_s=30.0) -> int:
        sequence = await super().append(stream, subject, data, expected_last=expected_last)
        self._left -= 1
        if self._left == 0:
            self.keys_when_replaced = await keys(self._run)
            await super().append(stream, TRAINER_SUBJECT, TAKEN_OVER, expected_last=sequence)
        return sequence


def garbage(_: list[Record]) -> tuple[str, bytes]:
    return names.trainer_subject("tiny"), b"garbage"


def first_announcement_again(records: list[Record]) -> tuple[str, bytes]:
    subject = names.policy_subject("tiny")
    return subject, next(record.data for record in records if record.subject == subject)


@pytest.mark.parametrize(
    ("after", "stray"),
    [(2, garbage), (4, garbage), (6, garbage), (6, first_announcement_again)],
)
def test_a_trainer_goes_on_behind_what_no_trainer_wrote(run, uninterrupted, after, stray) -> None:
    broker = InterruptedBroker(run.server, after, stray)
    run.train(broker)
    assert broker.interrupted
    assert sorted(run.history().announced) == policies(1, 0, NUM_STEPS)
    assert run.weights() == uninterrupted


class InterruptedBroker(MemoryBroker):
    """Before the n-th write to the trainer's log somebody else writes something there."""

    def __init__(self, server, after: int, written) -> None:
        """`written` makes subject and data from what lies in the log so far."""
        super().__init__(server)
        self._left = after
        self._written = written
        self.interrupted = False

    async def append(self, stream, subject, data, *, expected_last, timeout_s=30.0) -> int:
        self._left -= 1
        if self._left == 0:
            self.interrupted = True
            subject_before, data_before = self._written([r async for r in self.read(stream)])
            await super().append(stream, subject_before, data_before, expected_last=expected_last)
        return await super().append(stream, subject, data, expected_last=expected_last)


def test_garbage_among_the_batches_is_passed_over(portal, tmp_path, uninterrupted) -> None:
    run = TinyRun(portal, tmp_path, num_steps=NUM_STEPS)
    portal.call(run.log.open(run.opened))
    for step in range(1, NUM_STEPS + 1):
        portal.call(run.log.cut())
        portal.call(run.log._append(names.batch_subject("tiny", step), b"garbage"))
    run.train(until=2)
    run.train()
    assert run.weights() == uninterrupted


def test_lost_answers_are_settled_by_the_tail(run, uninterrupted) -> None:
    run.server.lose_answers(3)
    run.train()
    assert sorted(run.history().announced) == policies(1, 0, NUM_STEPS)
    assert run.weights() == uninterrupted


def test_a_batch_that_does_not_follow_the_one_before_is_not_trained_on(portal, tmp_path) -> None:
    run = TinyRun(portal, tmp_path, num_steps=2)
    portal.call(run.log.open(run.opened))
    portal.call(run.log.cut())
    run.log.forget_the_chain()
    portal.call(run.log.cut())
    with pytest.raises(DigestMismatch, match="does not follow"):
        run.train()
    assert max(run.history().announced).version <= 1


class ShakyStore:
    """Gives no answer to the first few reads below a prefix."""

    def __init__(self, store, prefix: str, num_failures: int) -> None:
        self._store = store
        self._prefix = prefix
        self._left = num_failures

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    async def get(self, key: str, **where) -> bytes:
        if key.startswith(self._prefix) and self._left:
            self._left -= 1
            raise StoreUnavailable("no answer")
        return await self._store.get(key, **where)


@pytest.mark.parametrize(
    ("prefix", "num_failures"),
    [(names.archive_prefix("tiny"), 9), (names.policies_prefix("tiny"), 2)],
)
def test_it_says_that_the_storage_is_away_and_goes_on_when_it_is_back(
    run, uninterrupted, prefix, num_failures
) -> None:
    said: list[State] = []

    async def listen() -> None:
        async for _, data in run.broker.listen(names.heartbeat_subject("tiny", names.TRAINER)):
            said.append(decode(data, Heartbeat).state)

    listening = run.portal.start(listen())
    run.train(store=ShakyStore(run.store, prefix, num_failures))
    listening.cancel()
    assert State.STORE_AWAY in said
    assert said[-1] is State.STOPPED
    assert run.weights() == uninterrupted


def test_it_logs_that_the_run_is_over_and_only_then(portal, tmp_path) -> None:
    run = TinyRun(portal, tmp_path, num_steps=2)
    portal.call(run.log.open(run.opened))
    portal.call(run.log.cut())
    with capture_logs() as logs:
        run.train(until=1)
    assert "run-finished" not in [line["event"] for line in logs]
    portal.call(run.log.cut())
    with capture_logs() as logs:
        run.train()
    assert [line["event"] for line in logs][-1] == "run-finished"
