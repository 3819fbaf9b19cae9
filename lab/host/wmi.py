"""The WMI classes of the emulated host in root\\cimv2: what Get-CimInstance, Get-WmiObject and wmic.exe read [CIM schema, Win32 provider].

Each class is a function from the host to rows; a row's values are what CIM has: text, numbers, truth, moments, lists of them.
"""

from __future__ import annotations

import ntpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from lab.host import inventory
from lab.host.happenings import Process
from lab.host.model import Host
from lab.host.network import ALIAS, DESCRIPTION, INTERFACE
from lab.host.services import Service

Cell = None | bool | int | float | str | datetime | list[str]
Row = dict[str, Cell]
Rows = Callable[[Host], list[Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WmiClass:
    """A class: its name in its own spelling, its key, the columns that PowerShell shows by itself, and its instances."""

    name: str
    key: str
    shown: tuple[str, ...]
    rows: Rows
    as_table: bool = False


CLASSES: dict[str, WmiClass] = {}
"""Every class by its lower-case name."""


def _wmi(name: str, key: str, *shown: str, as_table: bool = False) -> Callable[[Rows], Rows]:
    def register(rows: Rows) -> Rows:
        CLASSES[name.lower()] = WmiClass(name=name, key=key, shown=shown, rows=rows, as_table=as_table)
        return rows

    return register


def _kb(size: int) -> int:
    return size // 1024


@_wmi(
    *("Win32_OperatingSystem", "Name"),
    *("SystemDirectory", "Organization", "BuildNumber", "RegisteredUser", "SerialNumber", "Version"),
    as_table=True,
)
def _operating_system(host: Host) -> list[Row]:
    return [
        {
            "Name": f"{inventory.CAPTION}|C:\\Windows|\\Device\\Harddisk0\\Partition3",
            "Caption": inventory.CAPTION,
            "Version": f"10.0.{inventory.BUILD}",
            "BuildNumber": inventory.BUILD,
            "BuildType": "Multiprocessor Free",
            "CSName": host.name,
            "OSArchitecture": "64-bit",
            "OSType": 18,
            "OSLanguage": 1033,
            "Locale": "0409",
            "CodeSet": "1252",
            "CountryCode": "1",
            "CurrentTimeZone": 0,
            "SystemDirectory": "C:\\Windows\\system32",
            "SystemDrive": "C:",
            "WindowsDirectory": "C:\\Windows",
            "BootDevice": "\\Device\\HarddiskVolume1",
            "SystemDevice": "\\Device\\HarddiskVolume3",
            "Organization": "",
            "RegisteredUser": "Windows User",
            "SerialNumber": host.product_id,
            "InstallDate": inventory.INSTALLED,
            "LastBootUpTime": host.booted,
            "LocalDateTime": host.now(),
            "TotalVisibleMemorySize": _kb(inventory.MEMORY),
            "FreePhysicalMemory": _kb(inventory.MEMORY) // 2,
            "TotalVirtualMemorySize": _kb(inventory.MEMORY) * 5 // 4,
            "FreeVirtualMemory": _kb(inventory.MEMORY) * 3 // 4,
            "NumberOfProcesses": len(host.processes),
            "NumberOfUsers": 1,
            "NumberOfLicensedUsers": 0,
            "ProductType": 1,
            "OperatingSystemSKU": 4,
            "OSProductSuite": 256,
            "ServicePackMajorVersion": 0,
            "ServicePackMinorVersion": 0,
            "MUILanguages": ["en-US"],
            "DataExecutionPrevention_Available": True,
            "Manufacturer": "Microsoft Corporation",
            "Status": "OK",
        }
    ]


@_wmi(
    *("Win32_ComputerSystem", "Name"),
    *("Name", "PrimaryOwnerName", "Domain", "TotalPhysicalMemory", "Model", "Manufacturer"),
    as_table=True,
)
def _computer_system(host: Host) -> list[Row]:
    return [
        {
            "Name": host.name,
            "Caption": host.name,
            "DNSHostName": host.name,
            "Domain": host.domain or "WORKGROUP",
            "Workgroup": None if host.domain else "WORKGROUP",
            "PartOfDomain": bool(host.domain),
            "DomainRole": 1 if host.domain else 0,
            "Manufacturer": inventory.MANUFACTURER,
            "Model": inventory.MODEL,
            "PrimaryOwnerName": "Windows User",
            "TotalPhysicalMemory": inventory.MEMORY,
            "NumberOfProcessors": 1,
            "NumberOfLogicalProcessors": 2,
            "SystemType": "x64-based PC",
            "SystemFamily": "",
            "SystemSKUNumber": "",
            "HypervisorPresent": True,
            "BootupState": "Normal boot",
            "CurrentTimeZone": 0,
            "PCSystemType": 1,
            "UserName": None,
            "Roles": ["LM_Workstation", "LM_Server", "NT"],
            "Status": "OK",
        }
    ]


@_wmi("Win32_BIOS", "Name", "SMBIOSBIOSVersion", "Manufacturer", "Name", "SerialNumber", "Version")
def _bios(host: Host) -> list[Row]:
    number = host.machine_guid.hex
    return [
        {
            "SMBIOSBIOSVersion": inventory.BIOS_VERSION,
            "Manufacturer": inventory.MANUFACTURER,
            "Name": inventory.BIOS_VERSION,
            "Caption": inventory.BIOS_VERSION,
            "SerialNumber": "VMware-" + " ".join(number[at : at + 2] for at in range(0, 16, 2)),
            "Version": "INTEL  - 6040000",
            "ReleaseDate": inventory.BIOS_DATE,
            "PrimaryBIOS": True,
            "Status": "OK",
        }
    ]


@_wmi("Win32_Processor", "DeviceID", "DeviceID", "Name", "Caption", "MaxClockSpeed", "SocketDesignation", "Manufacturer", as_table=True)
def _processor(host: Host) -> list[Row]:
    return [
        {
            "DeviceID": "CPU0",
            "Name": inventory.PROCESSOR,
            "Caption": inventory.PROCESSOR_ID,
            "MaxClockSpeed": 2394,
            "CurrentClockSpeed": 2394,
            "SocketDesignation": "CPU #000",
            "Manufacturer": "GenuineIntel",
            "NumberOfCores": 2,
            "NumberOfLogicalProcessors": 2,
            "AddressWidth": 64,
            "Architecture": 9,
            "LoadPercentage": 3,
            "ProcessorId": "0F8BFBFF000606A6",
            "Status": "OK",
        }
    ]


def _owner(process: Process) -> str:
    return f"{process.logon.account.domain}\\{process.logon.account.name}"


@_wmi("Win32_Process", "Handle", "ProcessId", "Name", "HandleCount", "WorkingSetSize", "VirtualSize", as_table=True)
def _process(host: Host) -> list[Row]:
    return [
        {
            "ProcessId": one.pid,
            "Name": ntpath.basename(one.path),
            "Caption": ntpath.basename(one.path),
            "Description": ntpath.basename(one.path),
            "Handle": str(one.pid),
            "HandleCount": 60 + one.pid % 700,
            "WorkingSetSize": 7_276_800 + one.pid * 1024,
            "VirtualSize": 2_203_318_222_848 + one.pid * 1024,
            "PageFileUsage": 3_906 + one.pid,
            "ParentProcessId": one.parent.pid if one.parent is not None else 0,
            "CommandLine": one.command_line if one.pid != 4 else None,
            "ExecutablePath": one.path if one.pid != 4 else None,
            "CreationDate": one.started,
            "CSName": host.name,
            "Priority": 8,
            "SessionId": 0,
            "ThreadCount": 2 + one.pid % 30,
            "OSName": f"{inventory.CAPTION}|C:\\Windows|\\Device\\Harddisk0\\Partition3",
            "WindowsVersion": f"10.0.{inventory.BUILD}",
            "Status": None,
        }
        for one in host.processes
    ]


_MODES = {"Automatic": "Auto", "Manual": "Manual", "Disabled": "Disabled", "Boot": "Boot", "System": "System"}


def service_pid(host: Host, service: Service) -> int:
    """The process id of a service, 0 where it does not run."""
    process = host.service_process(service)
    return process.pid if process is not None else 0


@_wmi("Win32_Service", "Name", "ProcessId", "Name", "StartMode", "State", "Status", "ExitCode", as_table=True)
def _service(host: Host) -> list[Row]:
    return [
        {
            "ProcessId": service_pid(host, one),
            "Name": one.name,
            "StartMode": _MODES[one.start_type],
            "State": "Running" if one.running else "Stopped",
            "Status": "OK",
            "ExitCode": 0 if one.running else 1077,
            "Caption": one.display_name,
            "DisplayName": one.display_name,
            "Description": one.description or None,
            "PathName": one.image,
            "ServiceType": "Own Process" if one.own_process else "Share Process",
            "StartName": one.account,
            "Started": one.running,
            "AcceptStop": one.running and one.stoppable,
            "AcceptPause": False,
            "DelayedAutoStart": one.delayed,
            "DesktopInteract": bool(one.type_code & 0x100),
            "ErrorControl": "Normal",
            "SystemName": host.name,
            "TagId": 0,
        }
        for one in host.services
    ]


@_wmi("Win32_UserAccount", "SID", "AccountType", "Caption", "Domain", "SID", "FullName", "Name")
def _user_account(host: Host) -> list[Row]:
    def row(domain: str, name: str, sid: str, *, local: bool, disabled: bool, full: str = "", text: str = "", required: bool = True) -> Row:
        return {
            "AccountType": 512,
            "Caption": f"{domain}\\{name}",
            "Domain": domain,
            "SID": sid,
            "FullName": full,
            "Name": name,
            "Description": text,
            "Disabled": disabled,
            "LocalAccount": local,
            "Lockout": False,
            "PasswordChangeable": True,
            "PasswordExpires": True,
            "PasswordRequired": required,
            "SIDType": 1,
            "Status": "Degraded" if disabled else "OK",
        }

    local = [
        row(
            host.name,
            one.name,
            one.sid,
            local=True,
            disabled=not one.enabled,
            full=one.full_name,
            text=one.description,
            required=one.password_required,
        )
        for one in host.users
    ]
    return local + [row(one.domain, one.name, one.sid, local=False, disabled=False) for one in host.accounts if one.domain != host.name]


@_wmi("Win32_Group", "SID", "Caption", "Domain", "Name", "SID", as_table=True)
def _group(host: Host) -> list[Row]:
    return [
        {
            "Caption": f"{host.name}\\{one.name}",
            "Domain": host.name,
            "Name": one.name,
            "SID": one.sid,
            "Description": one.description,
            "LocalAccount": True,
            "SIDType": 4,
            "Status": "OK",
        }
        for one in host.groups
    ]


@_wmi("Win32_GroupUser", "GroupComponent", "GroupComponent", "PartComponent")
def _group_user(host: Host) -> list[Row]:
    found: list[Row] = []
    for group in host.groups:
        for name, _, kind in group.members:
            domain, _, leaf = name.rpartition("\\")
            part = "Win32_UserAccount" if kind == "User" else "Win32_SystemAccount"
            found.append(
                {
                    "GroupComponent": f'Win32_Group (Name = "{group.name}", Domain = "{host.name}")',
                    "PartComponent": f'{part} (Name = "{leaf}", Domain = "{domain or host.name}")',
                }
            )
    return found


@_wmi("Win32_NetworkAdapterConfiguration", "Index", "ServiceName", "DHCPEnabled", "Index", "Description")
def _adapter_configuration(host: Host) -> list[Row]:
    network = host.tcpip
    return [
        {
            "ServiceName": "e1i65x64",
            "DHCPEnabled": False,
            "Index": 1,
            "Description": DESCRIPTION,
            "Caption": f"[00000001] {DESCRIPTION}",
            "InterfaceIndex": INTERFACE,
            "IPEnabled": True,
            "IPAddress": [network.ip, network.link_local],
            "IPSubnet": ["255.255.255.0", "64"],
            "DefaultIPGateway": [network.gateway],
            "DNSServerSearchOrder": [network.gateway],
            "DNSDomain": "",
            "DNSHostName": host.name,
            "DNSDomainSuffixSearchOrder": [host.domain] if host.domain else [],
            "MACAddress": network.mac.replace("-", ":"),
            "SettingID": "{5A1F3A52-0F0E-4F3E-9A59-1C8C0F7B9D11}",
            "TcpipNetbiosOptions": 0,
            "WINSPrimaryServer": None,
        }
    ]


@_wmi("Win32_NetworkAdapter", "DeviceID", "ServiceName", "MACAddress", "AdapterType", "DeviceID", "Name", "NetworkAddresses", "Speed")
def _adapter(host: Host) -> list[Row]:
    return [
        {
            "ServiceName": "e1i65x64",
            "MACAddress": host.tcpip.mac.replace("-", ":"),
            "AdapterType": "Ethernet 802.3",
            "DeviceID": "1",
            "Name": DESCRIPTION,
            "NetworkAddresses": None,
            "Speed": 1_000_000_000,
            "NetConnectionID": ALIAS,
            "NetConnectionStatus": 2,
            "NetEnabled": True,
            "PhysicalAdapter": True,
            "InterfaceIndex": INTERFACE,
            "Manufacturer": "Intel Corporation",
        }
    ]


@_wmi("Win32_QuickFixEngineering", "HotFixID", "Source", "Description", "HotFixID", "InstalledBy", "InstalledOn", as_table=True)
def _quick_fix(host: Host) -> list[Row]:
    return [
        {
            "Source": host.name,
            "Description": one.kind,
            "HotFixID": one.name,
            "InstalledBy": "NT AUTHORITY\\SYSTEM",
            "InstalledOn": one.installed,
            "Caption": f"http://support.microsoft.com/?kbid={one.name[2:]}",
            "CSName": host.name,
            "FixComments": "",
            "ServicePackInEffect": "",
        }
        for one in inventory.HOT_FIXES
    ]


@_wmi("Win32_LogicalDisk", "DeviceID", "DeviceID", "DriveType", "ProviderName", "VolumeName", "Size", "FreeSpace", as_table=True)
def _logical_disk(host: Host) -> list[Row]:
    return [
        {
            "DeviceID": one.letter,
            "DriveType": one.kind,
            "ProviderName": None,
            "VolumeName": one.label if one.size else None,
            "Size": one.size or None,
            "FreeSpace": one.free if one.size else None,
            "Caption": one.letter,
            "Name": one.letter,
            "Description": "Local Fixed Disk" if one.kind == 3 else "CD-ROM Disc",
            "FileSystem": one.file_system or None,
            "VolumeSerialNumber": one.serial or None,
            "MediaType": 12 if one.kind == 3 else 11,
            "SystemName": host.name,
            "Compressed": False if one.size else None,
        }
        for one in inventory.DISKS
    ]


@_wmi("Win32_DiskDrive", "DeviceID", "DeviceID", "Caption", "Partitions", "Size", "Model", as_table=True)
def _disk_drive(host: Host) -> list[Row]:
    return [
        {
            "DeviceID": "\\\\.\\PHYSICALDRIVE0",
            "Caption": "VMware Virtual disk SCSI Disk Device",
            "Partitions": 3,
            "Size": 64_420_392_960,
            "Model": "VMware Virtual disk SCSI Disk Device",
            "Index": 0,
            "InterfaceType": "SCSI",
            "MediaType": "Fixed hard disk media",
            "SerialNumber": None,
            "Status": "OK",
        }
    ]


@_wmi("Win32_Product", "IdentifyingNumber", "Name", "Caption", "Vendor", "Version", "IdentifyingNumber")
def _product(host: Host) -> list[Row]:
    return [
        {
            "Name": one.name,
            "Caption": one.name,
            "Description": one.name,
            "Vendor": one.vendor,
            "Version": one.version,
            "IdentifyingNumber": one.code,
            "InstallDate": one.date,
            "InstallState": 5,
        }
        for one in inventory.PRODUCTS
        if one.installer
    ]


@_wmi("Win32_Share", "Name", "Name", "Path", "Description", as_table=True)
def _share(host: Host) -> list[Row]:
    return [
        {
            "Name": one.name,
            "Path": one.path,
            "Description": one.description,
            "Caption": one.description,
            "Type": one.kind - (1 << 32) if one.kind >= 1 << 31 else one.kind,
            "AllowMaximum": True,
            "Status": "OK",
        }
        for one in host.shares
    ]


@_wmi("Win32_StartupCommand", "Name", "Command", "User", "Caption")
def _startup_command(host: Host) -> list[Row]:
    place = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run"
    return [
        {
            "Command": str(one.data),
            "User": "Public",
            "Caption": one.name,
            "Name": one.name,
            "Description": one.name,
            "Location": place.replace("HKEY_LOCAL_MACHINE", "HKLM"),
            "UserSID": None,
        }
        for one in host.registry.values(place)
    ]


@_wmi("Win32_Environment", "Name", "VariableValue", "Name", "UserName", as_table=True)
def _environment(host: Host) -> list[Row]:
    place = "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Environment"
    return [
        {
            "VariableValue": str(one.data),
            "Name": one.name,
            "UserName": "<SYSTEM>",
            "SystemVariable": True,
            "Caption": f"<SYSTEM>\\{one.name}",
        }
        for one in host.registry.values(place)
    ]


@_wmi("Win32_TimeZone", "StandardName", "Bias", "SettingID", "Caption")
def _time_zone(host: Host) -> list[Row]:
    return [{"Bias": 0, "SettingID": None, "Caption": "(UTC) Coordinated Universal Time", "StandardName": "Coordinated Universal Time"}]


@_wmi("Win32_ComputerSystemProduct", "IdentifyingNumber", "IdentifyingNumber", "Name", "Vendor", "Version", "Caption")
def _computer_system_product(host: Host) -> list[Row]:
    return [
        {
            "IdentifyingNumber": _bios(host)[0]["SerialNumber"],
            "Name": inventory.MODEL,
            "Vendor": inventory.MANUFACTURER,
            "Version": "None",
            "Caption": "Computer System Product",
            "UUID": str(host.machine_guid).upper(),
        }
    ]


@_wmi("Win32_BaseBoard", "Tag", "Manufacturer", "Model", "Name", "SerialNumber", "SKU", "Product")
def _base_board(host: Host) -> list[Row]:
    return [
        {
            "Manufacturer": "Intel Corporation",
            "Model": None,
            "Name": "Base Board",
            "SerialNumber": "None",
            "SKU": None,
            "Product": "440BX Desktop Reference Platform",
            "Tag": "Base Board",
            "Version": "None",
        }
    ]


@_wmi("Win32_PhysicalMemory", "Tag", "Tag", "Capacity", "Manufacturer", "DeviceLocator")
def _physical_memory(host: Host) -> list[Row]:
    return [
        {
            "Tag": "Physical Memory 0",
            "Capacity": 4_294_967_296,
            "Manufacturer": "VMware Virtual RAM",
            "DeviceLocator": "RAM slot #0",
            "BankLabel": "RAM slot #0",
            "Speed": 4800,
        }
    ]


@_wmi("Win32_LogonSession", "LogonId", "AuthenticationPackage", "LogonId", "LogonType", "StartTime", as_table=True)
def _logon_session(host: Host) -> list[Row]:
    held = {one.logon.logon_id: one.logon for one in host.processes}
    return [
        {
            "AuthenticationPackage": one.package.value,
            "LogonId": str(one.logon_id),
            "LogonType": one.logon_type,
            "StartTime": one.created,
            "Name": None,
        }
        for one in held.values()
    ]


@_wmi("Win32_LoggedOnUser", "Antecedent", "Antecedent", "Dependent")
def _logged_on_user(host: Host) -> list[Row]:
    held = {one.logon.logon_id: one.logon for one in host.processes}
    return [
        {
            "Antecedent": f'Win32_Account (Name = "{one.account.name}", Domain = "{one.account.domain}")',
            "Dependent": f'Win32_LogonSession (LogonId = "{one.logon_id}")',
        }
        for one in held.values()
    ]


@_wmi("Win32_NTDomain", "Name", "Caption", "ClientSiteName", "DomainControllerName", "DomainName", "Status")
def _nt_domain(host: Host) -> list[Row]:
    return [{"Caption": host.name, "ClientSiteName": None, "DomainControllerName": None, "DomainName": None, "Status": "Unknown"}]


@_wmi("Win32_UserProfile", "SID", "LocalPath", "SID", "Loaded", "Special")
def _user_profile(host: Host) -> list[Row]:
    place = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList"
    return [
        {
            "LocalPath": str(one.values["profileimagepath"].data),
            "SID": one.name,
            "Loaded": True,
            "Special": False,
            "LastUseTime": one.written,
        }
        for one in host.registry.children(place)
    ]


@_wmi("Win32_SystemDriver", "Name", "DisplayName", "Name", "State", "Status", "Started", as_table=True)
def _system_driver(host: Host) -> list[Row]:
    return [
        {
            "DisplayName": one.display_name,
            "Name": one.name,
            "State": "Running",
            "Status": "OK",
            "Started": True,
            "StartMode": "Manual",
            "ServiceType": f"{one.kind} Driver",
            "PathName": f"C:\\Windows\\system32\\drivers\\{one.name}.sys",
        }
        for one in inventory.DRIVERS
    ]


@_wmi("Win32_Volume", "DeviceID", "DriveLetter", "Label", "FileSystem", "Capacity", "FreeSpace")
def _volume(host: Host) -> list[Row]:
    return [
        {
            "DriveLetter": one.letter,
            "Label": one.label,
            "FileSystem": one.file_system or None,
            "Capacity": one.size or None,
            "FreeSpace": one.free or None,
            "DeviceID": f"\\\\?\\Volume{{5ac17b0e-0000-0000-0000-{place + 1:012x}}}\\",
            "DriveType": one.kind,
        }
        for place, one in enumerate(inventory.DISKS)
    ]


@_wmi("Win32_ShadowCopy", "ID", "ID", "InstallDate", "VolumeName")
def _shadow_copy(host: Host) -> list[Row]:
    return []


@_wmi("Win32_Printer", "DeviceID", "Name", "PrinterState", "PrinterStatus", "ShareName", "SystemName")
def _printer(host: Host) -> list[Row]:
    return [
        {
            "Name": "Microsoft Print to PDF",
            "PrinterState": 0,
            "PrinterStatus": 3,
            "ShareName": None,
            "SystemName": host.name,
            "DeviceID": "Microsoft Print to PDF",
            "Default": True,
        }
    ]


@_wmi("Win32_Desktop", "Name", "Name", "ScreenSaverActive", "ScreenSaverSecure", "ScreenSaverTimeout")
def _desktop(host: Host) -> list[Row]:
    return [{"Name": ".DEFAULT", "ScreenSaverActive": False, "ScreenSaverSecure": None, "ScreenSaverTimeout": None}]


SECURITY_CENTER = "root/securitycenter2"


def _antivirus(host: Host) -> list[Row]:
    return [
        {
            "displayName": "Windows Defender",
            "instanceGuid": "{D68DDC3A-831F-4fae-9E44-DA132C1ACF46}",
            "pathToSignedProductExe": "windowsdefender://",
            "pathToSignedReportingExe": "%ProgramFiles%\\Windows Defender\\MsMpeng.exe",
            "productState": 397568,
            "timestamp": f"{host.booted:%a, %d %b %Y %H:%M:%S} GMT",
        }
    ]


def _nothing(host: Host) -> list[Row]:
    return []


_CENTER: Mapping[str, WmiClass] = {
    "antivirusproduct": WmiClass(name="AntiVirusProduct", key="instanceGuid", shown=(), rows=_antivirus),
    "firewallproduct": WmiClass(name="FirewallProduct", key="instanceGuid", shown=(), rows=_nothing),
    "antispywareproduct": WmiClass(name="AntiSpywareProduct", key="instanceGuid", shown=(), rows=_nothing),
}


def find_class(namespace: str, name: str) -> WmiClass | None:
    """The class of a namespace (`root/cimv2` by default), None where the model has none of that name."""
    place = namespace.replace("\\", "/").strip("/").lower()
    if place == SECURITY_CENTER:
        return _CENTER.get(name.lower())
    return CLASSES.get(name.lower()) if place in ("root/cimv2", "") else None
