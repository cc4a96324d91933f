"""What `actor`, `broker` and `learner` share: how they fail, and how they take settings.

    app = application("What the command is for.")

    @app.command(context_settings=TAKES_SETTINGS)
    def run(context: typer.Context) -> None:
        settings = settings_from(context, LearnerSettings)

Whatever the person at the keyboard can mend is one sentence on standard error and exit status 2,
never a traceback.
"""

import logging
from typing import Any, Final, TypeVar

import msgspec
import typer
from typer.core import TyperGroup

from broker.sanitise import sanitise
from schemas.errors import TributaryError, UserError
from schemas.resolve import resolve

T = TypeVar("T", bound=msgspec.Struct)

TAKES_SETTINGS: Final[dict[str, Any]] = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
}
"""Context settings of a verb that is followed by `@ file.toml` and `--dotted.name value`."""


class OneSentence(TyperGroup):
    """Verbs whose errors are one sentence."""

    def invoke(self, ctx: typer.Context) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run the verb; an error of our tree ends the program with its own exit status."""
        try:
            return super().invoke(ctx)
        except TributaryError as error:
            typer.echo(f"{ctx.info_name}: {sanitise(str(error), max_length=2000)}", err=True)
            raise typer.Exit(error.exit_status) from None
        except OSError as error:
            # A full disk, a folder that may not be written: the machine's, not a bug of ours.
            typer.echo(f"{ctx.info_name}: {sanitise(str(error), max_length=2000)}", err=True)
            raise typer.Exit(UserError.exit_status) from None


def application(purpose: str, *, log_level: int = logging.INFO) -> typer.Typer:
    """A typer application for one command's verbs; its log lines go to standard error."""

    def set_up_logs() -> None:
        from broker.logs import log_to_stderr

        log_to_stderr(log_level)

    return typer.Typer(
        cls=OneSentence,
        callback=set_up_logs,
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
