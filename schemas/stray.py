"""What a word was meant for that is neither a setting nor a file of settings.

>>> stray_word("run.toml", ["name"])
'run.toml is no setting: a file of settings stands behind an @, `@ run.toml`'
>>> stray_word("trainer.num_steps=3", ["trainer.num_steps"])
'trainer.num_steps=3 is no setting: they begin with two dashes, `--trainer.num_steps=3`'
>>> stray_word("first", ["name"])
'first is no setting: `--name first` would name the run, and `@ FILE.toml` a file of settings'
>>> stray_word("first", ["home"])
'first is no setting: they are `--SETTING VALUE`, and files of them `@ FILE.toml`'
"""

import re
from collections.abc import Collection

from schemas.types import TOKEN_PATTERN


def stray_word(word: str, known: Collection[str]) -> str:
    """The sentence for a word that stands where a setting should."""
    if word.endswith(".toml"):
        meant = f"a file of settings stands behind an @, `@ {word}`"
    elif word.endswith(".json"):
        meant = "a run card is for `actor start`, and for `actor check --run`"
    elif "=" in word or word.startswith("-"):
        meant = f"they begin with two dashes, `--{word.lstrip('-')}`"
    elif "name" in known and re.match(TOKEN_PATTERN, word):
        meant = f"`--name {word}` would name the run, and `@ FILE.toml` a file of settings"
    else:
        meant = "they are `--SETTING VALUE`, and files of them `@ FILE.toml`"
    return f"{word} is no setting: {meant}"
