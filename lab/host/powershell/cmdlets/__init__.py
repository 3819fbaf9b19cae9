"""The cmdlets of the emulated PowerShell, by theme. Importing this package registers them."""

from __future__ import annotations

from lab.host.powershell.cmdlets import accounts, asking, files, network, objects, output, remoting, session, system

MODULES = (accounts, asking, files, network, objects, output, remoting, session, system)
