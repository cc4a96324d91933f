"""An actor's key in a line for people: its first characters tell the actors of a run apart."""

import re
from typing import Final

KEY: Final = re.compile(r"\b[A-Z2-7]{56}\b")
"""An actor's id, where it is the public half of his key."""
_SHORT: Final = 8


def short_keys(text: str) -> str:
    """The text with its keys cut.

    >>> short_keys("lease of ALICEABC" + "A" * 48 + " expired")
    'lease of ALICEABC… expired'
    """
    return KEY.sub(lambda found: f"{found[0][:_SHORT]}…", text)
