"""The cmdlets of the emulated PowerShell, by theme. Importing this package registers them."""

from __future__ import annotations

from lab.host.powershell.cmdlets import (
    accounts,
    asking,
    cim,
    dates,
    files,
    formats,
    logs,
    machine,
    network,
    objects,
    output,
    processes,
    properties,
    remoting,
    services,
    session,
    text,
)

MODULES = (
    *(accounts, asking, cim, dates, files, formats, logs, machine, network, objects, output, processes, properties, remoting, services),
    *(session, text),
)
