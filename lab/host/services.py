"""Services of the emulated host: values and the ones that a Windows 10 has running. Nothing here starts or stops anything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service as the service control manager knows it. `start_type` and `type_code` in the words and numbers of winsvc.h."""

    name: str
    display_name: str
    running: bool
    start_type: str
    type_code: int = 0x20
    account: str = "LocalSystem"
    image: str = "C:\\Windows\\System32\\svchost.exe -k netsvcs -p"
    depends_on: tuple[str, ...] = ()


def _service(name: str, display_name: str, running: bool, start_type: str = "Automatic") -> Service:
    return Service(name=name, display_name=display_name, running=running, start_type=start_type)


DEFAULT_SERVICES = (
    _service("AppIDSvc", "Application Identity", False, "Manual"),
    _service("BITS", "Background Intelligent Transfer Service", False, "Manual"),
    _service("CryptSvc", "Cryptographic Services", True),
    Service(
        name="DcomLaunch",
        display_name="DCOM Server Process Launcher",
        running=True,
        start_type="Automatic",
        image="C:\\Windows\\system32\\svchost.exe -k DcomLaunch -p",
    ),
    _service("Dhcp", "DHCP Client", True),
    _service("Dnscache", "DNS Client", True),
    _service("EventLog", "Windows Event Log", True),
    _service("gpsvc", "Group Policy Client", True),
    _service("IKEEXT", "IKE and AuthIP IPsec Keying Modules", False, "Manual"),
    _service("LanmanServer", "Server", True),
    _service("LanmanWorkstation", "Workstation", True),
    _service("mpssvc", "Windows Defender Firewall", True),
    _service("Netlogon", "Netlogon", True),
    _service("PlugPlay", "Plug and Play", True, "Manual"),
    _service("ProfSvc", "User Profile Service", True),
    _service("RemoteRegistry", "Remote Registry", False, "Disabled"),
    _service("RpcSs", "Remote Procedure Call (RPC)", True),
    _service("SamSs", "Security Accounts Manager", True),
    _service("Schedule", "Task Scheduler", True),
    Service(
        name="Spooler",
        display_name="Print Spooler",
        running=True,
        start_type="Automatic",
        type_code=0x110,
        image="C:\\Windows\\System32\\spoolsv.exe",
        depends_on=("RPCSS", "http"),
    ),
    _service("TermService", "Remote Desktop Services", False, "Manual"),
    _service("W32Time", "Windows Time", True),
    _service("WinDefend", "Microsoft Defender Antivirus Service", True),
    Service(
        name="WinRM",
        display_name="Windows Remote Management (WS-Management)",
        running=True,
        start_type="Automatic",
        account="NT AUTHORITY\\NetworkService",
        image="C:\\Windows\\System32\\svchost.exe -k NetworkService -p",
        depends_on=("RPCSS", "HTTP"),
    ),
    _service("Winmgmt", "Windows Management Instrumentation", True),
    _service("wuauserv", "Windows Update", False, "Manual"),
)
