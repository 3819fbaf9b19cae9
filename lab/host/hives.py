"""What the registry of a fresh Windows 10 holds, as far as anybody asks for it: made once from the facts of a host."""

from __future__ import annotations

from collections.abc import Iterable

from harness.events.audit import COMMAND_LINES, MODULE_LOGGING, SCRIPT_BLOCK_LOGGING
from lab.host import inventory
from lab.host.registry import Data, Kind, Registry
from lab.host.services import Service
from lab.machine import Account

CURRENT_VERSION = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion"
NT_VERSION = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
CONTROL_SET = "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet"
SERVICES = f"{CONTROL_SET}\\Services"
UNINSTALL = f"{CURRENT_VERSION}\\Uninstall"

START = {"Boot": 0, "System": 1, "Automatic": 2, "Manual": 3, "Disabled": 4}


def put(registry: Registry, path: str, values: Iterable[tuple[str, Kind, Data]]) -> None:
    """A key with values."""
    registry.make(path)
    for name, kind, data in values:
        registry.set(path, name, kind, data)


def service_key(service: Service) -> str:
    """The path of a service's key."""
    return f"{SERVICES}\\{service.name}"


def _service_values(service: Service) -> list[tuple[str, Kind, Data]]:
    values: list[tuple[str, Kind, Data]] = [
        ("Type", Kind.DWORD, service.type_code),
        ("Start", Kind.DWORD, START[service.start_type]),
        ("ErrorControl", Kind.DWORD, 1),
        ("ImagePath", Kind.EXPAND, service.image),
        ("DisplayName", Kind.TEXT, service.display_name),
        ("ObjectName", Kind.TEXT, service.account),
    ]
    if service.depends_on:
        values.append(("DependOnService", Kind.MULTI, service.depends_on))
    if service.description:
        values.append(("Description", Kind.TEXT, service.description))
    if service.delayed:
        values.append(("DelayedAutostart", Kind.DWORD, 1))
    return values


def put_service(registry: Registry, service: Service) -> None:
    """A service's key, as the service control manager writes it."""
    put(registry, service_key(service), _service_values(service))


def change_service(registry: Registry, before: Service, after: Service) -> None:
    """Write what of a service's key is another now. Raises `KeyNotFound` where somebody took the key away."""
    old = _service_values(before)
    for value in _service_values(after):
        if value not in old:
            registry.set(service_key(after), *value)


def put_user(registry: Registry, account: Account, home: str) -> None:
    """The hive of a user that has a profile, and the profile's entry in the machine's list."""
    root = f"HKEY_USERS\\{account.sid}"
    if registry.find(root) is not None:
        return
    put(
        registry,
        f"{root}\\Software\\Microsoft\\Windows\\CurrentVersion\\Explorer\\Shell Folders",
        (("Desktop", Kind.TEXT, f"{home}\\Desktop"), ("Personal", Kind.TEXT, f"{home}\\Documents")),
    )
    put(registry, f"{root}\\Environment", (("TEMP", Kind.EXPAND, "%USERPROFILE%\\AppData\\Local\\Temp"),))
    put(
        registry,
        f"{root}\\Volatile Environment",
        (("USERNAME", Kind.TEXT, account.name), ("USERDOMAIN", Kind.TEXT, account.domain), ("USERPROFILE", Kind.TEXT, home)),
    )
    put(registry, f"{root}\\Control Panel\\International", (("LocaleName", Kind.TEXT, "en-US"), ("sShortDate", Kind.TEXT, "M/d/yyyy")))
    put(registry, f"{root}\\Control Panel\\Desktop", (("ScreenSaveActive", Kind.TEXT, "1"),))
    put(registry, f"{root}\\Software\\Microsoft\\Windows\\CurrentVersion\\Run", ())
    put(registry, f"{root}\\Software\\Microsoft\\Windows\\CurrentVersion\\RunOnce", ())
    put(registry, f"{root}\\Software\\Classes", ())
    put(
        registry,
        f"{NT_VERSION}\\ProfileList\\{account.sid}",
        (("ProfileImagePath", Kind.EXPAND, home), ("State", Kind.DWORD, 0), ("Flags", Kind.DWORD, 0)),
    )


