"""The policy to begin with: made once, and kept but not gone on with where it misses its target."""

import msgspec
import pytest
from typer.testing import CliRunner

from learner.cli import app
from learner.initial_policy import TargetMissed, make_initial_policy
from learner.run_folder import RunFolder
from learner.trainer.sft import check_memory
from schemas.errors import SettingsError
from schemas.resolve import to_toml
from schemas.settings import LearnerSettings, SftSettings
from tests.support.trainers import tiny_settings


def quick(directory, target_reward: float) -> LearnerSettings:
    """Three steps from random weights, which answer nothing."""
    sft = SftSettings(
        max_steps=3,
        evaluate_every=1,
        num_evaluation_tasks=4,
        batch_size=4,
        target_reward=target_reward,
    )
    return msgspec.structs.replace(tiny_settings(directory), sft=sft)


def test_a_policy_that_reaches_its_target_is_made_once(tmp_path) -> None:
    settings, said = quick(tmp_path, 0.0), []
    folder = RunFolder(settings)
    make_initial_policy(settings, said.append)
    assert said[1].startswith("sft step 1 of at most 3: loss ")
    assert said[1].endswith("reward 0.00 of 0.0")
    assert said[2:] == [f"the policy to begin with is in {folder.initial}"]
    before = folder.initial.stat()
    make_initial_policy(settings, said.append)
    assert said[3:] == [f"the policy to begin with was already in {folder.initial}"]
    assert folder.initial.stat() == before
    assert not list(folder.scratch.iterdir())


def test_a_policy_that_misses_its_target_is_kept_and_gone_on_with_at_the_second_time(
    tmp_path,
) -> None:
    settings, said = quick(tmp_path, 0.9), []
    with pytest.raises(TargetMissed, match=r"0\.00 in 3 steps, below .* 0\.9: .* raise sft\.max_"):
        make_initial_policy(settings, said.append)
    assert [line.partition(":")[0] for line in said[1:]] == [
        f"sft step {step} of at most 3" for step in (1, 2, 3)
    ]
    assert (RunFolder(settings).initial / "config.json").exists()
    make_initial_policy(settings, said.append)
    assert "was already in" in said[-1]


def test_a_policy_made_with_other_settings_is_not_gone_on_with(tmp_path) -> None:
    settings = quick(tmp_path, 0.0)
    folder = RunFolder(settings)
    make_initial_policy(settings, lambda _: None)
    smaller = msgspec.structs.replace(settings.model, num_layers=1)
    other = msgspec.structs.replace(settings, model=smaller)
    words = rf"model.num_layers is 1, but the policy in {folder.initial} was made with 2: remove"
    with pytest.raises(SettingsError, match=words):
        make_initial_policy(other, lambda _: None)
    elsewhere = msgspec.structs.replace(
        settings, batch=msgspec.structs.replace(settings.batch, num_groups=3)
    )
    make_initial_policy(elsewhere, lambda _: None)
    folder.initial_settings.unlink()
    make_initial_policy(other, lambda _: None)


def test_a_missed_target_is_exit_status_1(tmp_path) -> None:
    file = tmp_path / "quick.toml"
    file.write_text(to_toml(quick(tmp_path, 0.9)))
    ended = CliRunner().invoke(app, ["sft", "@", str(file)], prog_name="learner")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("learner: supervised fine-tuning has reached a reward of 0.00")
    assert ended.stderr.count("\n") == 1


def test_a_model_that_no_machine_holds_is_refused(tmp_path) -> None:
    settings = tiny_settings(tmp_path)
    model = msgspec.structs.replace(
        settings.model, hidden_size=65_536, num_experts=4096, moe_intermediate_size=1 << 20
    )
    check_memory(settings)
    huge = msgspec.structs.replace(settings, model=model)
    with pytest.raises(SettingsError, match=r"takes at least [\d.]+ TiB .* this machine has"):
        check_memory(huge)
    with pytest.raises(SettingsError, match="at least"):
        make_initial_policy(huge, lambda _: None)
    assert not RunFolder(huge).path.exists()
