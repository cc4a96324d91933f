"""What the documents say exists: commands, links, settings files, an environment, deployments."""

import re
import shlex
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
import structlog
import typer

from actors.cli import app as actor
from broker.cli import app as broker
from broker.embedded import nats_server
from environments import renderer
from environments.interface import Completion
from learner.cli import app as learner
from schemas.resolve import resolve
from schemas.rollout import Finish
from schemas.settings import ActorSettings, EnvironmentSettings, LearnerSettings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])
EXAMPLES = sorted(ROOT.glob("examples/*.toml"))
UNITS = sorted(ROOT.glob("deploy/systemd/*.service"))
PROGRAMS = {
    name: typer.main.get_command(app)
    for name, app in {"actor": actor, "broker": broker, "learner": learner}.items()
}
SETTINGS = {"actor": ActorSettings, "learner": LearnerSettings, "broker": LearnerSettings}
LINE = re.compile(r"^(?:#\s+| {4,}(?:\$ )?)((?:actor|broker|learner) [a-z].*)$", re.MULTILINE)
QUOTED = re.compile(r"`((?:actor|broker|learner) [a-z][^`]*)`")
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


@pytest.fixture(autouse=True)
def default_logs():
    yield
    structlog.reset_defaults()


def in_words(text: str) -> list[list[str]]:
    """Every command line of a document, without its comment, as a shell would split it."""
    lines = [*LINE.findall(text.replace("\\\n", " ")), *QUOTED.findall(text)]
    # [RUN] is a word that may be left out.
    return [shlex.split(re.sub(r"[\[\]]", "", line.partition("  #")[0])) for line in lines]


def check(program: str, verb: str, *words: str) -> None:
    """Parse as the program does: the verb and its options, then the settings."""
    commands = PROGRAMS[program].commands  # type: ignore[attr-defined]
    assert verb in commands, f"{program} has no verb {verb}"
    command = commands[verb]
    # Documents leave out what does not matter where they name a verb.
    context = typer.Context(command, info_name=verb, **command.context_settings)
    _, left, _ = command.make_parser(context).parse_args(list(words))
    for file in (word for word in left if word.endswith(".toml")):
        made = ("run.toml", "file.toml", "runs/first/settings.toml", "runs/demo/settings.toml")
        assert file in made or file.startswith("/") or (ROOT / file).exists()
    # The name of the run is often in a file, which is not read here.
    run = ["--name", "any"] if SETTINGS[program] is LearnerSettings else []
    resolve(SETTINGS[program], [*run, *(word for word in without_files(left) if word != "...")])


def without_files(words: list[str]) -> list[str]:
    """Settings that follow a verb, without the files behind `@`."""
    kept, remaining = [], list(words)
    while remaining:
        word = remaining.pop(0)
        if word == "@":
            remaining.pop(0)
        else:
            kept.append(word)
    return kept


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_line_parses(document):
    for program, *words in in_words(document.read_text(encoding="utf-8")):
        check(program, *words)


def test_commands_are_found_and_mistakes_in_them_too():
    text = "    $ broker why 7\nor `learner replay x --verify`\n# actor check\n"
    assert [words[:2] for words in in_words(text)] == [
        ["broker", "why"],
        ["actor", "check"],
        ["learner", "replay"],
    ]
    with pytest.raises(AssertionError, match="no verb dance"):
        check("broker", "dance")
    with pytest.raises(Exception, match="No such option: --rum"):
        check("broker", "why", "7", "--rum", "demo")
    with pytest.raises(Exception, match="nearest is trainer"):
        check("learner", "run", "--trainer.num_step", "3")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: path.name)
def test_every_example_resolves(file):
    assert resolve(LearnerSettings, ["@", str(file)])
    for program, *words in in_words(file.read_text(encoding="utf-8")):
        check(program, *words)


async def test_the_environment_of_the_quickstart_works():
    text = (ROOT / "docs/quickstart-environment.md").read_text(encoding="utf-8")
    block = re.search(r'^ {4}""".+?(?=^\S)', text, re.MULTILINE | re.DOTALL)
    assert block
    module = {"__file__": str(ROOT / "environments/ordered.py")}
    source = textwrap.dedent(block[0]).replace("__file__)", f"{renderer.__file__!r})")
    exec(compile(source, "quickstart", "exec"), module)
    environment = module["build"](EnvironmentSettings(id="ordered"))  # type: ignore[operator]
    problem = environment.problem(3)
    assert problem.answer == "".join(sorted(problem.question.removeprefix("o:")))

    async def say_the_reference(_: tuple[int, ...]) -> Completion:
        (_, said) = environment.reference(3)
        return Completion(token_ids=said.token_ids, finish=Finish.STOP)

    assert (await environment.run(3, say_the_reference)).reward == 1.0


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_every_unit_starts_a_command_that_exists(unit):
    (started,) = re.findall(r"^ExecStart=(.+)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    program, *words = shlex.split(started.replace("%i", "first"))
    check(Path(program).name, *words)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_every_unit_without_a_word(unit, tmp_path):
    text = unit.read_text(encoding="utf-8").replace("/opt/tributary/bin/", f"{tmp_path}/")
    for program in PROGRAMS:
        (tmp_path / program).symlink_to("/bin/true")
    copy = tmp_path / unit.name
    copy.write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "verify", str(copy)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    name = unit.name.partition("@")[0]
    # Units of this machine that it is ordered after may be told of too.
    ours = [line for line in said.stderr.splitlines() if name in line]
    assert (said.returncode, ours) == (0, [])


def test_deployed_nats_server_is_the_one_that_we_test(tmp_path):
    nats_server.write_config(tmp_path, 4222)
    ours, deployed = (
        dict(re.findall(r"^ *(\w+): (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE))
        for path in (tmp_path / "nats.conf", ROOT / "deploy/nats/nats.conf")
    )
    for place in ("store_dir", "server_name"):
        del ours[place], deployed[place]
    assert deployed == ours
    assert deployed["sync_interval"] == "always"
