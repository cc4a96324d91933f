"""Everything that is asked of the nats-servers, whatever they hold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from broker.doctor.clocks import check_clock
from broker.doctor.commands import up
from broker.doctor.facts import Greeting, ServerFacts
from broker.doctor.finding import Finding, warning
from broker.doctor.messages import check_strict
from broker.doctor.versions import check_version

CHECK: Final = "server"


def check_servers(greeting: Greeting, servers: Sequence[ServerFacts]) -> list[Finding]:
    """Judge versions and clocks of all servers, whether one is away and the one at hand strict."""
    told = [server for server in servers if server.version]
    versions = {greeting.name: greeting.version} | {each.name: each.version for each in told}
    clocks = {greeting.name: greeting.clock} | {each.name: each.clock for each in told}
    return [
        *(check_version(name, version) for name, version in versions.items()),
        *(check_clock(name, clock) for name, clock in clocks.items()),
        check_strict(greeting),
        *(_away(server) for server in servers if not server.answers),
    ]


def _away(server: ServerFacts) -> Finding:
    found = "it does not answer; the others go on without it"
    return warning(CHECK, server.name, found, up(Path(server.our_folder)))
