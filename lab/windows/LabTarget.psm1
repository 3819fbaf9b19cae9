# What makes a host a target of the lab, and back again: reading, making and undoing each setting of Settings.psd1.
#
# Before anything is changed, what was there is written to the state file; what was there is never overwritten in it. So a run that was cut off
# can be undone too, and a second run changes nothing. Nothing here reads a text that Windows shows in the host's own language.

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$script:SystemDirectory = Join-Path $env:SystemRoot 'System32'
$script:FirewallRule = 'PurpleHarness-WinRM-In'
# Microsoft's own rules for WinRM, which Enable-PSRemoting switches on for the whole subnet.
$script:OwnFirewallGroup = '@FirewallAPI.dll,-30267'

# --- what the state file remembers -------------------------------------------------------------------------------------------------------

function Read-LabState {
    <# .SYNOPSIS What was there before, by name; empty where nothing was changed yet. #>
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Path)
    $state = @{}
    if (Test-Path -LiteralPath $Path) {
        $kept = Get-Content -LiteralPath $Path -Raw -Encoding UTF8 | ConvertFrom-Json
        foreach ($property in $kept.PSObject.Properties) { $state[$property.Name] = $property.Value }
    }
    $state
}

function Save-LabState {
    <# .SYNOPSIS Write the state whole, or not at all. #>
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Path, [Parameter(Mandatory)] [hashtable] $State)
    $directory = Split-Path -Parent $Path
    if (-not (Test-Path -LiteralPath $directory)) { New-Item -ItemType Directory -Path $directory -Force | Out-Null }
    $new = "$Path.new"
    ConvertTo-Json -InputObject $State -Depth 6 | Set-Content -LiteralPath $new -Encoding UTF8
    Move-Item -LiteralPath $new -Destination $Path -Force
}

function Add-LabState {
    <# .SYNOPSIS Remember what was there, unless that is known already. #>
    [CmdletBinding()]
    param([string] $Path, [hashtable] $State, [string] $Name, $Was)
    if (-not $State.ContainsKey($Name)) {
        $State[$Name] = $Was
        Save-LabState -Path $Path -State $State
    }
}

function New-LabResult {
    param([string] $Name, [string] $Title, [string] $Change, $Was, $Is, [string] $Events)
    [pscustomobject]@{ Name = $Name; Title = $Title; Change = $Change; Was = $Was; Is = $Is; Events = $Events }
}

# --- audit policy ------------------------------------------------------------------------------------------------------------------------

function Get-LabAuditPolicy {
    <# .SYNOPSIS By subcategory GUID: 0 nothing, 1 success, 2 failure, 3 both.
       .DESCRIPTION What auditpol prints is in the host's language; the last column of its backup is a number everywhere. #>
    [CmdletBinding()]
    param()
    $file = Join-Path ([IO.Path]::GetTempPath()) ([Guid]::NewGuid().ToString() + '.csv')
    try {
        $said = & (Join-Path $script:SystemDirectory 'auditpol.exe') /backup "/file:$file" 2>&1
        if ($LASTEXITCODE -ne 0) { throw "auditpol /backup ended with $LASTEXITCODE, is this session elevated? $said" }
        $policy = @{}
        foreach ($line in (Get-Content -LiteralPath $file)) {
            if ($line -match '(\{[0-9A-Fa-f-]{36}\}),.*,([0-3])\s*$') { $policy[$Matches[1].ToUpperInvariant()] = [int] $Matches[2] }
        }
        $policy
    }
    finally {
        if (Test-Path -LiteralPath $file) { Remove-Item -LiteralPath $file -Force }
    }
}

function Set-LabAuditPolicy {
    <# .SYNOPSIS Set one subcategory to 0, 1, 2 or 3. #>
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Guid, [Parameter(Mandatory)] [ValidateRange(0, 3)] [int] $Value)
    $success = if ($Value -band 1) { 'enable' } else { 'disable' }
    $failure = if ($Value -band 2) { 'enable' } else { 'disable' }
    $said = & (Join-Path $script:SystemDirectory 'auditpol.exe') /set "/subcategory:$Guid" "/success:$success" "/failure:$failure" 2>&1
    if ($LASTEXITCODE -ne 0) { throw "auditpol /set $Guid ended with $LASTEXITCODE. $said" }
}

# --- registry ----------------------------------------------------------------------------------------------------------------------------

