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


def gate(run: str, settings: Path) -> list[str]:
    return broker("gate", run, "--settings", str(settings))


def invite(name: str, run: str, settings: Path) -> list[str]:
    return broker("invite", name, "--run", run, "--settings", str(settings), "--json")


def join(link: str, home: Path) -> list[str]:
    return [_script("actor"), "join", link, "--home", str(home)]


def actor(run: str, home: Path) -> list[str]:
    return [_script("actor"), "start", run, "--home", str(home)]


def liar(run: str, home: Path) -> list[str]:
    """The same daemon, which claims reward 1 for everything."""
    return [sys.executable, str(_LIAR), run, "--home", str(home)]


def _script(name: str) -> str:
    """The console script that was installed beside this interpreter."""
    return str(Path(sysconfig.get_path("scripts")) / name)
