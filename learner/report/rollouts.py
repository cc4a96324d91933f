"""One group's rollouts side by side: text, rewards, advantages, and how likely each token was.

A token's colour is its log-probability under the actor's policy: the stronger, the less likely it
was. Text that the environment rendered is grey.
"""

import math
from collections.abc import Callable, Iterator
from typing import Final

from environments import spelling
from learner.report.groups import ShownGroup
from learner.report.markup import table, tag, words
from learner.report.story import Story
from schemas.arrays import unpack_f32, unpack_u32
from schemas.rollout import Rollout

_LEVELS: Final = 9
_FULL_NATS: Final = 4.0
"""The strongest colour: a token of probability e^-4 or less."""
_SHOWN_TOKENS: Final = 512


def draw(story: Story, shown: ShownGroup) -> str:
    """The group as a table, one rollout a row."""
    spell = speller(story.opened.renderer)
    refused = shown.step is None
    heads = ["rollout", "reward"]
    heads += ["claimed"] if refused else ["advantage"]
    rows = []
    for index, rollout in enumerate(shown.group.rollouts):
        reward = shown.rewards[index]
        beside = (
            _claim(rollout.claimed_reward, reward)
            if refused
            else _signed_bar(shown.advantages[index])
        )
        rows.append((str(index), _bar(reward), beside, "".join(_tokens(rollout, spell))))
    return table([*heads, "tokens"], rows, class_="rollouts refused" if refused else "rollouts")


def speller(renderer_identity: str) -> Callable[[int], str]:
    """How token ids are shown: as characters where the run's renderer is our own, else as ids."""
    return spelling.speller(renderer_identity) or (lambda token_id: f"{token_id} ")


def heat(logprob: float) -> int:
    """0 for a certain token, up to 9 for an unlikely one.

    >>> heat(0.0), heat(math.log(0.5)), heat(-50.0)
    (0, 2, 9)
    """
    return min(_LEVELS, round(-logprob / _FULL_NATS * _LEVELS))


def _tokens(rollout: Rollout, spell: Callable[[int], str]) -> Iterator[str]:
    """Spans of markup: rendered text in grey, sampled tokens one by one."""
    logprobs = iter(unpack_f32(rollout.logprobs))
    rendered: list[str] = []
    token_ids = unpack_u32(rollout.token_ids)
    for token_id, sampled in zip(token_ids[:_SHOWN_TOKENS], rollout.loss_mask, strict=False):
        if not sampled:
            rendered.append(spell(token_id))
            continue
        if rendered:
            yield tag("span", words("".join(rendered)), class_="given")
            rendered = []
        logprob = next(logprobs)
        said = f"p = {math.exp(logprob):.3g}"
        yield tag("span", words(spell(token_id)), class_=f"heat{heat(logprob)}", title=said)
    if rendered:
        yield tag("span", words("".join(rendered)), class_="given")
    if len(token_ids) > _SHOWN_TOKENS:
        yield words(f" … and {len(token_ids) - _SHOWN_TOKENS} tokens more")


def _bar(value: float) -> str:
    share = round(max(0.0, min(1.0, value)) * 100)
    return tag("meter", value=share, min=0, max=100) + f" {value:.2f}"


def _signed_bar(value: float) -> str:
    side = "up" if value > 0 else "down" if value < 0 else ""
    return tag("span", f"{value:+.2f}", class_=f"sign {side}")


def _claim(claimed: float, reward: float) -> str:
    """What the actor said, marked where the learner found otherwise."""
    if math.isclose(claimed, reward, abs_tol=1e-6):
        return f"{claimed:.2f}"
    return tag("strong", f"{claimed:.2f}", class_="lie")