function Get-LabRegistryValue {
    <# .SYNOPSIS The value, or nothing where it or its key is not there. #>
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Key, [Parameter(Mandatory)] [string] $Name)
    $opened = Get-Item -LiteralPath $Key -ErrorAction SilentlyContinue
    if ($null -ne $opened) { $opened.GetValue($Name, $null) }
}

function Set-LabRegistryValue {
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Key, [Parameter(Mandatory)] [string] $Name, [Parameter(Mandatory)] $Data)
    $type = if ($Data -is [int]) { 'DWord' } else { 'String' }
    if (-not (Test-Path -LiteralPath $Key)) { New-Item -Path $Key -Force | Out-Null }
    New-ItemProperty -LiteralPath $Key -Name $Name -Value $Data -PropertyType $type -Force | Out-Null
}

function Get-LabMissingKey {
    <# .SYNOPSIS The keys that would have to be made for this one, the innermost first. #>
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Key)
    while ($Key -and -not (Test-Path -LiteralPath $Key)) {
        $Key
        $Key = Split-Path -Parent $Key
    }
}

# --- event logs --------------------------------------------------------------------------------------------------------------------------

function Get-LabLog {
    <# .SYNOPSIS Whether a log is enabled, and its size in bytes; nothing where there is no such log. #>
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Log)
    try { $found = New-Object System.Diagnostics.Eventing.Reader.EventLogConfiguration $Log } catch { return }
    [pscustomobject]@{ Enabled = $found.IsEnabled; Size = $found.MaximumSizeInBytes }
    $found.Dispose()
}

function Set-LabLog {
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Log, [Parameter(Mandatory)] [bool] $Enabled, [Parameter(Mandatory)] [long] $Size)
    $found = New-Object System.Diagnostics.Eventing.Reader.EventLogConfiguration $Log
    try {
        if ($found.IsEnabled -ne $Enabled) { $found.IsEnabled = $Enabled }
        if ($found.MaximumSizeInBytes -ne $Size) { $found.MaximumSizeInBytes = $Size }
        $found.SaveChanges()
    }
    finally { $found.Dispose() }
}

# --- Sysmon ------------------------------------------------------------------------------------------------------------------------------

function Get-LabSysmon {
    <# .SYNOPSIS The installed Sysmon's service, or nothing. #>
    [CmdletBinding()]
    param()
    Get-Service -Name 'Sysmon64', 'Sysmon', 'Sysmon64a' -ErrorAction SilentlyContinue | Select-Object -First 1
}

function Install-LabSysmon {
    <# .SYNOPSIS Install a Sysmon that was given, once it is known to be Microsoft's. #>
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Path, [Parameter(Mandatory)] [string] $Configuration)
    $signature = Get-AuthenticodeSignature -LiteralPath $Path
    if ($signature.Status -ne 'Valid' -or $signature.SignerCertificate.Subject -notmatch 'O=Microsoft Corporation') {
        throw "$Path is not signed by Microsoft ($($signature.Status)): it is not installed"
    }
    Write-Verbose "SHA256 $((Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash)  $Path"
    & $Path -accepteula -i $Configuration | Out-Null
    if ($LASTEXITCODE -ne 0) { throw "$Path -i ended with $LASTEXITCODE" }
}

# --- WinRM -------------------------------------------------------------------------------------------------------------------------------

function Get-LabListener {
    <# .SYNOPSIS The WinRM listeners of one transport, HTTP or HTTPS. #>
    [CmdletBinding()]
    param([Parameter(Mandatory)] [ValidateSet('HTTP', 'HTTPS')] [string] $Transport)
    if ((Get-Service -Name WinRM).Status -ne 'Running') { return }
    Get-ChildItem -Path WSMan:\localhost\Listener | Where-Object { $_.Keys -contains "Transport=$Transport" }
}

function Get-LabRemoting {
    <# .SYNOPSIS What must be put back when the host is no target any more. #>
    [CmdletBinding()]
    param()
    $service = Get-Service -Name WinRM
    $rules = Get-NetFirewallRule -Group $script:OwnFirewallGroup -ErrorAction SilentlyContinue
    [pscustomobject]@{
        StartType     = "$($service.StartType)"
        Running       = $service.Status -eq 'Running'
        Http          = @(Get-LabListener -Transport HTTP).Count -gt 0
        Https         = @(Get-LabListener -Transport HTTPS).Count -gt 0
        FirewallRules = @($rules | Where-Object { "$($_.Enabled)" -eq 'True' } | ForEach-Object { $_.Name })
    }
}

