"""The commands of everybody in the demo."""

import sys
import sysconfig
from pathlib import Path
from typing import Final

_CHECKOUT: Final = Path(__file__).parents[2]
SETTINGS_FILE: Final = _CHECKOUT / "examples" / "demo.toml"
_LIAR: Final = _CHECKOUT / "examples" / "liar.py"


def learner(verb: str, *arguments: str) -> list[str]:
    return [_script("learner"), verb, *arguments]


def broker(verb: str, *arguments: str) -> list[str]:
    return [_script("broker"), verb, *arguments]


def actor(card: Path, home: Path) -> list[str]:
    return [_script("actor"), "start", str(card), "--home", str(home)]


def liar(card: Path, home: Path) -> list[str]:
    """The same daemon, which claims reward 1 for everything."""
    return [sys.executable, str(_LIAR), str(card), "--home", str(home)]


def actor_id(home: Path) -> list[str]:
    return [_script("actor"), "id", "--home", str(home)]


def _script(name: str) -> str:
    """The console script that was installed beside this interpreter."""
    return str(Path(sysconfig.get_path("scripts")) / name)
