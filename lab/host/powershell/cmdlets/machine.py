"""Cmdlets about the machine as a whole: what it is and has installed, its tasks and disks, how it runs scripts, rights to files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from lab.host import inventory
from lab.host.files import Directory, File
from lab.host.inventory import Task
from lab.host.powershell.cmdlets import drives
from lab.host.powershell.cmdlets.files import matches_of
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import refuse
from lab.host.powershell.operators import time_span
from lab.host.powershell.values import like, to_text
from lab.host.wmi import CLASSES
from lab.machine import ErrorRecord, PSObject, PSValue

_SECURITY = "Microsoft.PowerShell.Security"
_FAR = absent("CimSession", "AsJob", "ThrottleLimit")


@cmdlet("Get-ComputerInfo", at(0, "Property", Kind.TEXTS))
def get_computer_info(call: Call) -> Iterator[object]:
    """The main facts about the computer."""
    host = call.session.host
    system, bios, processor = (CLASSES[name].rows(host)[0] for name in ("win32_computersystem", "win32_bios", "win32_processor"))
    operating = CLASSES["win32_operatingsystem"].rows(host)[0]
    held: dict[str, object] = {
        "WindowsBuildLabEx": "19041.1.amd64fre.vb_release.191206-1406",
        "WindowsCurrentVersion": "6.3",
        "WindowsEditionId": "Enterprise",
        "WindowsInstallationType": "Client",
        "WindowsInstallDateFromRegistry": inventory.INSTALLED,
        "WindowsProductId": host.product_id,
        "WindowsProductName": inventory.CAPTION.removeprefix("Microsoft "),
        "WindowsRegisteredOwner": "Windows User",
        "WindowsSystemRoot": "C:\\Windows",
        "WindowsVersion": "2009",
        "BiosManufacturer": bios["Manufacturer"],
        "BiosName": bios["Name"],
        "BiosReleaseDate": bios["ReleaseDate"],
        "BiosSeralNumber": bios["SerialNumber"],
        "BiosSMBIOSBIOSVersion": bios["SMBIOSBIOSVersion"],
        "BiosVersion": bios["Version"],
        "CsBootupState": system["BootupState"],
        "CsDNSHostName": host.name,
        "CsDomain": system["Domain"],
        "CsDomainRole": "MemberWorkstation" if host.domain else "StandaloneWorkstation",
        "CsHypervisorPresent": True,
        "CsManufacturer": system["Manufacturer"],
        "CsModel": system["Model"],
        "CsName": host.name,
        "CsNumberOfLogicalProcessors": 2,
        "CsNumberOfProcessors": 1,
        "CsPartOfDomain": bool(host.domain),
        "CsPCSystemType": "Desktop",
        "CsPrimaryOwnerName": "Windows User",
        "CsProcessors": [to_text(processor["Name"])],
        "CsRoles": system["Roles"],
        "CsSystemType": "x64-based PC",
        "CsTotalPhysicalMemory": inventory.MEMORY,
        "CsUserName": None,
        "CsWorkgroup": system["Workgroup"],
        "OsName": inventory.CAPTION,
        "OsType": "WINNT",
        "OsOperatingSystemSKU": "EnterpriseEdition",
        "OsVersion": operating["Version"],
        "OsBuildNumber": inventory.BUILD,
        "OsHotFixes": [one.name for one in inventory.HOT_FIXES],
        "OsBootDevice": operating["BootDevice"],
        "OsSystemDrive": "C:",
        "OsSystemDirectory": "C:\\Windows\\system32",
        "OsWindowsDirectory": "C:\\Windows",
        "OsLocale": "en-US",
        "OsLocalDateTime": host.now(),
        "OsLastBootUpTime": host.booted,
        "OsUptime": time_span(host.now() - host.booted),
        "OsTotalVisibleMemorySize": operating["TotalVisibleMemorySize"],
        "OsFreePhysicalMemory": operating["FreePhysicalMemory"],
        "OsNumberOfProcesses": len(host.processes),
        "OsNumberOfUsers": 1,
        "OsArchitecture": "64-bit",
        "OsLanguage": "en-US",
        "OsMuiLanguages": ["en-US"],
        "OsProductType": "WorkStation",
        "OsRegisteredUser": "Windows User",
        "OsSerialNumber": host.product_id,
        "OsStatus": "OK",
        "KeyboardLayout": "en-US",
        "TimeZone": "(UTC) Coordinated Universal Time",
        "LogonServer": f"\\\\{host.name}",
        "PowerPlatformRole": "Desktop",
        "HyperVisorPresent": True,
        "DeviceGuardSmartStatus": "Off",
    }
    wanted = call.texts("Property")
    kept = {name: value for name, value in held.items() if not wanted or any(like(name, one) for one in wanted)}
    found = PSObject(type_names=("Microsoft.PowerShell.Commands.ComputerInfo", "System.Object"), properties={})
    found.properties.update(kept)  # type: ignore[arg-type]
    yield found


@cmdlet("Get-HotFix", at(0, "Id", Kind.TEXTS, "HFID"), named("Description", Kind.TEXTS), *absent("ComputerName", "Credential"))
def get_hot_fix(call: Call) -> Iterator[object]:
    """The installed updates."""
    wanted = call.texts("Id")
    for name in wanted:
        if all(one.name.lower() != name.lower() for one in inventory.HOT_FIXES):
            call.error(
                ErrorRecord(
                    message="Cannot find the requested hotfix on the 'localhost' computer. Verify the input and run the command again.",
                    exception_type="System.ArgumentException",
                    error_id="GetHotFixNoEntriesFound",
                    category="ObjectNotFound",
                )
            )
    for one in inventory.HOT_FIXES:
        if wanted and one.name.lower() not in (name.lower() for name in wanted):
            continue
        if call.given("Description") and not any(like(one.kind, text) for text in call.texts("Description")):
            continue
        yield PSObject(
            type_names=("System.Management.ManagementObject#root\\cimv2\\Win32_QuickFixEngineering", "System.Object"),
            properties={
                "Source": call.session.host.name,
                "Description": one.kind,
                "HotFixID": one.name,
                "InstalledBy": "NT AUTHORITY\\SYSTEM",
                "InstalledOn": one.installed,
                "CSName": call.session.host.name,
            },
            text=f"\\\\{call.session.host.name}\\root\\cimv2:Win32_QuickFixEngineering",
        )


@cmdlet("Get-PSDrive", at(0, "Name", Kind.TEXTS), named("PSProvider", Kind.TEXTS), *absent("Scope", "LiteralName"))
def get_ps_drive(call: Call) -> Iterator[object]:
    """The drives of the session."""
    disk = inventory.DISKS[0]
    held = (
        ("Alias", "Alias", "", None, None),
        ("C", "FileSystem", "C:\\", disk.size - disk.free, disk.free),
        ("Cert", "Certificate", "\\", None, None),
        ("Env", "Environment", "", None, None),
        ("Function", "Function", "", None, None),
        ("HKCU", "Registry", "HKEY_CURRENT_USER", None, None),
        ("HKLM", "Registry", "HKEY_LOCAL_MACHINE", None, None),
        ("Variable", "Variable", "", None, None),
        ("WSMan", "WSMan", "", None, None),
    )
    found = False
    for name, provider, root, used, free in held:
        if call.given("Name") and not any(like(name, one) for one in call.texts("Name")):
            continue
        if call.given("PSProvider") and not any(like(provider, one) for one in call.texts("PSProvider")):
            continue
        found = True
        yield PSObject(
            type_names=("System.Management.Automation.PSDriveInfo", "System.Object"),
            properties={
                "Used": used,
                "Free": free,
                "Name": name,
                "Provider": provider,
                "Root": root,
                "Description": "",
                "CurrentLocation": call.session.location[3:] if name == "C" else "",
            },
            text=name,
        )
    if not found and call.given("Name"):
        name = call.text("Name")
        call.error(
            ErrorRecord(
                message=f"Cannot find drive. A drive with the name '{name}' does not exist.",
                exception_type="System.Management.Automation.DriveNotFoundException",
                error_id="GetLocationNoMatchingDrive",
                category="ObjectNotFound",
                target=name,
            )
        )


@cmdlet("Get-Volume", at(0, "DriveLetter", Kind.TEXTS), *_FAR, module="Storage")
def get_volume(call: Call) -> Iterator[object]:
    """The volumes."""
    for one in inventory.DISKS:
        letter = one.letter[0]
        if call.given("DriveLetter") and letter.lower() not in (text.lower() for text in call.texts("DriveLetter")):
            continue
        yield PSObject(
            type_names=("Microsoft.Management.Infrastructure.CimInstance#ROOT/Microsoft/Windows/Storage/MSFT_Volume", "System.Object"),
            properties={
                "DriveLetter": letter,
                "FriendlyName": one.label,
                "FileSystemType": one.file_system or "Unknown",
                "DriveType": "Fixed" if one.kind == 3 else "CD-ROM",
                "HealthStatus": "Healthy",
                "OperationalStatus": "OK" if one.size else "Unknown",
                "SizeRemaining": one.free,
                "Size": one.size,
            },
        )


# --- scheduled tasks ------------------------------------------------------------------------------------------------------


def task_object(task: Task) -> PSObject:
    """A scheduled task."""
    return PSObject(
        type_names=(
            "Microsoft.Management.Infrastructure.CimInstance#Root/Microsoft/Windows/TaskScheduler/MSFT_ScheduledTask",
            "Microsoft.Management.Infrastructure.CimInstance",
            "System.Object",
        ),
        properties={
            "TaskPath": task.path,
            "TaskName": task.name,
            "State": task.state,
            "Author": task.author,
            "Description": task.description,
            "Date": None,
            "URI": f"{task.path}{task.name}",
            "Principal": PSObject(type_names=("MSFT_TaskPrincipal2",), properties={"UserId": task.user, "RunLevel": "Highest"}),
            "Actions": [PSObject(type_names=("MSFT_TaskExecAction",), properties={"Execute": task.run, "Arguments": None})],
        },
        text=f'MSFT_ScheduledTask (TaskName = "{task.name}", TaskPath = "{task.path}")',
    )


def _tasks(call: Call) -> Iterator[Task]:
    names, paths = call.texts_or_input("TaskName", "TaskName"), call.texts("TaskPath")
    found = False
    for task in call.session.host.tasks:
        if names and not any(like(task.name, one) for one in names):
            continue
        if paths and not any(like(task.path, one) for one in paths):
            continue
        found = True
        yield task
    if not found and names and not any("*" in one for one in names):
        call.error(
            ErrorRecord(
                message=f"No MSFT_ScheduledTask objects found with property 'TaskName' equal to '{names[0]}'.  Verify the value of the "
                "property and retry.",
                exception_type="Microsoft.PowerShell.Cmdletization.Cim.CimJobException",
                error_id=f"CmdletizationQuery_NotFound_TaskName,{call.spec.name}",
                category="ObjectNotFound",
                target=names[0],
            )
        )


@cmdlet("Get-ScheduledTask", at(0, "TaskName", Kind.TEXTS), at(1, "TaskPath", Kind.TEXTS), *_FAR, module="ScheduledTasks")
def get_scheduled_task(call: Call) -> Iterator[object]:
    """Scheduled tasks by name and path."""
    yield from (task_object(one) for one in _tasks(call))


@cmdlet("Get-ScheduledTaskInfo", at(0, "TaskName", Kind.TEXTS), at(1, "TaskPath", Kind.TEXTS), *_FAR, module="ScheduledTasks")
def get_scheduled_task_info(call: Call) -> Iterator[object]:
    """When tasks ran and will run."""
    host = call.session.host
    for one in _tasks(call):
        yield PSObject(
            type_names=(
                "Microsoft.Management.Infrastructure.CimInstance#Root/Microsoft/Windows/TaskScheduler/MSFT_TaskDynamicInfo",
                "System.Object",
            ),
            properties={
                "LastRunTime": host.booted,
                "LastTaskResult": 0,
                "NextRunTime": host.booted + one.period if one.period is not None else None,
                "NumberOfMissedRuns": 0,
                "TaskName": one.name,
                "TaskPath": one.path,
                "PSComputerName": None,
            },
        )


# --- security -------------------------------------------------------------------------------------------------------------

_SCOPES = ("MachinePolicy", "UserPolicy", "Process", "CurrentUser", "LocalMachine")
_POLICIES = ("Restricted", "AllSigned", "RemoteSigned", "Unrestricted", "Bypass", "Undefined", "Default")


@cmdlet("Get-ExecutionPolicy", named("Scope", choices=_SCOPES), switch("List"), module=_SECURITY)
def get_execution_policy(call: Call) -> Iterator[object]:
    """How scripts may run."""
    held = call.session.host.execution_policy
    if call.switch("List"):
        for scope in _SCOPES:
            yield PSObject(
                type_names=("Selected.System.Object", "System.Management.Automation.PSCustomObject", "System.Object"),
                properties={"Scope": scope, "ExecutionPolicy": held if scope == "LocalMachine" else "Undefined"},
            )
        return
    yield held if call.text("Scope", "LocalMachine") == "LocalMachine" else "Undefined"


@cmdlet(
    "Set-ExecutionPolicy",
    at(0, "ExecutionPolicy", mandatory=True),
    named("Scope", choices=_SCOPES),
    switch("Force"),
    module=_SECURITY,
    changes=True,
)
def set_execution_policy(call: Call) -> Iterator[object]:
    """Change how scripts may run, for the machine; a process' or a user's own policy is not kept apart."""
    text = call.text("ExecutionPolicy")
    policy = next((one for one in _POLICIES if one.lower() == text.lower()), None)
    if policy is None:
        raise refuse(f"the execution policy {text}", activity=call.spec.name)
    if call.should_process(policy, "Set-ExecutionPolicy"):
        call.session.host.execution_policy = {"Default": "Restricted", "Undefined": "Restricted"}.get(policy, policy)
    yield from ()


_ALGORITHMS = ("SHA1", "SHA256", "SHA384", "SHA512", "MD5")


@cmdlet(
    "Get-FileHash",
    at(0, "Path", Kind.TEXTS, mandatory=True),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    named("Algorithm", choices=_ALGORITHMS),
    *absent("InputStream"),
    module="Microsoft.PowerShell.Utility",
)
def get_file_hash(call: Call) -> Iterator[object]:
    """The hashes of files."""
    name = call.text("Algorithm", "SHA256")
    for full in matches_of(call):
        file = call.session.host.files.get(full)
        if isinstance(file, File):
            digest = hashlib.new(name.lower(), file.content, usedforsecurity=False).hexdigest().upper()
            yield PSObject(
                type_names=("Microsoft.Powershell.Utility.FileHash", "System.Object"),
                properties={"Algorithm": name, "Hash": digest, "Path": full},
            )


_RIGHTS = (
    ("NT AUTHORITY\\SYSTEM", "FullControl"),
    ("BUILTIN\\Administrators", "FullControl"),
    ("BUILTIN\\Users", "ReadAndExecute, Synchronize"),
)


@cmdlet(
    "Get-Acl",
    at(0, "Path", Kind.TEXTS),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    switch("Audit"),
    *absent("Filter", "InputObject"),
    module=_SECURITY,
)
def get_acl(call: Call) -> Iterator[object]:
    """Who may do what to an item: what a fresh system lets whom do."""
    paths = call.texts("LiteralPath") or call.texts_or_input("Path", "PSPath", "FullName") or ["."]
    for path in paths:
        place = drives.place_of(call, path)
        registry = place is not None and place.drive == "registry"
        if place is not None and not registry:
            raise refuse(f"the access rights of {path}", activity=call.spec.name)
        for found in call.session.run_text(f"Get-Item -LiteralPath '{path.replace(chr(39), chr(39) * 2)}'"):
            directory = call.session.member(found, "PSIsContainer") is True
            kind = "RegistrySecurity" if registry else "DirectorySecurity" if directory else "FileSecurity"
            windows = "\\windows" in path.lower()
            owner = "NT SERVICE\\TrustedInstaller" if windows and not registry else "BUILTIN\\Administrators"
            access: list[PSValue] = [
                PSObject(
                    type_names=("System.Security.AccessControl.FileSystemAccessRule", "System.Object"),
                    properties={
                        "FileSystemRights": rights if not registry else "FullControl" if "Full" in rights else "ReadKey",
                        "AccessControlType": "Allow",
                        "IdentityReference": who,
                        "IsInherited": True,
                        "InheritanceFlags": "ContainerInherit, ObjectInherit" if directory else "None",
                        "PropagationFlags": "None",
                    },
                )
                for who, rights in _RIGHTS
            ]
            lines = [f"{who} Allow  {rights}" for who, rights in _RIGHTS]
            yield PSObject(
                type_names=(f"System.Security.AccessControl.{kind}", "System.Object"),
                properties={
                    "PSPath": call.session.member(found, "PSPath"),  # type: ignore[dict-item]
                    "Path": to_text(call.session.member(found, "PSPath")),
                    "Owner": owner,
                    "Group": owner,
                    "Access": access,
                    "AccessToString": "\n".join(lines),
                    "AuditToString": "",
                    "Sddl": "O:BAG:BAD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)",
                },
                text=f"System.Security.AccessControl.{kind}",
            )


@cmdlet("Get-AuthenticodeSignature", at(0, "FilePath", Kind.TEXTS, mandatory=True), named("LiteralPath", Kind.TEXTS), module=_SECURITY)
def get_authenticode_signature(call: Call) -> Iterator[object]:
    """Whether programs are signed: those of Windows are."""
    call.bound["Path"] = call.value("FilePath")
    for full in matches_of(call):
        node = call.session.host.files.get(full)
        signed = isinstance(node, File) and node.image is not None and node.image.company == "Microsoft Corporation"
        if not isinstance(node, Directory):
            yield PSObject(
                type_names=("System.Management.Automation.Signature", "System.Object"),
                properties={
                    "SignerCertificate": "CN=Microsoft Windows, O=Microsoft Corporation, L=Redmond, S=Washington, C=US" if signed else None,
                    "Status": "Valid" if signed else "NotSigned",
                    "StatusMessage": "Signature verified." if signed else f"The file {full} is not digitally signed.",
                    "Path": full,
                },
            )


@cmdlet("Get-MpComputerStatus", *_FAR, module="Defender")
def get_mp_computer_status(call: Call) -> Iterator[object]:
    """How Microsoft Defender is."""
    host = call.session.host
    names = ("AMServiceEnabled", "AntispywareEnabled", "AntivirusEnabled", "BehaviorMonitorEnabled", "IoavProtectionEnabled")
    enabled: dict[str, PSValue] = dict.fromkeys(names, True)
    yield PSObject(
        type_names=(
            "Microsoft.Management.Infrastructure.CimInstance#ROOT/Microsoft/Windows/Defender/MSFT_MpComputerStatus",
            "System.Object",
        ),
        properties={
            "AMEngineVersion": "1.1.19300.2",
            "AMProductVersion": "4.18.2205.7",
            **enabled,
            "AntivirusSignatureLastUpdated": host.booted,
            "AntivirusSignatureVersion": "1.369.117.0",
            "ComputerID": str(host.machine_guid).upper(),
            "IsTamperProtected": False,
            "NISEnabled": True,
            "OnAccessProtectionEnabled": True,
            "QuickScanAge": 0,
            "RealTimeProtectionEnabled": True,
            "RealTimeScanDirection": 0,
        },
    )


@cmdlet("Get-MpPreference", *_FAR, module="Defender")
def get_mp_preference(call: Call) -> Iterator[object]:
    """How Microsoft Defender is set."""
    yield PSObject(
        type_names=("Microsoft.Management.Infrastructure.CimInstance#ROOT/Microsoft/Windows/Defender/MSFT_MpPreference", "System.Object"),
        properties={
            "DisableRealtimeMonitoring": False,
            "DisableBehaviorMonitoring": False,
            "DisableIOAVProtection": False,
            "DisableScriptScanning": False,
            "ExclusionPath": None,
            "ExclusionExtension": None,
            "ExclusionProcess": None,
            "MAPSReporting": 2,
            "SubmitSamplesConsent": 1,
            "ScanScheduleDay": 0,
        },
    )


_FEATURES = (
    ("MicrosoftWindowsPowerShellV2", "Enabled"),
    ("MicrosoftWindowsPowerShellV2Root", "Enabled"),
    ("SMB1Protocol", "Disabled"),
    ("TelnetClient", "Disabled"),
)


@cmdlet("Get-WindowsOptionalFeature", switch("Online"), named("FeatureName"), module="Dism")
def get_windows_optional_feature(call: Call) -> Iterator[object]:
    """The features that matter to remoting."""
    for name, state in _FEATURES:
        if like(name, call.text("FeatureName", "*")):
            yield PSObject(
                type_names=("Microsoft.Dism.Commands.AdvancedFeatureObject", "System.Object"),
                properties={"FeatureName": name, "State": state},
            )
