"""Clocks: presigned URLs live by two of them, and the times in the logs are the server's."""

from typing import Final

from broker.doctor.facts import Clock
from broker.doctor.finding import Finding, critical, fine, unknown, warning

CHECK: Final = "clock"
_NOTED_S: Final = 2.0
_TOO_FAR_S: Final = 60.0
"""A lease may live for a minute, a presigned URL for ten; a storage refuses at fifteen."""
_FIX: Final = "timedatectl set-ntp true   # on the machine whose clock is wrong"


def check_clock(server: str, clock: Clock | None) -> Finding:
    """Judge a server's clock against ours."""
    if clock is None:
        return unknown(CHECK, server, "it does not tell its time", "timedatectl   # on its machine")
    off_s = max(0.0, abs(clock.ahead_s) - clock.error_s)
    where = "ahead of" if clock.ahead_s > 0 else "behind"
    found = f"{abs(clock.ahead_s):.3g} s {where} ours"
    if off_s >= _TOO_FAR_S:
        return critical(CHECK, server, found, _FIX)
    if off_s >= _NOTED_S:
        return warning(CHECK, server, found, _FIX)
    return fine(CHECK, server, f"within {max(abs(clock.ahead_s), clock.error_s):.2g} s of ours")
