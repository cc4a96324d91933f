"""Asks the coordinator for URLs of policy objects: an actor has no credential of its own."""

from typing import Final

from broker.again import ask_again
from broker.interface import Broker
from schemas import wire
from schemas.errors import Rejected, StoreDenied
from schemas.lease import GrantReply, GrantRequest
from schemas.names import grant_subject

_ANSWER_TIMEOUT_S: Final = 10.0
_REPEAT_S: Final = 1.0
_MOST_ASKED: Final = 2
"""Several objects are asked for at once, and `broker.turnstile` bounds what is under way in all."""


class GrantClient:
    """Object keys to presigned URLs, for `broker.policies.fetch.PolicyFetcher`."""

    def __init__(self, broker: Broker, run: str, actor: str) -> None:
        self._broker = broker
        self._run = run
        self._actor = actor

    async def urls(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """URLs in the order of the keys.

        Raises:
            StoreDenied: the coordinator refuses, or its reply is not one.
            NoResponders, BrokerUnavailable: it is away.
        """
        request = GrantRequest(run=self._run, actor=self._actor, keys=keys)
        answer = await ask_again(
            self._broker,
            grant_subject(self._run, self._actor),
            wire.encode(request),
            every_s=_REPEAT_S,
            most=_MOST_ASKED,
            timeout_s=_ANSWER_TIMEOUT_S,
        )
        try:
            reply = wire.decode(answer, GrantReply)
        except Rejected as error:
            raise StoreDenied(f"the coordinator's grant cannot be read: {error.detail}") from None
        if len(reply.urls) != len(keys):
            raise StoreDenied(f"the coordinator grants no URL: {reply.detail}")
        return reply.urls
