# made by python -m lab.windows from harness/events/audit.py: change that, and make it anew
@{
    Settings = @(
        @{ Name = 'subcategories-count'; Title = 'Audit: Force audit policy subcategory settings to override audit policy category settings'; Editor = 'registry'; Events = 'every event of the audit policy below'; Values = @(@{ Key = 'HKLM:\SYSTEM\CurrentControlSet\Control\Lsa'; Name = 'SCENoApplyLegacyAuditPolicy'; Data = 1 }) }
        @{ Name = 'sysmon'; Title = 'Sysmon'; Editor = 'sensor'; Events = 'Sysmon 1, 3, 5, 11, 12, 13, 14, 17, 18, 19, 20, 21, 22' }
        @{ Name = 'security-system-extension'; Title = 'Security System Extension'; Editor = 'audit'; Events = 'Security 4697'; Guid = '{0CCE9211-69AE-11D9-BED3-505054503030}'; Value = 1 }
        @{ Name = 'logon'; Title = 'Logon'; Editor = 'audit'; Events = 'Security 4624, 4625, 4648'; Guid = '{0CCE9215-69AE-11D9-BED3-505054503030}'; Value = 3 }
        @{ Name = 'logoff'; Title = 'Logoff'; Editor = 'audit'; Events = 'Security 4634, 4647'; Guid = '{0CCE9216-69AE-11D9-BED3-505054503030}'; Value = 1 }
        @{ Name = 'special-logon'; Title = 'Special Logon'; Editor = 'audit'; Events = 'Security 4672'; Guid = '{0CCE921B-69AE-11D9-BED3-505054503030}'; Value = 1 }
        @{ Name = 'file-share'; Title = 'File Share'; Editor = 'audit'; Events = 'Security 5140'; Guid = '{0CCE9224-69AE-11D9-BED3-505054503030}'; Value = 1 }
        @{ Name = 'filtering-platform-connection'; Title = 'Filtering Platform Connection'; Editor = 'audit'; Events = 'Security 5156, 5157, 5158, 5159'; Guid = '{0CCE9226-69AE-11D9-BED3-505054503030}'; Value = 3 }
        @{ Name = 'other-object-access-events'; Title = 'Other Object Access Events'; Editor = 'audit'; Events = 'Security 4698, 4699, 4700, 4701, 4702'; Guid = '{0CCE9227-69AE-11D9-BED3-505054503030}'; Value = 1 }
        @{ Name = 'process-creation'; Title = 'Process Creation'; Editor = 'audit'; Events = 'Security 4688'; Guid = '{0CCE922B-69AE-11D9-BED3-505054503030}'; Value = 1 }
        @{ Name = 'process-termination'; Title = 'Process Termination'; Editor = 'audit'; Events = 'Security 4689'; Guid = '{0CCE922C-69AE-11D9-BED3-505054503030}'; Value = 1 }
        @{ Name = 'audit-policy-change'; Title = 'Audit Policy Change'; Editor = 'audit'; Events = 'Security 4719'; Guid = '{0CCE922F-69AE-11D9-BED3-505054503030}'; Value = 1 }
        @{ Name = 'user-account-management'; Title = 'User Account Management'; Editor = 'audit'; Events = 'Security 4720, 4722, 4723, 4724, 4725, 4726, 4738, 4740, 4781, 5379'; Guid = '{0CCE9235-69AE-11D9-BED3-505054503030}'; Value = 1 }
        @{ Name = 'security-group-management'; Title = 'Security Group Management'; Editor = 'audit'; Events = 'Security 4727, 4728, 4729, 4730, 4731, 4732, 4733, 4734, 4735, 4756, 4757, 4799'; Guid = '{0CCE9237-69AE-11D9-BED3-505054503030}'; Value = 1 }
        @{ Name = 'credential-validation'; Title = 'Credential Validation'; Editor = 'audit'; Events = 'Security 4776'; Guid = '{0CCE923F-69AE-11D9-BED3-505054503030}'; Value = 3 }
        @{ Name = 'process-creation-command-line'; Title = 'Include command line in process creation events'; Editor = 'registry'; Events = 'the command line of Security 4688'; Values = @(@{ Key = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System\Audit'; Name = 'ProcessCreationIncludeCmdLine_Enabled'; Data = 1 }) }
        @{ Name = 'module-logging'; Title = 'PowerShell Module Logging'; Editor = 'registry'; Events = 'PowerShell 4103; Windows PowerShell 800'; Values = @(@{ Key = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\PowerShell\ModuleLogging'; Name = 'EnableModuleLogging'; Data = 1 }, @{ Key = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\PowerShell\ModuleLogging\ModuleNames'; Name = '*'; Data = '*' }) }
        @{ Name = 'script-block-logging'; Title = 'PowerShell Script Block Logging'; Editor = 'registry'; Events = 'PowerShell 4104'; Values = @(@{ Key = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\PowerShell\ScriptBlockLogging'; Name = 'EnableScriptBlockLogging'; Data = 1 }) }
        @{ Name = 'winrm-log'; Title = 'the log Microsoft-Windows-WinRM/Operational'; Editor = 'log'; Events = 'everything in Microsoft-Windows-WinRM/Operational'; Log = 'Microsoft-Windows-WinRM/Operational'; Size = 67108864 }
        @{ Name = 'powershell-log'; Title = 'the log Microsoft-Windows-PowerShell/Operational'; Editor = 'log'; Events = 'everything in Microsoft-Windows-PowerShell/Operational'; Log = 'Microsoft-Windows-PowerShell/Operational'; Size = 268435456 }
        @{ Name = 'windows-powershell-log'; Title = 'the log Windows PowerShell'; Editor = 'log'; Events = 'everything in Windows PowerShell'; Log = 'Windows PowerShell'; Size = 67108864 }
    )
}
