import errno
from typing import Annotated

import pytest
import structlog
import typer
from typer.testing import CliRunner

from broker.program.command import application, settings_from, show_settings, takes, writes_below
from schemas.described import described
from schemas.errors import BrokerUnavailable, UserError
from schemas.settings import LearnerSettings

pytestmark = pytest.mark.usefixtures("default_logs")


@pytest.fixture
def app() -> typer.Typer:
    app = application("A toy.")

    @app.command()
    def mend() -> None:
        raise UserError("the file \x1b[31mis\nnot there")

    @app.command()
    def wait() -> None:
        raise BrokerUnavailable("no answer")

    @app.command()
    def bug() -> None:
        raise ValueError("a bug")

    @app.command()
    def write(context: typer.Context, number: int, name: str = "") -> None:
        writes_below(context, "/")
        raise OSError(number, "as the system says", name or None)

    @app.command(**takes(LearnerSettings))
    def show(context: typer.Context, twice: bool = False) -> None:
        settings = settings_from(context, LearnerSettings)
        typer.echo(f"{settings.name} {settings.trainer.num_steps} {twice}")

    @app.command(**takes(LearnerSettings))
    def draw(
        context: typer.Context,
        run: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run.")],
        large: bool = False,
    ) -> None:
        typer.echo(f"{run} {large} {' '.join(context.args)}")

    return app


def test_what_the_user_can_mend_is_one_sentence_and_status_2(app) -> None:
    result = CliRunner().invoke(app, ["mend"], prog_name="toy")
    assert result.exit_code == 2
    assert result.stderr == "toy: the file \\x1b[31mis\\nnot there\n"
    assert result.stdout == ""


def test_other_errors_of_ours_have_their_own_status(app) -> None:
    result = CliRunner().invoke(app, ["wait"], prog_name="toy")
    assert (result.exit_code, result.stderr) == (1, "toy: no answer\n")


def test_a_bug_is_not_hidden(app) -> None:
    result = CliRunner().invoke(app, ["bug"])
    assert isinstance(result.exception, ValueError)


@pytest.mark.parametrize(
    ("number", "name", "sentence"),
    [
        (errno.ENOSPC, "", "the disk of / is full: free some space, or name another folder"),
        (errno.ENOSPC, "{there}/away/.part-1", "the disk of {there} is full: free some space, or"),
        (errno.EROFS, "{there}/.part-1", "{there} cannot be written, its file system is read-only"),
        (errno.ENOENT, "{there}/away/.part-1", "there is no {there}/away: make it, or"),
        (errno.EACCES, "{there}", "this user may not use {there}: change its owner or its mode"),
        (errno.EIO, "{there}", "{there}: as the system says"),
        (errno.ECONNREFUSED, "", "as the system says"),
    ],
)
def test_what_the_system_refuses_is_one_sentence(app, tmp_path, number, name, sentence) -> None:
    words = ["write", str(number), "--name", name.format(there=tmp_path)]
    result = CliRunner().invoke(app, words, prog_name="toy")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"toy: {sentence.format(there=tmp_path)}")
    assert result.stderr.count("\n") == 1
    assert "Errno" not in result.stderr
    assert ".part-1" not in result.stderr


def test_a_reader_that_has_seen_enough_is_not_an_error(app) -> None:
    result = CliRunner().invoke(app, ["write", str(errno.EPIPE)], prog_name="toy")
    assert (result.exit_code, result.stderr) == (1, "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["write"], "missing argument 'number'; see `toy write --help`"),
        (["draw"], "missing argument 'RUN', name of a run; see `toy draw --help`"),
        (["draw", "@", "a.toml"], "RUN comes before the settings: `toy draw RUN ...`"),
        (["draw", "@a.toml"], "RUN comes before the settings: `toy draw RUN ...`"),
        (["draw", "--seed", "1", "a"], "RUN comes before the settings: `toy draw RUN ...`"),
        (["draw", "--large", "--seed=1"], "RUN comes before the settings: `toy draw RUN ...`"),
        (["draw", "--run", "a"], "RUN is said without --run: `toy draw RUN`"),
        (["mend", "@", "a.toml"], "`toy mend` reads no file of settings behind an @"),
        (["write", "x"], "invalid value for 'number': input should be"),
        (["write", "1", "--name"], "option '--name' requires an argument; see `toy write --help`"),
        (["mend", "--nope"], "no such option: --nope; see `toy mend --help`"),
        (["mend", "nope"], "got unexpected extra argument(s) (nope); see `toy mend --help`"),
        (["mendd"], "no such command 'mendd', did you mean 'mend'; see `toy --help`"),
        (["--nope"], "no such option: --nope; see `toy --help`"),
    ],
)
def test_a_wrong_use_is_one_sentence_and_status_2(app, words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, words, prog_name="toy")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"toy: {sentence}")
    assert result.stderr.count("\n") == 1


