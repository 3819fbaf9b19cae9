<#
.SYNOPSIS
    Makes this host a target of the lab: WinRM for the driver, and every setting of Settings.psd1. Disable-LabTarget.ps1 undoes it.
.DESCRIPTION
    A second run changes nothing. What was there before is written to the state file before it is changed. Needs an elevated Windows
    PowerShell 5.1; refuses domain controllers. -WhatIf shows what would be done.
.PARAMETER ThisIsALabHost
    Your word that this host belongs to the lab. Without it nothing is done.
.PARAMETER DriverAddress
    The addresses from which the harness comes: WinRM is opened to them alone.
.PARAMETER Https
    Also listen for HTTPS, with the certificate of -CertificateThumbprint, else with one made now. Its public part is put beside the state
    file, for the target's ca_file in harness.toml.
.PARAMETER SysmonPath
    A Sysmon64.exe of Microsoft's, to be installed with sysmon.xml where no Sysmon is. One that is there keeps its own configuration.
.PARAMETER User
    A local account to be made for the harness; its password is asked for. Without it use an account that is there.
.PARAMETER StatePath
    Where what was before is kept.
.OUTPUTS
    An object a setting: Name, Title, Change ('set', 'already', 'would set', 'left'), Was, Is, Events.
.EXAMPLE
    .\Enable-LabTarget.ps1 -ThisIsALabHost -DriverAddress 10.0.5.10 -Https -SysmonPath C:\Tools\Sysmon64.exe -User purple
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [switch] $ThisIsALabHost,
    [Parameter(Mandatory)] [string[]] $DriverAddress,
    [switch] $Https,
    [string] $CertificateThumbprint,
    [string] $SysmonPath,
    [string] $User,
    [string] $StatePath = (Join-Path $env:ProgramData 'PurpleHarness\state.json')
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'LabTarget.psm1') -Force
Assert-LabHost -Confirmed $ThisIsALabHost.IsPresent
$settings = (Import-PowerShellDataFile -LiteralPath (Join-Path $PSScriptRoot 'Settings.psd1')).Settings
$state = Read-LabState -Path $StatePath

# WinRM comes first: without it there is no target.
$was = Get-LabRemoting
$there = $was.Running -and $was.Http -and ($was.Https -or -not $Https)
$change = 'already'
if (-not $there -or -not (Get-NetFirewallRule -Name 'PurpleHarness-WinRM-In' -ErrorAction SilentlyContinue)) {
    $change = 'would set'
    if ($PSCmdlet.ShouldProcess('WinRM', "listen, for $($DriverAddress -join ', ')")) {
        Add-LabState -Path $StatePath -State $state -Name 'remoting' -Was $was
        $made = Enable-LabRemoting -Was $state['remoting'] -DriverAddress $DriverAddress -Https:$Https -CertificateThumbprint $CertificateThumbprint
        if ($made) {
            Add-LabState -Path $StatePath -State $state -Name 'certificate' -Was $made
            Export-Certificate -Cert "Cert:\LocalMachine\My\$made" -FilePath (Join-Path (Split-Path -Parent $StatePath) 'winrm.cer') | Out-Null
        }
        $change = 'set'
    }
}
New-LabResult -Name 'winrm' -Title 'WinRM for the driver' -Change $change -Was $was.Running -Is $true -Events 'WinRM/Operational 91'

if ($User) {
    $account = Get-LocalUser -Name $User -ErrorAction SilentlyContinue
    $change = 'already'
    if ($null -eq $account) {
        $change = 'would set'
        if ($PSCmdlet.ShouldProcess($User, 'make a local account that may use WinRM')) {
            Add-LabState -Path $StatePath -State $state -Name 'user' -Was $User
            $password = Read-Host -AsSecureString -Prompt "Password of the new account $User"
            New-LocalUser -Name $User -Password $password -Description 'Made by the purple harness' | Out-Null
            # By their SIDs, whatever they are called here: Remote Management Users, Event Log Readers.
            foreach ($group in 'S-1-5-32-580', 'S-1-5-32-573') { Add-LocalGroupMember -SID $group -Member $User }
            $change = 'set'
        }
    }
    New-LabResult -Name 'user' -Title "The account $User" -Change $change -Was ($null -ne $account) -Is $true -Events ''
}

$policy = Get-LabAuditPolicy
foreach ($setting in $settings) {
    $change, $was, $is = 'already', $null, $null
    switch ($setting.Editor) {
        'audit' {
            $was = [int] $policy[$setting.Guid]
            $is = $was -bor $setting.Value
            if ($is -ne $was) {
                $change = 'would set'
                if ($PSCmdlet.ShouldProcess($setting.Title, "audit ($($setting.Events))")) {
                    Add-LabState -Path $StatePath -State $state -Name $setting.Name -Was $was
                    Set-LabAuditPolicy -Guid $setting.Guid -Value $is
                    $change = 'set'
                }
            }
        }
        'registry' {
            foreach ($value in $setting.Values) {
                $was = Get-LabRegistryValue -Key $value.Key -Name $value.Name
                $is = $value.Data
                if ($was -ne $is) {
                    if ($change -eq 'already') { $change = 'would set' }
                    if ($PSCmdlet.ShouldProcess("$($value.Key)\$($value.Name)", "$($setting.Title) ($($setting.Events))")) {
                        $before = [pscustomobject]@{ Value = $was; MadeKeys = @(Get-LabMissingKey -Key $value.Key) }
                        Add-LabState -Path $StatePath -State $state -Name "$($setting.Name)/$($value.Name)" -Was $before
                        Set-LabRegistryValue -Key $value.Key -Name $value.Name -Data $value.Data
                        $change = 'set'
                    }
                }
            }
        }
        'log' {
            $found = Get-LabLog -Log $setting.Log
            if ($null -eq $found) {
                $change = 'left'
            }
            else {
                $was = "$($found.Enabled), $($found.Size)"
                $size = [Math]::Max([long] $setting.Size, $found.Size)
                $is = "True, $size"
                if ($was -ne $is) {
                    $change = 'would set'
                    if ($PSCmdlet.ShouldProcess($setting.Log, "enable, $size bytes ($($setting.Events))")) {
                        Add-LabState -Path $StatePath -State $state -Name $setting.Name -Was $found
                        Set-LabLog -Log $setting.Log -Enabled $true -Size $size
                        $change = 'set'
                    }
                }
            }
        }
        'sensor' {
            $found = Get-LabSysmon
            $was = if ($found) { $found.Name }
            $is = $was
            if ($null -ne $found) {
                # Whose configuration it is we cannot know, and could not put it back.
                $change = 'left'
            }
            elseif (-not $SysmonPath) {
                $change = 'left'
                Write-Warning 'there is no Sysmon: give -SysmonPath, or its events will not come'
            }
            else {
                $change = 'would set'
                if ($PSCmdlet.ShouldProcess($SysmonPath, 'install Sysmon with sysmon.xml')) {
                    Add-LabState -Path $StatePath -State $state -Name $setting.Name -Was $SysmonPath
                    Install-LabSysmon -Path $SysmonPath -Configuration (Join-Path $PSScriptRoot 'sysmon.xml')
                    $change, $is = 'set', (Get-LabSysmon).Name
                }
            }
        }
    }
    New-LabResult -Name $setting.Name -Title $setting.Title -Change $change -Was $was -Is $is -Events $setting.Events
}
