"""Settings: who overrides whom, and what a mistake is told."""

import tomllib

import pytest

from schemas.errors import SettingsError
from schemas.resolve import resolve, to_toml
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
    assert found.trainer.beta1 == LearnerSettings().trainer.beta1


def test_a_choice_of_loss_brings_its_own_settings():
    found = resolve(
        LearnerSettings, ["--trainer.loss.kind", "ppo", "--trainer.loss.clip_high", "0.3"]
    )
    assert found.trainer.loss == PpoSettings(clip_high=0.3)


def test_resolved_settings_resolve_to_themselves(tmp_path):
    settings = resolve(LearnerSettings, ["--seed", "7", "--trainer.loss.kind", "ppo"])
    file = tmp_path / "resolved.toml"
    file.write_text(to_toml(settings))
    assert tomllib.loads(file.read_text())["seed"] == 7
    assert resolve(LearnerSettings, ["@", str(file)]) == settings


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--trainer.num_step", "5"], "the nearest is trainer.num_steps"),
        (["--trainer.lr", "1e-6"], "the nearest is trainer.learning_rate"),
        (["--max_open_per_actor", "5"], "the nearest is leases.max_open_per_actor"),
        (["--trainer.num_steps", "0"], "trainer.num_steps: expected `int` >= 1"),
        (["--trainer.num_steps", "many"], "trainer.num_steps: expected `int`"),
        (["--trainer.num_steps"], "must be followed by a value"),
        (["--environment.train_on", "luck"], "environment.train_on"),
        (["--name", "a.b"], "name"),
        (["--trainer.loss.kind", "none"], "trainer.loss"),
        (["--seed.x", "1"], "unknown setting seed.x"),
        (["num_steps=3"], "settings are --name value"),
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
