<#
.SYNOPSIS
    Puts back everything that Enable-LabTarget.ps1 changed, from its state file, the last change first. Afterwards there is no state file.
.DESCRIPTION
    What cannot be put back is said and stays in the state file, so that it can be tried again. -WhatIf shows what would be done.
.OUTPUTS
    An object a change: Name, Change ('put back', 'would put back', 'failed'), Is.
.EXAMPLE
    .\Disable-LabTarget.ps1 -ThisIsALabHost
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [switch] $ThisIsALabHost,
    [string] $StatePath = (Join-Path $env:ProgramData 'PurpleHarness\state.json')
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'LabTarget.psm1') -Force
Assert-LabHost -Confirmed $ThisIsALabHost.IsPresent
$settings = @{}
foreach ($setting in (Import-PowerShellDataFile -LiteralPath (Join-Path $PSScriptRoot 'Settings.psd1')).Settings) { $settings[$setting.Name] = $setting }
$state = Read-LabState -Path $StatePath
if ($state.Count -eq 0) {
    Write-Warning "nothing was changed here: there is no $StatePath"
    return
}

# WinRM last: this session may stand on it.
$names = @($state.Keys | Where-Object { $_ -notin 'remoting', 'certificate' } | Sort-Object) + @('remoting' | Where-Object { $state.ContainsKey($_) })
foreach ($name in $names) {
    $was = $state[$name]
    $change = 'would put back'
    if ($PSCmdlet.ShouldProcess($name, 'put back')) {
        try {
            $setting = $settings[$name.Split('/')[0]]
            if ($name -eq 'remoting') {
                $made = if ($state.ContainsKey('certificate')) { $state['certificate'] }
                Disable-LabRemoting -Was $was -CertificateThumbprint $made
                $state.Remove('certificate')
            }
            elseif ($name -eq 'user') {
                if (Get-LocalUser -Name $was -ErrorAction SilentlyContinue) { Remove-LocalUser -Name $was }
            }
            elseif ($null -eq $setting) {
                throw 'Settings.psd1 does not know it any more: put it back with the version that set it'
            }
            else {
                switch ($setting.Editor) {
                    'audit' { Set-LabAuditPolicy -Guid $setting.Guid -Value $was }
                    'log' { Set-LabLog -Log $setting.Log -Enabled $was.Enabled -Size $was.Size }
                    'sensor' { & $was -u | Out-Null }
                    'registry' {
                        $value = $setting.Values | Where-Object { $_.Name -eq $name.Split('/', 2)[1] }
                        if ($null -ne $was.Value) {
                            Set-LabRegistryValue -Key $value.Key -Name $value.Name -Data $was.Value
                        }
                        else {
                            Remove-ItemProperty -LiteralPath $value.Key -Name $value.Name -ErrorAction SilentlyContinue
                            foreach ($key in $was.MadeKeys) {
                                $left = Get-Item -LiteralPath $key -ErrorAction SilentlyContinue
                                if ($null -ne $left -and $left.ValueCount -eq 0 -and $left.SubKeyCount -eq 0) { Remove-Item -LiteralPath $key }
                            }
                        }
                    }
                }
            }
            $state.Remove($name)
            Save-LabState -Path $StatePath -State $state
            $change = 'put back'
        }
        catch {
            Write-Warning "$name could not be put back: $_"
            $change = 'failed'
        }
    }
    [pscustomobject]@{ Name = $name; Change = $change; Is = $was }
}

if ($state.Count -eq 0) {
    foreach ($file in $StatePath, (Join-Path (Split-Path -Parent $StatePath) 'winrm.cer')) {
        if (Test-Path -LiteralPath $file) { Remove-Item -LiteralPath $file -Force }
    }
}
