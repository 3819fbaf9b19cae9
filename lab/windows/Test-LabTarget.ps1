<#
.SYNOPSIS
    Says of every setting of Settings.psd1 whether this host has it, and which events depend on it. Changes nothing.
.OUTPUTS
    An object a setting: Name, Title, Change ('there' or 'missing'), Is, Events.
.EXAMPLE
    .\Test-LabTarget.ps1 | Where-Object Change -eq missing
#>
[CmdletBinding()]
param()

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'LabTarget.psm1') -Force
$settings = (Import-PowerShellDataFile -LiteralPath (Join-Path $PSScriptRoot 'Settings.psd1')).Settings
$policy = Get-LabAuditPolicy

foreach ($setting in $settings) {
    $wanted = $true
    $is = switch ($setting.Editor) {
        'audit' { $policy[$setting.Guid] }
        'registry' { ($setting.Values | ForEach-Object { Get-LabRegistryValue -Key $_.Key -Name $_.Name }) -join ', ' }
        'log' { $found = Get-LabLog -Log $setting.Log; if ($found) { $found.Enabled } else { $false } }
        'sensor' { $found = Get-LabSysmon; if ($found) { "$($found.Name) $($found.Status)" } }
    }
    $wanted = switch ($setting.Editor) {
        'audit' { ($is -band $setting.Value) -eq $setting.Value }
        'registry' { $is -eq (($setting.Values | ForEach-Object { $_.Data }) -join ', ') }
        'log' { $is }
        'sensor' { "$is" -match 'Running$' }
    }
    $change = if ($wanted) { 'there' } else { 'missing' }
    New-LabResult -Name $setting.Name -Title $setting.Title -Change $change -Is $is -Events $setting.Events
}
