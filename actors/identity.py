"""Who an actor is: a key in its home, made at the first start, whose public half is its id."""

from pathlib import Path

from broker.actor_key import ActorKey
from broker.program.os_error import in_words
from schemas.errors import UserError
from schemas.settings import ActorSettings


def home_of(settings: ActorSettings) -> Path:
    """The actor's folder; `~` is the user's."""
    return Path(settings.home).expanduser()


def make_private(folder: Path) -> None:
    """Make a folder in which keys lie, for its owner alone, and those above it that are missing.

    Raises:
        UserError: it cannot be made.
    """
    try:
        for missing in reversed([part for part in (folder, *folder.parents) if not part.exists()]):
            missing.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(f"cannot write to the actor's home: {in_words(error)}") from None


def open_key(home: Path) -> ActorKey:
    """The key of this home, made if there is none.

    Raises:
        UserError: the folder cannot be written, or the key in it cannot be used.
    """
    path = home / "actor.key"
    if not path.exists():
        make_private(home)
        ActorKey.generate().save(path)
    return ActorKey.load(path)
