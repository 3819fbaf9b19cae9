"""The cmdlets of the emulated PowerShell, by theme. Importing this package registers them."""

from __future__ import annotations

from lab.host.powershell.cmdlets import accounts, files, network, objects, output, properties, session, system

MODULES = (accounts, files, network, objects, output, properties, session, system)
