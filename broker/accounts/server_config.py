"""The part of a nats-server's configuration that says whom it trusts."""

import json
from pathlib import Path
from typing import Final

from broker.accounts.account import core_account, join_account, system_account
from broker.accounts.keyring import Keyring
from schemas.atomic_file import write_atomically

# The full resolver keeps accounts in a folder of the server's, and takes new ones while it runs.
_CONFIG: Final = """\
# Whom this server trusts. Written by `broker`; include it in the server's configuration.
operator: {operator}
system_account: {system}
resolver: {{
  type: full
  dir: {folder}
  allow_delete: false
  interval: "2m"
}}
resolver_preload: {{
{preload}
}}
"""


def write_server_config(path: Path, keyring: Keyring, resolver: Path) -> None:
    """Write the configuration of a server that keeps its accounts in the folder `resolver`."""
    accounts, signer = keyring.accounts, keyring.signer
    tokens = {
        accounts.system: keyring.account_token(accounts.system, system_account(signer), "SYS"),
        accounts.core: keyring.account_token(accounts.core, core_account(signer), "CORE"),
        accounts.join: keyring.account_token(
            accounts.join, join_account(signer, accounts.core), "JOIN"
        ),
    }
    text = _CONFIG.format(
        operator=keyring.operator_token(),
        system=accounts.system,
        folder=json.dumps(str(resolver)),
        preload="\n".join(f"  {account}: {token}" for account, token in tokens.items()),
    )
    write_atomically(path, text.encode())