function Enable-LabRemoting {
    <# .SYNOPSIS WinRM with an HTTP listener, and HTTPS where asked, reachable from the driver's addresses alone.
       .OUTPUTS The thumbprint of a certificate that was made for HTTPS, or nothing. #>
    [CmdletBinding()]
    param([Parameter(Mandatory)] $Was, [Parameter(Mandatory)] [string[]] $DriverAddress, [switch] $Https, [string] $CertificateThumbprint)
    if (-not ($Was.Running -and $Was.Http)) {
        Enable-PSRemoting -SkipNetworkProfileCheck -Force | Out-Null
        # It opened the port to everybody; ours is opened to the driver.
        Get-NetFirewallRule -Group $script:OwnFirewallGroup -ErrorAction SilentlyContinue |
            Where-Object { $Was.FirewallRules -notcontains $_.Name } | Disable-NetFirewallRule
    }
    if ($Https -and -not $Was.Https -and @(Get-LabListener -Transport HTTPS).Count -eq 0) {
        if (-not $CertificateThumbprint) {
            $name = [Net.Dns]::GetHostEntry('').HostName
            $certificate = New-SelfSignedCertificate -DnsName $name, $env:COMPUTERNAME -CertStoreLocation Cert:\LocalMachine\My
            $CertificateThumbprint = $certificate.Thumbprint
            $CertificateThumbprint
        }
        New-Item -Path WSMan:\localhost\Listener -Transport HTTPS -Address * -CertificateThumbPrint $CertificateThumbprint -Force | Out-Null
    }
    Remove-NetFirewallRule -Name $script:FirewallRule -ErrorAction SilentlyContinue
    New-NetFirewallRule -Name $script:FirewallRule -DisplayName 'Purple harness: WinRM from the driver' -Direction Inbound `
        -Protocol TCP -LocalPort 5985, 5986 -RemoteAddress $DriverAddress -Action Allow | Out-Null
}

function Disable-LabRemoting {
    <# .SYNOPSIS WinRM as it was. #>
    [CmdletBinding()]
    param([Parameter(Mandatory)] $Was, [string] $CertificateThumbprint)
    Remove-NetFirewallRule -Name $script:FirewallRule -ErrorAction SilentlyContinue
    if (-not $Was.Https) { Get-LabListener -Transport HTTPS | Remove-Item -Recurse -Force }
    if (-not $Was.Http) {
        Disable-PSRemoting -Force -WarningAction SilentlyContinue
        Get-LabListener -Transport HTTP | Remove-Item -Recurse -Force
    }
    Get-NetFirewallRule -Group $script:OwnFirewallGroup -ErrorAction SilentlyContinue | ForEach-Object {
        if ($Was.FirewallRules -contains $_.Name) { Enable-NetFirewallRule -Name $_.Name } else { Disable-NetFirewallRule -Name $_.Name }
    }
    if ($CertificateThumbprint) { Remove-Item -LiteralPath "Cert:\LocalMachine\My\$CertificateThumbprint" -ErrorAction SilentlyContinue }
    if (-not $Was.Running) { Stop-Service -Name WinRM -Force }
    Set-Service -Name WinRM -StartupType $Was.StartType
}

# --- safety ------------------------------------------------------------------------------------------------------------------------------

function Assert-LabHost {
    <# .SYNOPSIS Throws unless this is an elevated session on a host that may become a target: never a domain controller. #>
    [CmdletBinding()]
    param([Parameter(Mandatory)] [bool] $Confirmed)
    $identity = [Security.Principal.WindowsPrincipal] [Security.Principal.WindowsIdentity]::GetCurrent()
    if (-not $identity.IsInRole([Security.Principal.WindowsBuiltInRole] 'Administrator')) { throw 'this needs an elevated session' }
    # 4 and 5 are domain controllers (Win32_ComputerSystem.DomainRole).
    if ((Get-CimInstance -ClassName Win32_ComputerSystem).DomainRole -ge 4) { throw 'this is a domain controller: it is never made a target' }
    if (-not $Confirmed) { throw "say that $env:COMPUTERNAME is a host of the lab, and of nobody else's: -ThisIsALabHost" }
}

Export-ModuleMember -Function '*-Lab*'
