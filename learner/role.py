"""A run has one coordinator and one trainer: a lock without clocks.

Whoever holds a role answers `who.<run>.<role>` with its name. A starter asks first. No responders:
the role is free. A name: it is taken. No answer in time: the holder is frozen, and only a person
may decide to replace it; what a replaced holder still writes is fenced off by the logs.
"""

from broker import retry
from broker.interface import Broker
from schemas.errors import BrokerUnavailable, NoResponders, RoleTaken
from schemas.names import who_subject

_ASK_TIMEOUT_S = 2.0


async def claim(broker: Broker, run: str, role: str, holder: str, *, take_over: bool) -> None:
    """Take the role of a run, and answer for it until the connection closes.

    A server that is away is waited for.

    Raises:
        RoleTaken: as `check_free`.
    """
    await retry.until_available()(check_free, broker, run, role, take_over=take_over)

    async def answer(_subject: str, _request: bytes) -> bytes:
        return holder.encode()

    await broker.serve(who_subject(run, role), answer)


async def check_free(broker: Broker, run: str, role: str, *, take_over: bool) -> None:
    """Ask who holds the role of a run.

    Raises:
        RoleTaken: somebody answers, or is there and does not answer and `take_over` is False.
        BrokerUnavailable: the server is away, so that nobody can be asked.
    """
    try:
        reply = await broker.request(who_subject(run, role), b"", timeout_s=_ASK_TIMEOUT_S)
        advice = "stop it first, there, with SIGTERM or Ctrl-C"
        if take_over:
            advice += "; --take-over is for one that does not answer"
        raise RoleTaken(role, reply.decode(errors="replace")[:200], advice)
    except NoResponders:
        pass
    except BrokerUnavailable:
        if not broker.connected:
            raise
        if not take_over:
            raise RoleTaken(
                role,
                "a process that does not answer",
                "if you are sure that it is frozen, and not only slow, start with --take-over",
            ) from None
