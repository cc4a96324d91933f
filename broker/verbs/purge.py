"""`broker purge`, `cut-off` and `let-in`: messages that nobody wants judged, and who sends them."""

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY, find_connection
from broker.interface import Broker
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
Whom = Annotated[str, typer.Argument(help="The actor's whole id.")]


def purge(
    run: Run = "",
    actor: Annotated[str, typer.Option(help="Of one actor: its whole id.")] = "",
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
    asked = PurgeRequest(
        run=_run(connection, run),
        reason=PurgeReason.PURGED,
        actor=_named(actor, "actor"),
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
    asked = PurgeRequest(
        run=_run(connection, run), reason=PurgeReason.CUT_OFF, actor=_named(actor, "actor")
    )
    _carry_out(connection, asked, dry_run=dry_run, yes=yes, json=json)


def let_in(
    actor: Whom,
    run: RunOption = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
) -> None:
    """Let an actor that was cut off work again."""
    from broker.inventory import the_run
    from broker.program import screen
    from broker.removal import let_in as let

    connection = find_connection(named_file(settings), nats=nats, directory=servers)

    async def ask_for_it(broker: Broker) -> None:
        await let(broker, await the_run(broker, run), str(_named(actor, "actor")))

    ask(connection, ask_for_it)
    screen.show_line(f"{actor} may work again.")


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