def furnish(registry: Registry, *, name: str, domain: str, ip: str, gateway: str, product_id: str, services: Iterable[Service]) -> None:
    """The machine's hives."""
    text, number, expand = Kind.TEXT, Kind.DWORD, Kind.EXPAND
    put(
        registry,
        NT_VERSION,
        (
            ("SystemRoot", text, "C:\\Windows"),
            ("BuildBranch", text, "vb_release"),
            ("BuildLab", text, "19041.vb_release.191206-1406"),
            ("CurrentBuild", text, inventory.BUILD),
            ("CurrentBuildNumber", text, inventory.BUILD),
            ("CurrentMajorVersionNumber", number, 10),
            ("CurrentMinorVersionNumber", number, 0),
            ("CurrentType", text, "Multiprocessor Free"),
            ("CurrentVersion", text, "6.3"),
            ("DisplayVersion", text, "22H2"),
            ("EditionID", text, "Enterprise"),
            ("InstallationType", text, "Client"),
            ("InstallDate", number, int(inventory.INSTALLED.timestamp())),
            ("ProductId", text, product_id),
            ("ProductName", text, inventory.CAPTION.removeprefix("Microsoft ")),
            ("RegisteredOrganization", text, ""),
            ("RegisteredOwner", text, "Windows User"),
            ("ReleaseId", text, "2009"),
            ("UBR", number, inventory.REVISION),
        ),
    )
    put(
        registry,
        f"{NT_VERSION}\\Winlogon",
        (
            ("AutoAdminLogon", text, "0"),
            ("DefaultDomainName", text, ""),
            ("DefaultUserName", text, ""),
            ("CachedLogonsCount", text, "10"),
            ("Shell", text, "explorer.exe"),
            ("Userinit", text, "C:\\Windows\\system32\\userinit.exe,"),
        ),
    )
    put(registry, f"{NT_VERSION}\\Image File Execution Options", ())
    put(
        registry,
        f"{NT_VERSION}\\ProfileList",
        (("ProfilesDirectory", expand, "%SystemDrive%\\Users"), ("ProgramData", expand, "%SystemDrive%\\ProgramData")),
    )
    put(
        registry,
        CURRENT_VERSION,
        (("ProgramFilesDir", text, "C:\\Program Files"), ("CommonFilesDir", text, "C:\\Program Files\\Common Files")),
    )
    put(
        registry,
        f"{CURRENT_VERSION}\\Run",
        (
            ("SecurityHealth", expand, "%windir%\\system32\\SecurityHealthSystray.exe"),
            ("VMware User Process", text, '"C:\\Program Files\\VMware\\VMware Tools\\vmtoolsd.exe" -n vmusr'),
        ),
    )
    put(registry, f"{CURRENT_VERSION}\\RunOnce", ())
    put(
        registry,
        f"{CURRENT_VERSION}\\Policies\\System",
        (
            ("ConsentPromptBehaviorAdmin", number, 5),
            ("ConsentPromptBehaviorUser", number, 3),
            ("EnableLUA", number, 1),
            ("LocalAccountTokenFilterPolicy", number, 1),
            ("PromptOnSecureDesktop", number, 1),
            ("legalnoticecaption", text, ""),
            ("legalnoticetext", text, ""),
        ),
    )
    put(registry, f"{CURRENT_VERSION}\\Explorer", ())
    for product in inventory.PRODUCTS:
        values: list[tuple[str, Kind, Data]] = [
            ("DisplayName", text, product.name),
            ("DisplayVersion", text, product.version),
            ("InstallDate", text, product.date),
            ("Publisher", text, product.vendor),
        ]
        if product.installer:
            values += [("UninstallString", expand, f"MsiExec.exe /I{product.code}"), ("WindowsInstaller", number, 1)]
        put(registry, f"{UNINSTALL}\\{product.code}", values)
    # What a provisioned lab target has; `lab.host.provision` takes away what one of them lacks.
    for setting in (COMMAND_LINES, SCRIPT_BLOCK_LOGGING, MODULE_LOGGING):
        for value in setting.values:
            entry = (value.name, number if isinstance(value.data, int) else text, value.data)
            put(registry, f"HKEY_LOCAL_MACHINE\\{value.key}", (entry,))
    put(
        registry,
        "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\PowerShell\\1\\ShellIds\\Microsoft.PowerShell",
        (("ExecutionPolicy", text, "RemoteSigned"), ("Path", text, "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe")),
    )
    put(
        registry,
        "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\PowerShell\\3\\PowerShellEngine",
        (("PowerShellVersion", text, "5.1.19041.1"), ("RuntimeVersion", text, "v4.0.30319")),
    )
    put(
        registry,
        "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\NET Framework Setup\\NDP\\v4\\Full",
        (("Release", number, 533325), ("Version", text, "4.8.09037"), ("Install", number, 1)),
    )
    put(
        registry,
        "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Cryptography",
        (("MachineGuid", text, f"7c9d2f1e-{abs(sum(name.encode())) % 0xFFFF:04x}-4c7b-9a55-3f0f3f0a6b21"),),
    )
    put(registry, "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows Defender", (("DisableAntiSpyware", number, 0),))
    put(registry, "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows Defender\\Exclusions\\Paths", ())
    put(registry, "HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\Windows Defender", ())
    put(registry, "HKEY_LOCAL_MACHINE\\SOFTWARE\\WOW6432Node\\Microsoft\\Windows\\CurrentVersion\\Uninstall", ())
    put(registry, "HKEY_LOCAL_MACHINE\\SOFTWARE\\WOW6432Node\\Microsoft\\Windows\\CurrentVersion\\Run", ())
    put(
        registry,
        "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Virtual Machine\\Guest\\Parameters",
        (),
    )
    for kind, described in ((".txt", "txtfile"), (".ps1", "Microsoft.PowerShellScript.1"), (".exe", "exefile"), (".bat", "batfile")):
        put(registry, f"HKEY_LOCAL_MACHINE\\SOFTWARE\\Classes\\{kind}", (("", text, described),))
    put(registry, "HKEY_LOCAL_MACHINE\\HARDWARE\\DESCRIPTION\\System", (("SystemBiosVersion", Kind.MULTI, ("INTEL  - 6040000",)),))
    put(
        registry,
        "HKEY_LOCAL_MACHINE\\HARDWARE\\DESCRIPTION\\System\\BIOS",
        (
            ("BIOSVersion", text, inventory.BIOS_VERSION),
            ("SystemManufacturer", text, inventory.MANUFACTURER),
            ("SystemProductName", text, inventory.MODEL),
        ),
    )
    put(
        registry,
        "HKEY_LOCAL_MACHINE\\HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0",
        (("Identifier", text, inventory.PROCESSOR_ID), ("ProcessorNameString", text, inventory.PROCESSOR), ("~MHz", number, 2394)),
    )
    put(registry, f"{CONTROL_SET}\\Control\\ComputerName\\ComputerName", (("ComputerName", text, name),))
    put(registry, f"{CONTROL_SET}\\Control\\ComputerName\\ActiveComputerName", (("ComputerName", text, name),))
    put(
        registry,
        f"{CONTROL_SET}\\Control\\Lsa",
        (
            ("auditbasedirectories", number, 0),
            ("LimitBlankPasswordUse", number, 1),
            ("NoLmHash", number, 1),
            ("RestrictAnonymous", number, 0),
            ("RestrictAnonymousSAM", number, 1),
            ("RunAsPPL", number, 0),
            ("Security Packages", Kind.MULTI, ('""',)),
        ),
    )
    put(registry, f"{CONTROL_SET}\\Control\\SecurityProviders\\WDigest", (("UseLogonCredential", number, 0),))
    put(registry, f"{CONTROL_SET}\\Control\\Terminal Server", (("fDenyTSConnections", number, 1), ("TSUserEnabled", number, 0)))
    put(registry, f"{CONTROL_SET}\\Control\\Terminal Server\\WinStations\\RDP-Tcp", (("PortNumber", number, 3389),))
    put(registry, f"{CONTROL_SET}\\Control\\Nls\\Language", (("Default", text, "0409"), ("InstallLanguage", text, "0409")))
    put(
        registry,
        f"{CONTROL_SET}\\Control\\TimeZoneInformation",
        (("TimeZoneKeyName", text, "UTC"), ("ActiveTimeBias", number, 0), ("Bias", number, 0)),
    )
    put(
        registry,
        f"{CONTROL_SET}\\Control\\Session Manager\\Environment",
        (
            ("ComSpec", expand, "%SystemRoot%\\system32\\cmd.exe"),
            ("NUMBER_OF_PROCESSORS", text, "2"),
            ("OS", text, "Windows_NT"),
            (
                "Path",
                expand,
                "%SystemRoot%\\system32;%SystemRoot%;%SystemRoot%\\System32\\Wbem;%SYSTEMROOT%\\System32\\WindowsPowerShell\\v1.0\\",
            ),
            ("PROCESSOR_ARCHITECTURE", text, "AMD64"),
            ("PROCESSOR_IDENTIFIER", text, f"{inventory.PROCESSOR_ID}, GenuineIntel"),
            ("windir", expand, "%SystemRoot%"),
        ),
    )
    for service in services:
        put_service(registry, service)
    put(
        registry,
        f"{SERVICES}\\Tcpip\\Parameters",
        (
            ("Hostname", text, name),
            ("NV Hostname", text, name),
            ("Domain", text, domain),
            ("NV Domain", text, domain),
            ("SearchList", text, ""),
            ("IPEnableRouter", number, 0),
        ),
    )
    put(
        registry,
        f"{SERVICES}\\Tcpip\\Parameters\\Interfaces\\{{5a1f3a52-0f0e-4f3e-9a59-1c8c0f7b9d11}}",
        (
            ("EnableDHCP", number, 0),
            ("IPAddress", Kind.MULTI, (ip,)),
            ("SubnetMask", Kind.MULTI, ("255.255.255.0",)),
            ("DefaultGateway", Kind.MULTI, (gateway,)),
            ("NameServer", text, gateway),
        ),
    )
    put(
        registry,
        f"{SERVICES}\\SharedAccess\\Parameters\\FirewallPolicy\\StandardProfile",
        (("EnableFirewall", number, 1), ("DisableNotifications", number, 0)),
    )
    put(registry, f"{SERVICES}\\SharedAccess\\Parameters\\FirewallPolicy\\DomainProfile", (("EnableFirewall", number, 1),))
    put(registry, f"{SERVICES}\\LanmanServer\\Parameters", (("AutoShareWks", number, 1), ("requiresecuritysignature", number, 0)))
    put(registry, f"{SERVICES}\\WinRM\\Parameters", (("ServiceDll", expand, "%systemroot%\\system32\\WsmSvc.dll"),))
    put(registry, "HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\Windows\\WinRM\\Service", (("AllowAutoConfig", number, 1),))
    put(registry, "HKEY_LOCAL_MACHINE\\SAM", ())
    put(registry, "HKEY_LOCAL_MACHINE\\SECURITY", ())
    put(registry, "HKEY_USERS\\.DEFAULT\\Software", ())
    put(registry, "HKEY_USERS\\S-1-5-18\\Software", ())
    put(registry, "HKEY_USERS\\S-1-5-19\\Software", ())
    put(registry, "HKEY_USERS\\S-1-5-20\\Software", ())
