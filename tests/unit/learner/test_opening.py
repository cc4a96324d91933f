"""Opening a run, again and again."""

import json
import shutil

import msgspec
import pytest
from structlog.testing import capture_logs

from broker.memory import MemoryBroker, MemoryServer, MemoryStore
from broker.program.version import code_sha256
from learner.open_run import is_open, open_run
from learner.opening_file import read_opening
from learner.other_code import warn_of_other_code
from learner.run_folder import RunFolder
from learner.same_run import check_same_run, keep_settings, trainer_settings
from schemas import names
from schemas.errors import SettingsError, StoreUnavailable, UserError
from schemas.run_card import read_run_card
from schemas.settings import BatchSettings, LearnerSettings, SamplingSettings, run_settings
from tests.support.trainers import HandmadeLog, tiny_settings, write_initial


class Place:
    """Servers, a folder of runs, and a policy to begin with."""

    def __init__(self, directory) -> None:
        self.settings = tiny_settings(directory)
        self.folder = RunFolder(self.settings)
        self.broker = MemoryBroker(MemoryServer())
        self.store = MemoryStore()
        self.initial = write_initial(self.settings, directory / "given")

    async def open(self, **changes):
        settings = msgspec.structs.replace(self.settings, **changes)
        return await open_run(self.broker, self.store, settings, self.initial)


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


async def test_an_open_run_has_all_that_others_need(place) -> None:
    opened = await place.open()
    assert read_opening(place.folder.opening) == opened
    assert read_run_card(place.folder.card).run_key == opened.run_key
    assert opened.settings == run_settings(place.settings)
    assert place.folder.key.stat().st_mode & 0o077 == 0
    assert await place.store.head(names.policy_manifest_key("tiny", (1, 0)))
    assert (await place.broker.state(names.policies_stream("tiny"))).last_sequence == 0


async def test_the_log_says_whether_a_run_is_open(place) -> None:
    """Also where the run's folder does not: a restored run needs no policy to be made."""
    assert not await is_open(place.broker, "tiny")
    opened = await place.open()
    assert not await is_open(place.broker, "tiny")
    await HandmadeLog(place.broker, place.store, place.settings).open(opened)
    assert await is_open(place.broker, "tiny")
    key = place.folder.key.read_bytes()
    shutil.rmtree(place.folder.path)
    shutil.rmtree(place.initial)
    place.folder.path.mkdir()
    place.folder.key.write_bytes(key)
    place.folder.key.chmod(0o600)
    assert await place.open() == opened
    assert read_opening(place.folder.opening) == opened


@pytest.mark.parametrize("in_log", [False, True], ids=["before", "after the coordinator began"])
async def test_opening_twice_changes_nothing(place, in_log) -> None:
    first = await place.open()
    if in_log:
        await HandmadeLog(place.broker, place.store, place.settings).open(first)
    before = (place.folder.key.read_bytes(), await place.store.list(""))
    assert await place.open() == first
    assert (place.folder.key.read_bytes(), await place.store.list("")) == before


async def test_a_lost_opening_file_is_written_again_from_the_log(place) -> None:
    first = await place.open()
    await HandmadeLog(place.broker, place.store, place.settings).open(first)
    place.folder.opening.unlink()
    assert await place.open() == first
    assert read_opening(place.folder.opening) == first


@pytest.mark.parametrize("in_log", [False, True], ids=["before", "after the coordinator began"])
async def test_other_settings_are_refused(place, in_log) -> None:
    first = await place.open()
    if in_log:
        await HandmadeLog(place.broker, place.store, place.settings).open(first)
    with pytest.raises(SettingsError, match=r"sampling\.group_size is 4, .* with 8"):
        await place.open(sampling=SamplingSettings(group_size=4))


async def test_refused_settings_leave_the_settings_file_as_it_is(place) -> None:
    await place.open()
    keep_settings(place.settings)
    kept = place.folder.settings.read_bytes()
    other = msgspec.structs.replace(place.settings, sampling=SamplingSettings(group_size=4))
    with pytest.raises(SettingsError, match="group_size"):
        keep_settings(other)
    assert place.folder.settings.read_bytes() == kept


@pytest.mark.parametrize(
    ("server_bytes", "num_groups", "sentence"),
    [
        (5 << 20, 65_536, "server takes 5242880 bytes .* only 1\\d{4} groups surely"),
        (1 << 20, 4096, "server takes 1048576 bytes .* only 2\\d{3} groups surely"),
    ],
)
async def test_a_batch_that_no_message_may_hold_is_refused(
    place, server_bytes, num_groups, sentence
) -> None:
    place.broker = MemoryBroker(MemoryServer(max_message_bytes=server_bytes))
    with pytest.raises(SettingsError, match=f"batch.num_groups is {num_groups}, .*{sentence}"):
        await place.open(batch=BatchSettings(num_groups=num_groups))
    assert await place.broker.streams() == []
    assert await place.open(batch=BatchSettings(num_groups=2048))


