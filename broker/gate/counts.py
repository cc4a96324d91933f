"""What accounts have sent since the gate looks, summed over all servers. Pure.

Each server counts for itself, from its own start on. One that the gate has not heard before may
have counted for a month: what it says at first is where it begins. One that does not answer in time
is counted when it answers again. So no account is held to have sent at once what it sent in weeks,
when the gate or a server is started again.
"""

from collections import defaultdict
from collections.abc import Mapping

from broker.gate.meter import Traffic


class Counts:
    """Sums that only grow."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, Traffic]] = {}
        """By server, then by account: what it has said last."""
        self._sums: defaultdict[str, Traffic] = defaultdict(Traffic)

    def enter(self, server: str, said: Mapping[str, Traffic]) -> None:
        """Take in what a server says that accounts have sent to it. `server` is the id that it has
        from its start to its end."""
        last = self._said.get(server)
        if last is None:
            self._said[server] = dict(said)
            return
        for account, traffic in said.items():
            # Who is new to a server that is not has sent all of it since the last look.
            self._sums[account] += _since(last.get(account, Traffic()), traffic)
            last[account] = traffic

    def of(self, account: str) -> Traffic:
        """The sum of an account."""
        return self._sums[account]


def _since(before: Traffic, now: Traffic) -> Traffic:
    """What came since; a server that has forgotten an account in between counts from nothing."""
    if now.num_messages < before.num_messages or now.num_bytes < before.num_bytes:
        return now
    return now - before
