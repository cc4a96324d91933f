"""How token ids are read by people, where the renderer that made them is at hand.

A run's opening names its renderer by a digest. Another Tributary may have rendered it, and then
there is no way to tell what its ids mean.
"""

from collections.abc import Callable

from environments import characters, renderer

Spell = Callable[[int], str]
"""The text of one token."""


def speller(renderer_identity: str) -> Spell | None:
    """How to spell the tokens of a renderer; None where it is not the one here."""
    if renderer_identity != renderer.identity():
        return None
    return lambda token_id: characters.decode((token_id,))
