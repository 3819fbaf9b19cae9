"""The native programs of the emulated host: what each writes and what it starts. None of them exists outside the model.

Importing this package registers them.
"""

from __future__ import annotations

from lab.host.programs import (
    accounts,
    audit,
    cmd,
    files,
    identity,
    network,
    powershell,
    registry,
    remote_shell,
    sessions,
    storage,
    system,
    wmic,
)

MODULES = (accounts, audit, cmd, files, identity, network, powershell, registry, remote_shell, sessions, storage, system, wmic)
