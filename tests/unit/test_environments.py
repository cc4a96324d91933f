"""Every built-in environment: references are perfect, answers are scored, tasks never change."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from environments import characters, renderer, scoring
from environments.assembled import assemble
from environments.catalogue import BUILDERS, open_environment, open_pinned
from environments.interface import Completion, Environment, Interaction, Turn
from schemas.errors import SettingsError
from schemas.rollout import Finish
from schemas.settings import EnvironmentSettings

GOLDEN = {
    "reverse": [
        "<begin>r:keg<reply>gek<stop>",
        "<begin>r:jotf<reply>ftoj<stop>",
        "<begin>r:svbrc<reply>crbvs<stop>",
    ],
    "arithmetic": [
        "<begin>886-75189=<reply>-74303<stop>",
        "<begin>1500+92818=<reply>94318<stop>",
        "<begin>32306+3855=<reply>36161<stop>",
    ],
    "lookup": [
        "<begin>w-p=<reply><call>w<stop><result>558953<reply>"
        "<call>p<stop><result>58629<reply>500324<stop>",
        "<begin>g+q=<reply><call>g<stop><result>68862<reply>"
        "<call>q<stop><result>655<reply>69517<stop>",
        "<begin>e+o=<reply><call>e<stop><result>2272<reply>"
        "<call>o<stop><result>88259<reply>90531<stop>",
    ],
}


@pytest.fixture(params=BUILDERS)
def environment(request: pytest.FixtureRequest) -> Environment:
    return open_environment(EnvironmentSettings(id=request.param))


async def play(environment: Environment, task: int, completions: list[tuple[int, ...]]):
    """Run a task on the given completions; the last one is repeated."""
    remaining = list(completions)

    async def sample(token_ids: tuple[int, ...]) -> Completion:
        said = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        stopped = said[-1:] == (characters.STOP,)
        return Completion(token_ids=said, finish=Finish.STOP if stopped else Finish.LENGTH)

    return await environment.run(task, sample)


def parts(interaction: Interaction) -> dict[str, float]:
    return {part.name: part.value for part in interaction.parts}


def said_by_policy(turns: tuple[Turn, ...]) -> list[tuple[int, ...]]:
    return [turn.token_ids for turn in turns if turn.sampled]


async def test_references_score_one(environment: Environment) -> None:
    for task in [*range(100), 2**53]:
        reference = environment.reference(task)
        interaction = await play(environment, task, said_by_policy(reference))
        assert interaction.turns == reference
        assert interaction.reward == 1.0
        assert parts(interaction) == {"exact": 1.0, "partial": 1.0}
        assert reference[0] == Turn(token_ids=environment.prompt(task), sampled=False)
        before_last = sum(len(turn.token_ids) for turn in reference[:-1])
        assert before_last <= environment.max_prompt_tokens


@pytest.mark.parametrize(
    "said",
    [
        (),
        (characters.STOP,),
        renderer.answer("-"),
        renderer.answer("9" * 5000),
        renderer.answer("zz zz"),
        (characters.CALL, characters.STOP),
        (characters.CALL, *characters.encode("ab"), characters.STOP),
        (characters.CALL, *characters.encode("7"), characters.STOP),
        (characters.CALL, characters.CALL, characters.STOP),
        (characters.BEGIN, characters.PAD, characters.STOP),
        (characters.SIZE + 1, characters.STOP),
        (2**32 - 1,),
        characters.encode("never ends"),
    ],
)
async def test_wrong_answers_are_scored_not_raised(
    environment: Environment, said: tuple[int, ...]
) -> None:
    interaction = await play(environment, 3, [said])
    assert interaction.reward == 0.0
    assert parts(interaction)["exact"] == 0.0
    assert 0.0 <= parts(interaction)["partial"] < 1.0
    assert interaction.turns[-1] == Turn(token_ids=said, sampled=True)


async def test_a_right_answer_that_is_cut_off_scores_zero(environment: Environment) -> None:
    said = said_by_policy(environment.reference(5))
    said[-1] = said[-1][:-1]
    interaction = await play(environment, 5, said)
    assert interaction.finish is Finish.LENGTH
    assert parts(interaction)["exact"] == 0.0


async def test_the_named_part_is_trained_on() -> None:
    settings = EnvironmentSettings(id="reverse", train_on="partial", smallest=4, largest=4)
    environment = open_environment(settings)
    right = said_by_policy(environment.reference(0))[0]
    wrong = (characters.encode("0")[0], *right[1:])
    interaction = await play(environment, 0, [wrong])
    assert parts(interaction) == {"exact": 0.0, "partial": 0.75}
    assert interaction.reward == 0.75


async def test_lookup_stops_answering_calls() -> None:
    environment = open_environment(EnvironmentSettings(id="lookup"))
    interaction = await play(environment, 0, [renderer.call("a")])
    assert len(interaction.turns) == 10
    assert interaction.reward == 0.0
    rendered = sum(len(turn.token_ids) for turn in interaction.turns[:-1])
    assert rendered <= environment.max_prompt_tokens


async def test_lookup_credits_asking() -> None:
    environment = open_environment(EnvironmentSettings(id="lookup"))
    calls = said_by_policy(environment.reference(0))[:2]
    interaction = await play(environment, 0, [*calls, renderer.answer("?")])
    assert parts(interaction)["partial"] == 0.5


def test_assemble_marks_what_was_sampled() -> None:
    interaction = Interaction(
        turns=(
            Turn(token_ids=(1, 9), sampled=False),
            Turn(token_ids=(7, 8, 2), sampled=True),
            Turn(token_ids=(4,), sampled=False),
            Turn(token_ids=(2,), sampled=True),
        ),
        finish=Finish.STOP,
        reward=0.0,
        parts=(),
    )
    assembled = assemble(interaction.turns)
    assert assembled.token_ids == (1, 9, 7, 8, 2, 4, 2)
    assert assembled.loss_mask == bytes([0, 0, 1, 1, 1, 0, 1])


def texts(environment: Environment) -> list[str]:
    tasks = (0, 1, 2**53)
    return [
        "".join(characters.decode(t.token_ids) for t in environment.reference(i)) for i in tasks
    ]


def test_golden_tasks(environment: Environment) -> None:
    assert texts(environment) == GOLDEN.get(environment.ref.id)


def test_tasks_are_the_same_in_another_process(environment: Environment) -> None:
    program = (
        "import sys\n"
        "from environments.catalogue import open_environment\n"
        "from schemas.settings import EnvironmentSettings\n"
        "e = open_environment(EnvironmentSettings(id=sys.argv[1]))\n"
        "print(e.ref.digest, e.renderer, [e.reference(task) for task in range(20)])\n"
        "print('torch' in sys.modules or 'transformers' in sys.modules)\n"
    )
    ref = environment.ref
    expected = (
        f"{ref.digest} {environment.renderer} {[environment.reference(task) for task in range(20)]}"
    )
    command = [sys.executable, "-c", program, ref.id]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [expected, "False"]


def test_tasks_differ(environment: Environment) -> None:
    assert len({environment.prompt(task) for task in range(50)}) > 40


@pytest.mark.parametrize("environment_id", BUILDERS)
def test_the_digest_covers_every_module_that_is_imported(tmp_path: Path, environment_id) -> None:
    """In a process of its own, which changes one module of a copy after the other."""
    root = Path(__file__).parents[2]
    shutil.copytree(root / "environments", tmp_path / "environments")
    (tmp_path / "schemas").symlink_to(root / "schemas")
    program = (
        "import importlib, pathlib, sys\n"
        "from schemas.settings import EnvironmentSettings\n"
        "settings = EnvironmentSettings(id=sys.argv[1])\n"
        "environment = importlib.import_module(f'environments.{settings.id}')\n"
        "modules = [m for name, m in sys.modules.items() if name.startswith('environments.')]\n"
        "digests = {environment.build(settings).ref.digest}\n"
        "for module in modules:\n"
        "    with pathlib.Path(module.__file__).open('a') as file:\n"
        "        file.write('\\n')\n"
        "    digests.add(environment.build(settings).ref.digest)\n"
        "print(len(modules), len(digests))\n"
    )
    command = [sys.executable, "-c", program, environment_id]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    num_modules, num_digests = map(int, printed.stdout.split())
    assert num_digests == num_modules + 1 > 6


@pytest.mark.parametrize("change", [{"largest": 7}, {"smallest": 2}, {"train_on": "partial"}])
def test_the_digest_covers_the_parameters(environment: Environment, change: dict) -> None:
    settings = EnvironmentSettings(id=environment.ref.id)
    changed = open_environment(msgspec.structs.replace(settings, **change))
    assert changed.ref.digest != environment.ref.digest
    assert changed.renderer == environment.renderer


def test_all_lengths_occur() -> None:
    environment = open_environment(EnvironmentSettings(id="reverse"))
    assert {len(environment.prompt(task)) - 4 for task in range(200)} == {3, 4, 5, 6}


def test_a_ref_opens_what_it_pins(environment: Environment) -> None:
    assert open_pinned(environment.ref).ref == environment.ref
    other = msgspec.structs.replace(environment.ref, digest="0" * 64)
    words = (
        rf"needs environment {other.id} version 1 \(source digest 000000000000\), "
        rf"here it is version 1 \({environment.ref.digest[:12]}\): install"
    )
    with pytest.raises(SettingsError, match=words):
        open_pinned(other)
    unknown = msgspec.structs.replace(environment.ref, id="elsewhere")
    with pytest.raises(
        SettingsError, match=r"elsewhere .* here are only reverse, arith.*: install"
    ):
        open_pinned(unknown)


def test_settings_that_contradict() -> None:
    with pytest.raises(SettingsError, match="reverse, arithmetic, lookup"):
        open_environment(EnvironmentSettings(id="revers"))
    with pytest.raises(SettingsError, match="above"):
        open_environment(EnvironmentSettings(smallest=5, largest=4))


def test_digits_agree_from_the_units() -> None:
    assert scoring.digit_agreement("1357", "357") == 0.75
    assert scoring.digit_agreement("", "357") == 0.0
