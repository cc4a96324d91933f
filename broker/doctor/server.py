"""Everything that is asked of the nats-servers, whatever they hold."""

from collections.abc import Sequence

from broker.doctor.clocks import check_clock
from broker.doctor.facts import Greeting, ServerFacts
from broker.doctor.finding import Finding
from broker.doctor.messages import check_strict
from broker.doctor.versions import check_version


def check_servers(greeting: Greeting, servers: Sequence[ServerFacts]) -> list[Finding]:
    """Judge the versions and clocks of all servers, and whether the one at hand is strict."""
    told = [server for server in servers if server.version]
    versions = {greeting.name: greeting.version} | {each.name: each.version for each in told}
    clocks = {greeting.name: greeting.clock} | {each.name: each.clock for each in told}
    return [
        *(check_version(name, version) for name, version in versions.items()),
        *(check_clock(name, clock) for name, clock in clocks.items()),
        check_strict(greeting),
    ]