async def test_a_limit_that_no_right_answer_fits_is_refused(place) -> None:
    sampling = msgspec.structs.replace(place.settings.sampling, max_new_tokens=2)
    with pytest.raises(SettingsError, match=r"max_new_tokens is 2, .* reverse takes up to \d"):
        await place.open(sampling=sampling)
    assert not place.folder.path.exists()
    assert await place.broker.streams() == []


async def test_a_policy_whose_sequences_are_too_short_is_refused(place) -> None:
    """What settings say of a model does not hold for one that is given."""
    config = place.initial / "config.json"
    short = msgspec.json.decode(config.read_bytes()) | {"max_position_embeddings": 20}
    config.write_bytes(msgspec.json.encode(short))
    with pytest.raises(SettingsError, match=r"has 20 positions, .* reverse takes up to 26 tokens"):
        await place.open()


async def test_a_run_that_is_open_needs_the_folder_of_its_policy_no_more(place, tmp_path) -> None:
    """`learner open --initial DIR`, and then `learner run`, which knows nothing of DIR."""
    first = await place.open()
    place.initial = tmp_path / "none"
    assert await place.open() == first
    manifest = names.policy_manifest_key(place.settings.name, first.initial_policy)
    await place.store.delete(manifest)
    with pytest.raises(UserError, match="learner sft"):
        await place.open()


async def test_another_initial_policy_is_refused(place, tmp_path) -> None:
    await place.open()
    place.folder.opening.unlink()
    other = msgspec.structs.replace(
        place.settings, model=msgspec.structs.replace(place.settings.model, num_experts=8)
    )
    place.initial = write_initial(other, tmp_path / "other")
    with pytest.raises(UserError, match="another initial policy"):
        await place.open()


async def test_a_lost_key_is_refused(place) -> None:
    first = await place.open()
    await HandmadeLog(place.broker, place.store, place.settings).open(first)
    shutil.rmtree(place.folder.path)
    with pytest.raises(UserError, match=r"run\.key"):
        await place.open()


async def test_a_kill_while_the_policy_is_published_is_mended_by_the_next_call(place) -> None:
    place.store.away = True
    with pytest.raises(StoreUnavailable):
        await place.open()
    place.store.away = False
    await place.open()
    assert read_opening(place.folder.opening)


async def test_a_policy_that_cannot_be_computed_is_refused(place) -> None:
    file = place.initial / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"num_experts_per_tok": config["n_routed_experts"] + 1}))
    with pytest.raises(UserError, match=r"given cannot be computed: selected index k out of range"):
        await place.open()
    assert await place.store.list("") == []


async def test_a_folder_without_a_policy_is_refused(place, tmp_path) -> None:
    place.initial = tmp_path / "none"
    with pytest.raises(UserError, match="learner sft"):
        await place.open()


def test_where_a_run_trains_may_differ(tmp_path) -> None:
    opened = run_settings(tiny_settings(tmp_path))
    trainer = msgspec.structs.replace(
        opened.trainer, num_ranks=2, num_threads=3, checkpoint_every=7, keep_checkpoints=5
    )
    elsewhere = msgspec.structs.replace(tiny_settings(tmp_path), trainer=trainer)
    check_same_run(opened, elsewhere)
    assert trainer_settings(opened, elsewhere) == trainer


def test_what_a_run_learns_may_not_differ(tmp_path) -> None:
    opened = run_settings(LearnerSettings(name="test"))
    trainer = msgspec.structs.replace(opened.trainer, learning_rate=1e-5, num_ranks=2)
    with pytest.raises(SettingsError, match=r"trainer\.learning_rate is 0\.00001, .* 0\.0002"):
        check_same_run(opened, LearnerSettings(name="test", trainer=trainer))


def test_the_digest_of_the_code_changes_with_each_source(tmp_path) -> None:
    for package in ("schemas", "learner/trainer", "actors"):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "one.py").write_text("x = 1\n")
    digests = [code_sha256(tmp_path)]
    (tmp_path / "learner/trainer/one.py").write_text("x = 2\n")
    digests.append(code_sha256(tmp_path))
    (tmp_path / "learner/trainer/one.py").rename(tmp_path / "learner/trainer/two.py")
    digests.append(code_sha256(tmp_path))
    assert len(set(digests)) == 3
    (tmp_path / "actors/one.py").write_text("x = 2\n")
    assert code_sha256(tmp_path) == digests[-1]


async def test_other_code_than_the_runs_is_said(place) -> None:
    opened = await place.open()
    with capture_logs() as said:
        warn_of_other_code(opened)
        assert said == []
        warn_of_other_code(msgspec.structs.replace(opened, code_sha256="0" * 64))
    assert [event["log_level"] for event in said] == ["warning"]
    assert "run tiny was opened with other code" in said[0]["detail"]