def test_without_a_verb_the_help_is_shown(app) -> None:
    assert "A toy." in CliRunner().invoke(app, [], prog_name="toy").output


def test_settings_follow_the_verb(app, tmp_path) -> None:
    (tmp_path / "run.toml").write_text('name = "mine"\n[trainer]\nnum_steps = 5\n')
    words = ["show", "@", str(tmp_path / "run.toml")]
    assert CliRunner().invoke(app, words).stdout == "mine 5 False\n"
    words += ["--trainer.num_steps", "6", "--twice", "--name=yours"]
    assert CliRunner().invoke(app, words).stdout == "yours 6 True\n"


def test_settings_follow_an_argument(app) -> None:
    words = ["draw", "--large", "mine", "@", "a.toml", "--seed", "1"]
    assert CliRunner().invoke(app, words).stdout == "mine True @ a.toml --seed 1\n"


def test_a_wrong_setting_is_one_sentence(app) -> None:
    result = CliRunner().invoke(app, ["show", "--trainer.num_step", "6"], prog_name="toy")
    assert result.exit_code == 2
    assert "unknown setting trainer.num_step; the nearest is trainer.num_steps" in result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "--deep", "--twice"], "`toy show` takes no --deep; `toy dig` and `toy look` do"),
        (["show", "--wide"], "`toy show` takes no --wide; `toy look` does"),
        (["show", "--jsn"], "unknown setting jsn; --help lists all settings"),
        (["show", "--twic", "--seed", "1"], "unknown setting twic; the nearest is twice"),
        (["show", "--seed"], "--seed must be followed by a value"),
        (["show", "--trainer", "1"], "trainer is a section and takes no value; it has "),
    ],
)
def test_a_word_that_is_no_option_is_named_and_not_its_neighbour(app, words, sentence) -> None:
    @app.command()
    def dig(deep: bool = False) -> None: ...

    @app.command()
    def look(deep: bool = False, wide: bool = False) -> None: ...

    result = CliRunner().invoke(app, words, prog_name="toy")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"toy: {sentence}")


def test_help_lists_every_setting_with_its_meaning(app) -> None:
    text = CliRunner().invoke(app, ["show", "--help"], prog_name="toy").stdout
    assert "[@ FILE.toml] [--SETTING VALUE]..." in text
    for setting in described(LearnerSettings).values():
        assert f"  --{setting.path} " in text
    assert "optimizer steps of the run [default: 200]" in text


def test_settings_are_shown_as_a_file_that_can_be_given_back(app, tmp_path) -> None:
    @app.command(**takes(LearnerSettings))
    def dry(context: typer.Context) -> None:
        show_settings(settings_from(context, LearnerSettings))

    shown = CliRunner().invoke(app, ["dry", "--name", "mine"]).stdout
    assert "  # optimizer steps of the run\n" in shown
    (tmp_path / "shown.toml").write_text(shown)
    again = CliRunner().invoke(app, ["show", "@", str(tmp_path / "shown.toml")])
    assert again.stdout == "mine 200 False\n"


def test_log_lines_go_to_standard_error_and_cannot_be_forged(app) -> None:
    @app.command()
    def log() -> None:
        structlog.get_logger().info("judged", detail="ok\nlevel=error \x1b[31m")
        structlog.get_logger().debug("too fine")

    result = CliRunner().invoke(app, ["log"])
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert r"ok\nlevel=error \x1b[31m" in result.stderr.replace("\\\\", "\\")
    assert "too fine" not in result.stderr
