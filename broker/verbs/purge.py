"""`broker purge`, `cut-off` and `let-in`: messages that nobody wants judged, and who sends them."""

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY, find_connection
from broker.program.command import Servers
from broker.verbs.options import Json, Nats, Run, RunOption, SettingsFile, ask, named_file
from schemas import names
from schemas.errors import UserError
from schemas.policy import PolicyId
from schemas.purge import PurgeReason, PurgeRequest
from schemas.settings import Connection

if TYPE_CHECKING:
    from broker.removal import Removal

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for a confirmation.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]
Whom = Annotated[str, typer.Argument(help="The actor: his id, the beginning of it, or his name.")]


def purge(
    run: Run = "",
    actor: Annotated[
        str, typer.Option(help="Of one actor: his id, the beginning of it, or his name.")
    ] = "",
    shard: Annotated[str, typer.Option(help="In one queue.")] = "",
    version: Annotated[
        str, typer.Option(help="Made with one policy, as its incarnation and version: 1-7.")
    ] = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Remove messages that have no verdict from the queues, and count them in the log.

    Whoever sent them may go on. The number that goes is to be typed before anything does.
    """
    connection = find_connection(named_file(settings), nats=nats, directory=servers)
    meant = _run(connection, run)
    asked = PurgeRequest(
        run=meant,
        reason=PurgeReason.PURGED,
        actor=_who(connection, meant, actor) if actor else None,
        shard=_named(shard, "shard"),
        policy=_policy(version),
    )
    _carry_out(connection, asked, dry_run=dry_run, yes=yes, json=json)


def cut_off(
    actor: Whom,
    run: RunOption = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """End an actor's leases, remove and count its messages, and reject all that it sends.

    What was accepted of it stays. `broker let-in` undoes it; its connections stay open: see revoke.
    """
    connection = find_connection(named_file(settings), nats=nats, directory=servers)
    meant = _run(connection, run)
    whom = _who(connection, meant, actor)
    asked = PurgeRequest(run=meant, reason=PurgeReason.CUT_OFF, actor=whom)
    _carry_out(connection, asked, dry_run=dry_run, yes=yes, json=json)


def let_in(
    actor: Whom,
    run: RunOption = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
) -> None:
    """Let an actor that was cut off work again."""
    from broker.program import screen
    from broker.removal import let_in as let

    connection = find_connection(named_file(settings), nats=nats, directory=servers)
    meant = _run(connection, run)
    whom = _who(connection, meant, actor)
    ask(connection, lambda broker: let(broker, meant, whom))
    screen.show_line(f"{whom} may work again.")


def _carry_out(
    connection: Connection, asked: PurgeRequest, *, dry_run: bool, yes: bool, json: bool
) -> None:
    """Look, ask whoever types, and do it."""
    from broker.look import removal_view
    from broker.program import screen
    from broker.removal import look, remove

    looked = ask(connection, lambda broker: look(broker, asked))
    if not json or not (yes or dry_run):
        removal_view.show_look(looked)
    done = looked
    cuts_off = asked.reason is PurgeReason.CUT_OFF
    if not dry_run and (looked.num_messages or cuts_off):
        if not yes:
            _confirm(looked)
        done = ask(connection, lambda broker: remove(broker, asked, looked))
    if json:
        screen.show_json(done)
    elif done.done:
        removal_view.show_done(looked, done)


def _confirm(looked: "Removal") -> None:
    """Raises UserError unless the number that goes is typed."""
    if not sys.stdin.isatty():
        raise UserError("nothing is removed: --yes is needed where nobody can be asked")
    print(f"Type {looked.num_messages} to do it: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().replace(",", "") != str(looked.num_messages):
        raise UserError("nothing is removed")


def _run(connection: Connection, run: str) -> str:
    from broker.inventory import the_run

    return ask(connection, lambda broker: the_run(broker, run))


def _who(connection: Connection, run: str, typed: str) -> str:
    """The whole id of the actor that is meant, which is said where it is not what was typed.

    Raises:
        UserError: the run has no such actor, or several.
    """
    from broker.look.who import actors_of, called_in, the_actor

    known = ask(connection, lambda broker: actors_of(broker, run))
    whole = the_actor(typed, known, called_in(connection.accounts))
    if whole != typed:
        typer.echo(f"The actor is {whole}.", err=True)
    return whole


def _named(text: str, what: str) -> str | None:
    """A name, or None where none is given. Raises UserError when it is no name."""
    try:
        return names.token(text) if text else None
    except ValueError as error:
        raise UserError(f"--{what}: {error}") from None


def _policy(text: str) -> PolicyId | None:
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})", text)
    if not found:
        raise UserError(
            f"--version is incarnation and version of a policy, as 1-7; {text[:40]!r} is neither"
        )
    return PolicyId(int(found[1]), int(found[2]))
