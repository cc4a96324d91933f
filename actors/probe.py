"""The check between a load and the first token served: does this engine compute the policy?"""

from typing import Final

from actors.engine import Engine
from schemas.arrays import unpack_f32, unpack_u32
from schemas.errors import ProbeMismatch
from schemas.policy import Probe

THRESHOLDS: Final = {"f32": 1e-3, "bf16": 0.5}
"""Nats, by track. Measured against float64 on the demo's model with weights of one to five times
their initial size: honest engines are at most 3e-6 off in float32 and 0.31 in bfloat16."""


async def check_probe(engine: Engine, probe: Probe, threshold: float) -> None:
    """Compare the engine's log-probabilities of the probe with the trainer's, token by token.

    Raises:
        ProbeMismatch: one is further off than the threshold, in nats.
    """
    token_ids, expected = tuple(unpack_u32(probe.token_ids)), unpack_f32(probe.logprobs)
    found = await engine.logprobs(token_ids)
    if len(found) != len(expected):
        raise ProbeMismatch(f"the probe has {len(expected)} log-probabilities, not {len(found)}")
    for position, (ours, theirs) in enumerate(zip(found, expected, strict=True), start=1):
        # NaN compares false with everything, so the test is written to fail on it.
        if not abs(ours - theirs) <= threshold:
            raise ProbeMismatch(
                f"the probe's token {position} has log-probability {ours:.5f} here and "
                f"{theirs:.5f} at the trainer, more than {threshold} apart"
            )
