"""What `actor`, `broker` and `learner` share: how they fail, and how they take settings.

    app = application("What the command is for.")

    @app.command(**takes(LearnerSettings))
    def run(context: typer.Context) -> None:
        settings = settings_from(context, LearnerSettings)

Whatever the person at the keyboard can mend is one sentence on standard error and exit status 2,
never a traceback.
"""

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec
import typer
from typer.core import TyperCommand, TyperGroup

from broker.program.os_error import in_words
from broker.program.sanitise import sanitise
from schemas.described import described, meaning_of
from schemas.errors import ServerMissing, SettingsError, TributaryError, UserError
from schemas.listed import listed
from schemas.nearest import unknown_setting
from schemas.resolve import resolve, to_explained_toml

T = TypeVar("T", bound=msgspec.Struct)


def _show_version(asked: bool) -> None:
    from broker.program.version import version_line

    if asked:
        typer.echo(version_line())
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version",
        callback=_show_version,
        is_eager=True,
        help="Print the version, and the digest of the learner's code.",
    ),
]

_FOLDER: Final = "broker.program.command.folder"
_SERVERS: Final = "broker.program.command.servers"
"""Keys in a typer context's `meta`, which a verb shares with its application."""


def _keep_in_mind(context: typer.Context, directory: Path) -> Path:
    """For the sentence when a server that was started there does not run."""
    context.meta[_SERVERS] = directory
    return directory


Servers = Annotated[
    Path,
    typer.Option(
        "--servers",
        callback=_keep_in_mind,
        help="Directory of the servers that `broker up` started.",
    ),
]


class SettingsCommand(TyperCommand):
    """A verb that settings follow, and whose help lists them; the context's `obj` is their kind."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Name what is neither an option nor a setting, before it takes the next word as value."""
        options = _long_options(self)
        for word in args:
            name = word.removeprefix("--").partition("=")[0]
            # What has a dot can only be meant for a setting.
            if word.startswith("--") and name not in options and "." not in name:
                self._refuse_argument(ctx, name)
                self._refuse_unknown(ctx, name, options)
        rest = super().parse_args(ctx, args)
        for argument in self._arguments():
            if str(word := ctx.params[argument.name]).startswith(("@", "--")):
                if not argument.required:
                    # It was left out: what was taken for it is the first of the settings.
                    ctx.args.insert(0, word)
                    ctx.params[argument.name] = argument.default
                    continue
                typed = f"`{ctx.command_path} {argument.metavar} ...`"
                raise UserError(f"{argument.metavar} comes before the settings: {typed}")
        return rest

    def _arguments(self) -> list[Any]:
        return [param for param in self.params if param.param_type_name == "argument"]

    def _refuse_argument(self, ctx: typer.Context, name: str) -> None:
        for argument in self._arguments():
            if argument.name == name.replace("-", "_"):
                alone = f"`{ctx.command_path} {argument.metavar}`"
                raise UserError(f"{argument.metavar} is said without --{name}: {alone}")

    def _refuse_unknown(self, ctx: typer.Context, name: str, options: set[str]) -> None:
        known = described(ctx.obj)
        if any(path.partition(".")[0] == name for path in known):
            return
        if others := _verbs_with(ctx, name):
            does = "does" if len(others) == 1 else "do"
            raise UserError(
                f"`{ctx.command_path}` takes no --{name}; {listed(others, 'and')} {does}"
            )
        raise SettingsError(unknown_setting(name, [*known, *options]))

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Show in the first line that settings may follow."""
        return [*super().collect_usage_pieces(ctx), "[@ FILE.toml] [--SETTING VALUE]..."]

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Show the options, and then the settings."""
        super().format_help(ctx, formatter)
        rows = [
            (f"--{setting.path}", f"{meaning_of(setting)} {_shown(setting.default)}")
            for setting in described(ctx.obj).values()
        ]
        with formatter.section("Settings"):
            formatter.write_dl(rows)


def _long_options(command: Any) -> set[str]:
    """Without their dashes."""
    words = {word for param in command.params for word in (*param.opts, *param.secondary_opts)}
    return {word[2:] for word in words if word.startswith("--")} | {"help"}


def _verbs_with(ctx: typer.Context, option: str) -> list[str]:
    """Other verbs of the application that take an option."""
    if ctx.parent is None:
        return []
    verbs: dict[str, Any] = getattr(ctx.parent.command, "commands", {})
    return [
        f"`{ctx.parent.command_path} {verb}`"
        for verb, command in verbs.items()
        if option in _long_options(command)
    ]


