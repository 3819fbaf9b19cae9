"""Names that Windows PowerShell 5.1 knows: its aliases, and the commands that this host refuses by name because it does not model them."""

from __future__ import annotations

ALIASES = {
    "%": "ForEach-Object",
    "?": "Where-Object",
    "ac": "Add-Content",
    "cat": "Get-Content",
    "cd": "Set-Location",
    "chdir": "Set-Location",
    "clc": "Clear-Content",
    "clear": "Clear-Host",
    "cls": "Clear-Host",
    "compare": "Compare-Object",
    "copy": "Copy-Item",
    "cp": "Copy-Item",
    "cpi": "Copy-Item",
    "curl": "Invoke-WebRequest",
    "cvpa": "Convert-Path",
    "del": "Remove-Item",
    "diff": "Compare-Object",
    "dir": "Get-ChildItem",
    "echo": "Write-Output",
    "erase": "Remove-Item",
    "etsn": "Enter-PSSession",
    "exsn": "Exit-PSSession",
    "fl": "Format-List",
    "foreach": "ForEach-Object",
    "ft": "Format-Table",
    "fw": "Format-Wide",
    "gc": "Get-Content",
    "gci": "Get-ChildItem",
    "gcim": "Get-CimInstance",
    "gcm": "Get-Command",
    "gi": "Get-Item",
    "gin": "Get-ComputerInfo",
    "gl": "Get-Location",
    "gm": "Get-Member",
    "gp": "Get-ItemProperty",
    "gps": "Get-Process",
    "group": "Group-Object",
    "gsn": "Get-PSSession",
    "gsv": "Get-Service",
    "gv": "Get-Variable",
    "gwmi": "Get-WmiObject",
    "h": "Get-History",
    "history": "Get-History",
    "icm": "Invoke-Command",
    "iex": "Invoke-Expression",
    "ii": "Invoke-Item",
    "irm": "Invoke-RestMethod",
    "iwr": "Invoke-WebRequest",
    "kill": "Stop-Process",
    "ls": "Get-ChildItem",
    "man": "help",
    "md": "mkdir",
    "measure": "Measure-Object",
    "mi": "Move-Item",
    "mount": "New-PSDrive",
    "move": "Move-Item",
    "mv": "Move-Item",
    "ni": "New-Item",
    "nsn": "New-PSSession",
    "oh": "Out-Host",
    "popd": "Pop-Location",
    "ps": "Get-Process",
    "pushd": "Push-Location",
    "pwd": "Get-Location",
    "rd": "Remove-Item",
    "ren": "Rename-Item",
    "ri": "Remove-Item",
    "rm": "Remove-Item",
    "rmdir": "Remove-Item",
    "rni": "Rename-Item",
    "rsn": "Remove-PSSession",
    "rv": "Remove-Variable",
    "sajb": "Start-Job",
    "saps": "Start-Process",
    "sasv": "Start-Service",
    "sc": "Set-Content",
    "select": "Select-Object",
    "set": "Set-Variable",
    "si": "Set-Item",
    "sl": "Set-Location",
    "sleep": "Start-Sleep",
    "sls": "Select-String",
    "sort": "Sort-Object",
    "sp": "Set-ItemProperty",
    "spps": "Stop-Process",
    "spsv": "Stop-Service",
    "start": "Start-Process",
    "sv": "Set-Variable",
    "tee": "Tee-Object",
    "type": "Get-Content",
    "wget": "Invoke-WebRequest",
    "where": "Where-Object",
    "write": "Write-Output",
}
"""Alias to command, as a default session has them. `sc` and `where` hide sc.exe and where.exe, as on Windows."""

_REFUSED = """
Add-Member Add-Type Checkpoint-Computer Clear-Content Clear-EventLog Clear-Host Clear-Item Compare-Object Convert-Path ConvertFrom-Csv
ConvertFrom-Json ConvertFrom-SecureString ConvertTo-Csv ConvertTo-Html ConvertTo-SecureString Disable-LocalUser Disconnect-PSSession
Enable-LocalUser Enable-PSRemoting Enter-PSSession Export-Clixml Export-Csv Format-Custom Format-Wide Get-Acl Get-ADUser Get-ADComputer
Get-ADDomain Get-ADGroup Get-ADGroupMember Get-Alias Get-Clipboard Get-Content Get-Counter Get-Credential Get-Disk Get-DnsClientCache
Get-EventLog Get-ExecutionPolicy Get-FileHash Get-Help Get-History Get-HotFix Get-ItemProperty Get-ItemPropertyValue Get-Job Get-Member
Get-Module Get-MpComputerStatus Get-MpPreference Get-NetAdapter Get-NetFirewallProfile Get-NetFirewallRule Get-NetNeighbor Get-NetRoute
Get-NetUDPEndpoint Get-PSDrive Get-PSProvider Get-PSSession Get-Random Get-ScheduledTask Get-ScheduledTaskInfo Get-SmbConnection
Get-SmbShare Get-TimeZone Get-TypeData Get-UICulture Get-Culture Get-Unique Get-Volume Get-WindowsFeature Get-WinEvent Get-WmiObject
Import-Clixml Import-Csv Import-Module Import-PSSession Invoke-CimMethod Invoke-Command Invoke-Item Invoke-RestMethod Invoke-WebRequest
Invoke-WmiMethod Limit-EventLog New-Alias New-CimInstance New-EventLog New-ItemProperty New-LocalGroup New-LocalUser New-Module New-Object
New-PSDrive New-PSSession New-ScheduledTask New-ScheduledTaskAction New-Service New-SmbShare New-TimeSpan New-Variable Out-File Out-GridView
Out-Printer Pop-Location Push-Location Read-Host Receive-Job Register-ObjectEvent Register-ScheduledTask Remove-ItemProperty
Remove-LocalUser Remove-PSSession Remove-Variable Rename-Computer Rename-Item Resolve-DnsName Resolve-Path Restart-Computer Restart-Service
Save-Help Select-String Send-MailMessage Set-Acl Set-Alias Set-Clipboard Set-ExecutionPolicy Set-Item Set-ItemProperty Set-LocalUser
Set-MpPreference Set-NetFirewallProfile Set-NetFirewallRule Set-PSDebug Set-Service Set-StrictMode Set-WmiInstance Start-BitsTransfer
Start-Job Start-ScheduledTask Start-Service Start-Transcript Stop-Computer Stop-Job Stop-Process Stop-Service Stop-Transcript Tee-Object
Test-Connection Test-NetConnection Test-WSMan Trace-Command Unregister-ScheduledTask Update-Help Wait-Event Wait-Job Wait-Process
Write-Debug Write-EventLog Write-Information Write-Progress help mkdir more tabexpansion2 Get-Verb Invoke-History Add-LocalGroupMember
Remove-LocalGroupMember Resume-Service Suspend-Service Get-CimClass Get-CimAssociatedInstance Get-ControlPanelItem Get-DnsClient
Get-NetIPConfiguration Get-ComputerRestorePoint Get-Process Unblock-File Expand-Archive Compress-Archive Debug-Process Get-PnpDevice
"""
REFUSED = frozenset(name.lower() for name in _REFUSED.split())
"""Commands of Windows that are refused by name; those among them that a cmdlet is registered for are not."""
