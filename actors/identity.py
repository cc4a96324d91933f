"""Who an actor is: a key in its home, made at the first start, whose public half is its id."""

from pathlib import Path

from broker.actor_key import ActorKey
from schemas.errors import UserError
from schemas.settings import ActorSettings


def home_of(settings: ActorSettings) -> Path:
    """The actor's folder; `~` is the user's."""
    return Path(settings.home).expanduser()


def open_key(home: Path) -> ActorKey:
    """The key of this home, made if there is none.

    Raises:
        UserError: the folder cannot be written, or the key in it cannot be used.
    """
    path = home / "actor.key"
    if not path.exists():
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the actor's home {home}: {error.strerror}") from None
        ActorKey.generate().save(path)
    return ActorKey.load(path)