def takes(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Keywords of `app.command` for a verb that is followed by `@ file.toml` and `--a.b value`."""
    context = {"allow_extra_args": True, "ignore_unknown_options": True, "obj": kind}
    return {"cls": SettingsCommand, "context_settings": context}


def _shown(default: object) -> str:
    return (
        "[must be said]"
        if default is None
        else f"[default: {msgspec.json.encode(default).decode()}]"
    )


class OneSentence(TyperGroup):
    """Verbs whose errors are one sentence."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take the options before the verb; without any word the help is shown."""
        if not args:
            return super().parse_args(ctx, args)
        with _one_sentence(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run the verb; an error of our tree ends the program with its own exit status."""
        with _one_sentence(ctx):
            return super().invoke(ctx)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Find the verb; one that takes no settings does not take `@` for an argument."""
        found = name, command, rest = super().resolve_command(ctx, args)
        if any(word.startswith("@") for word in rest) and not isinstance(command, SettingsCommand):
            verb = f"`{ctx.command_path} {name}`"
            instead = "; --settings FILE names one" if "settings" in _long_options(command) else ""
            raise UserError(f"{verb} reads no file of settings behind an @{instead}")
        return found


@contextlib.contextmanager
def _one_sentence(context: typer.Context) -> Iterator[None]:
    try:
        yield
    except TributaryError as error:
        _fail(context, f"{error}{_how_to_start(error, context)}", error.exit_status)
    except BrokenPipeError:
        raise  # Whoever read our output has seen enough; typer ends the program without a word.
    except OSError as error:
        # A full disk, a folder that may not be written: the machine's, not a bug of ours.
        words = in_words(error, context.meta.get(_FOLDER, ""))
        _fail(context, words, UserError.exit_status)
    except typer.TyperException as error:
        verb = " ".join(filter(None, [context.command_path, context.invoked_subcommand]))
        words = _as_clause(error.format_message())
        if meaning := _meaning_of_missing(error):
            words = f"{words}, {meaning}"
        _fail(context, f"{words}; see `{verb} --help`", error.exit_code)


def _how_to_start(error: TributaryError, context: typer.Context) -> str:
    """What to do about a server that nobody has started, for a verb that knows where that is done.

    `actor` has no such verb: the servers are somebody else's.
    """
    if not isinstance(error, ServerMissing) or not error.nobody_at or _SERVERS not in context.meta:
        return ""
    from broker.addresses import how_to_start

    return how_to_start(error.nobody_at, context.meta[_SERVERS])


def _meaning_of_missing(error: typer.TyperException) -> str:
    """What an argument is that was left out, or nothing."""
    missing: Any = getattr(error, "param", None)
    if missing is None or not error.format_message().startswith("Missing argument"):
        return ""
    meaning = (missing.help or "").rstrip(".")
    return meaning[:1].lower() + meaning[1:]


def _as_clause(message: str) -> str:
    """What typer says in one or two sentences, as a part of ours.

    >>> _as_clause("No such command 'star'. Did you mean 'start'?")
    "no such command 'star', did you mean 'start'"
    """
    joined = message.rstrip(".?").replace(". ", ", ")
    return re.sub(r"(?:^|(?<=[,:] ))[A-Z](?=[a-z])", lambda found: found[0].lower(), joined)


def _fail(context: typer.Context, sentence: str, exit_status: int) -> NoReturn:
    typer.echo(f"{context.info_name}: {sanitise(sentence, max_length=2000)}", err=True)
    raise typer.Exit(exit_status) from None


def writes_below(context: typer.Context, folder: Path | str) -> None:
    """Say where the verb writes, for the sentence when the disk there is full."""
    context.meta[_FOLDER] = str(folder)


def application(purpose: str, *, log_level: int = logging.INFO) -> typer.Typer:
    """A typer application for one command's verbs; its log lines go to standard error."""

    def begin(version: Version = False) -> None:
        from broker.program.logs import log_to_stderr

        log_to_stderr(log_level)

    return typer.Typer(
        cls=OneSentence,
        callback=begin,
        help=purpose,
        no_args_is_help=True,
        add_completion=False,
        # A traceback of ours is a bug: it is shown as Python shows it, without local variables.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def settings_from(context: typer.Context, kind: type[T]) -> T:
    """The settings that follow the verb.

    Raises:
        SettingsError: a file cannot be read, a setting is unknown or has a value out of bounds.
    """
    return resolve(kind, context.args)


def show_settings(settings: msgspec.Struct) -> None:
    """Print resolved settings as TOML that can be given back, each with its meaning."""
    typer.echo(to_explained_toml(settings), nl=False)
