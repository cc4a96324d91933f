"""Settings: who overrides whom, and what a mistake is told."""

import tomllib

import pytest

from schemas.described import described
from schemas.errors import SettingsError
from schemas.resolve import resolve, to_explained_toml, to_toml
from schemas.settings import ActorSettings, LearnerSettings, PpoSettings


def test_defaults_then_files_then_overrides(tmp_path):
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text("seed = 1\n[trainer]\nnum_steps = 5\nlearning_rate = 1e-3\n")
    second.write_text("[trainer]\nnum_steps = 6\n")
    found = resolve(
        LearnerSettings,
        ["@", str(first), f"@{second}", "--trainer.learning_rate", "1e-4", "--name=mine"],
    )
    assert (found.seed, found.trainer.num_steps, found.trainer.learning_rate) == (1, 6, 1e-4)
    assert found.name == "mine"
    assert found.trainer.beta1 == LearnerSettings(name="test").trainer.beta1


def test_a_choice_of_loss_brings_its_own_settings():
    loss = ["--trainer.loss.kind", "ppo", "--trainer.loss.clip_high", "0.3"]
    found = resolve(LearnerSettings, ["--name", "test", *loss])
    assert found.trainer.loss == PpoSettings(clip_high=0.3)


def test_resolved_settings_resolve_to_themselves(tmp_path):
    said = ["--name", "test", "--seed", "7", "--trainer.loss.kind", "ppo"]
    settings = resolve(LearnerSettings, said)
    file = tmp_path / "resolved.toml"
    file.write_text(to_toml(settings))
    assert tomllib.loads(file.read_text())["seed"] == 7
    assert resolve(LearnerSettings, ["@", str(file)]) == settings
    file.write_text(to_explained_toml(settings))
    assert resolve(LearnerSettings, ["@", str(file)]) == settings


@pytest.mark.parametrize("kind", [LearnerSettings, ActorSettings])
def test_every_setting_has_a_meaning(kind):
    assert [setting.path for setting in described(kind).values() if not setting.meaning] == []


