"""Whom a NATS server lets in, and to what: an operator's keys, accounts, users and their rights.

Each contributor has an account of his own, named by the actor's id; the server itself binds the id
in a subject to the account that it comes from. One key of the operator's signs accounts, another
signs users, and nothing in the server's configuration changes when somebody comes or goes.

| what | files, in an order to read them |
|---|---|
| who may do what | `rights`, `account` |
| keys, and what they sign | `nkey`, `jwt`, `claims`, `keyring` |
| logging in | `credentials`, `access` |
| what a server is told | `server_config`, `resolver` |
| contributors | `tier`, `roster`, `invitation`, `inviting` |
| two processes at once | `folder_lock` |
"""