def test_every_resolved_setting_is_described():
    lines = to_toml(LearnerSettings(name="test")).splitlines()
    known = described(LearnerSettings)
    assert {line.partition(" = ")[0] for line in lines} <= known.keys()
    assert known["trainer.num_steps"].default == LearnerSettings(name="test").trainer.num_steps
    assert known["trainer.loss.clip_high"].default == PpoSettings().clip_high


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--trainer.num_step", "5"], "the nearest is trainer.num_steps"),
        (["--trainer.lr", "1e-6"], "the nearest is trainer.learning_rate"),
        (["--max_open_per_actor", "5"], "the nearest is leases.max_open_per_actor"),
        (["--trainer.max_staleness", "5"], "the nearest is leases.max_staleness"),
        (["--trainr.num_step", "5"], "the nearest is trainer.num_steps"),
        (
            ["--trainr.foo", "1"],
            "unknown setting trainr.foo; the section trainer has beta1, beta2,",
        ),
        (["--trainer.foo", "1"], "unknown setting trainer.foo; the section trainer has beta1,"),
        (["--trainer.los.kind", "ppo"], "the nearest is trainer.loss.kind"),
        (["--trainer", "3"], "trainer is a section and takes no value; it has beta1,"),
        (["--nam", "mine"], "the nearest is name"),
        (["--seed.x", "1"], "unknown setting seed.x; seed takes a value and is no section"),
        (["--trainer.num_steps", "0"], "is '0' and must be a whole number from 1 to 2147483648"),
        (["--trainer.num_steps", "many"], "trainer.num_steps is 'many' and must be a whole number"),
        (["--trainer.learning_rate", "nan"], "must be a number above 0 and at most 1"),
        (["--leases.hold_s", "8"], "hold_s is '8' and must be a number above 0 and at most 6"),
        (["--trainer.num_steps"], "must be followed by a value"),
        (["--environment.train_on", "luck"], "train_on is 'luck' and must be exact or partial"),
        (["--name", "a.b"], "name is 'a.b' and must be 1 to 64 of A-Z a-z 0-9 _ -"),
        (["--intake.shards", "s0"], "intake.shards is 's0' and must be a list of 1 to 64, in a TO"),
        (["--trainer.loss.kind", "none"], "trainer.loss.kind is 'none' and must be dppo or ppo"),
        (["--trainer.loss.clip_low", "0.1"], "trainer.loss.kind must be said: `--trainer"),
        (
            ["--trainer.loss.kind", "ppo", "--trainer.loss.mask_low", "0.1"],
            "trainer.loss.mask_low belongs to another kind of trainer.loss",
        ),
        ([], "name must be said: `--name VALUE`, or `@ FILE.toml` with a file that sets it; it is"),
        (["num_steps=3"], "num_steps=3 is no setting: they begin with two dashes, `--num_steps=3`"),
        (["-n", "mine"], "-n is no setting: they begin with two dashes, `--n`"),
        (
            ["run.toml"],
            "run.toml is no setting: a file of settings stands behind an @, `@ run.toml`",
        ),
        (["mine"], "mine is no setting: `--name mine` would name the run"),
        (["runs/mine"], "runs/mine is no setting: they are `--SETTING VALUE`, and files of them"),
        (["--bogus", "1"], "unknown setting bogus; --help lists all settings$"),
        (["--fo.bar", "1"], "unknown setting fo.bar; --help lists all settings$"),
        (["--trainer.e", "1"], "unknown setting trainer.e; the section trainer has beta1,"),
        (["--lr", "1"], "the nearest is sft.learning_rate or trainer.learning_rate$"),
        (["--heads", "1"], "the nearest is model.num_heads$"),
        (["--sampling.temperature", "1"], "the section sampling has group_size and max_new_tokens"),
        (["@"], "followed by the path"),
        (["@", "/nowhere/x.toml"], "cannot read"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_setting(arguments, sentence):
    with pytest.raises(SettingsError, match=sentence.replace(".", r"\.")):
        resolve(LearnerSettings, arguments)


def test_broken_toml_is_named(tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text("[trainer\n")
    with pytest.raises(SettingsError, match="is not TOML"):
        resolve(ActorSettings, ["@", str(file)])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--model.hidden_size", "126"],
            "model.hidden_size is 126 and must be a multiple of 8: 120 or 128 would do",
        ),
        (
            ["--model.hidden_size", "7"],
            "model.hidden_size is '7' and must be a whole number from 8",
        ),
        (["--model.moe_intermediate_size", "12"], "must be a multiple of 8: 8 or 16 would do"),
        (
            ["--model.num_heads", "3"],
            "model.num_heads is 3 and must divide model.hidden_size, which is 128, into heads "
            "whose width is a multiple of 4: 2 or 4 would do",
        ),
        (["--model.num_heads", "64"], "into heads whose width is a multiple of 4: 32 would do"),
        (
            ["--model.num_key_value_heads", "3"],
            "model.num_key_value_heads is 3 and must divide model.num_heads, which is 4: 2 or 4",
        ),
        (["--model.num_heads", "1"], "model.num_key_value_heads is 2 and must divide"),
        (
            ["--model.num_experts_per_token", "20"],
            "model.num_experts_per_token is 20 and must be at most model.num_experts, which is 8",
        ),
        (
            ["--model.num_experts", "1"],
            "model.num_experts is '1' and must be a whole number from 2",
        ),
        (["--model.num_layers", "0"], "model.num_layers is '0' and must be a whole number from 1"),
        (
            ["--sampling.max_new_tokens", "256"],
            "sampling.max_new_tokens is 256 and must be below model.max_positions, which is 256",
        ),
        (
            ["--intake.max_stream_bytes", "2048"],
            "intake.max_message_bytes is 1048576 and must be at most intake.max_stream_bytes,",
        ),
    ],
)
def test_settings_that_do_not_agree_are_told_what_would_do(arguments, sentence):
    with pytest.raises(SettingsError, match=f"{sentence.replace('.', '[.]')}"):
        resolve(LearnerSettings, ["--name", "test", *arguments])


def test_a_queue_is_named_once(tmp_path):
    file = tmp_path / "twice.toml"
    file.write_text('name = "test"\n[intake]\nshards = ["a", "b", "a"]\n')
    with pytest.raises(SettingsError, match=r"^intake\.shards names one queue twice"):
        resolve(LearnerSettings, ["@", str(file)])
