"""Services of the emulated host: the ones that a Windows 10 has, and a service control manager that starts, stops and changes them.

A service that has a process of its own gets one from the host while it runs; those in a shared svchost.exe have that one's.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

MAX_SERVICES = 1_000


class ServiceFault(Exception):
    """What the service control manager refuses. `code` is the Win32 error."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(name, code)
        self.name = name
        self.code = code


NOT_FOUND = 1060
ALREADY_RUNNING = 1056
NOT_STARTED = 1062
DISABLED = 1058
DEPENDENTS_RUN = 1051
EXISTS = 1073
CANNOT_START = 1053
ACCESS_DENIED = 5
INVALID_CONTROL = 1052


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
    description: str = ""
    stoppable: bool = True
    delayed: bool = False

    @property
    def own_process(self) -> bool:
        """Whether it has a process of its own (SERVICE_WIN32_OWN_PROCESS)."""
        return bool(self.type_code & 0x10)

    @property
    def program(self) -> str:
        """The path of its executable, without arguments and quotes."""
        found = re.match(r'"([^"]+)"|(.+?\.exe)', self.image, re.IGNORECASE)
        return (found[1] or found[2]) if found else self.image


class Act(Enum):
    """What becomes of a service."""

    STARTED = auto()
    STOPPED = auto()
    INSTALLED = auto()
    CHANGED = auto()
    DELETED = auto()


class ServiceControl:
    """The service control manager. Safe from several threads.

    `began` and `ended` are told of a service that is to run, or to run no more, and may raise `ServiceFault` for one that cannot start;
    `on_changed` of what has become of one, with the service as it was before where it was there.
    """

    def __init__(self, began: Callable[[Service], None], ended: Callable[[Service], None]) -> None:
        self._began = began
        self._ended = ended
        self.on_changed: Callable[[Act, Service, Service | None], None] = lambda act, service, before: None
        self._lock = threading.RLock()
        self._held: dict[str, Service] = {one.name.lower(): one for one in DEFAULT_SERVICES}

    def __iter__(self) -> Iterator[Service]:
        with self._lock:
            return iter([self._held[name] for name in sorted(self._held)])

    def find(self, name: str) -> Service | None:
        """The service of this name, whatever its case."""
        return self._held.get(name.lower())

    def get(self, name: str) -> Service:
        """The service of this name, or of this display name. Raises `ServiceFault`."""
        held = self.find(name) or next((one for one in self if one.display_name.lower() == name.lower()), None)
        if held is None:
            raise ServiceFault(name, NOT_FOUND)
        return held

    def dependents(self, name: str) -> list[Service]:
        """The services that need this one."""
        return [one for one in self if any(on.lower() == name.lower() for on in one.depends_on)]

    def start(self, name: str) -> list[Service]:
        """Start a service after what it needs; the ones that began to run. Raises `ServiceFault`."""
        with self._lock:
            service = self.get(name)
            if service.running:
                raise ServiceFault(service.name, ALREADY_RUNNING)
            if service.start_type == "Disabled":
                raise ServiceFault(service.name, DISABLED)
            started: list[Service] = []
            for below in service.depends_on:
                needed = self.find(below)
                if needed is not None and not needed.running:
                    started += self.start(needed.name)
            self._held[service.name.lower()] = running = replace(service, running=True)
            try:
                self._began(running)
            except ServiceFault:
                self._held[service.name.lower()] = service
                raise
            self.on_changed(Act.STARTED, running, service)
            return [*started, running]

    def stop(self, name: str, *, with_dependents: bool = False) -> list[Service]:
        """Stop a service, and before it what needs it where that is wanted; the ones that stopped. Raises `ServiceFault`."""
        with self._lock:
            service = self.get(name)
            if not service.running:
                raise ServiceFault(service.name, NOT_STARTED)
            running = [one for one in self.dependents(service.name) if one.running]
            if running and not with_dependents:
                raise ServiceFault(service.name, DEPENDENTS_RUN)
            if not service.stoppable:
                raise ServiceFault(service.name, INVALID_CONTROL)
            stopped: list[Service] = []
            for one in running:
                stopped += self.stop(one.name, with_dependents=True)
            self._held[service.name.lower()] = ended = replace(service, running=False)
            self._ended(ended)
            self.on_changed(Act.STOPPED, ended, service)
            return [*stopped, ended]

    def change(
        self,
        name: str,
        *,
        start_type: str | None = None,
        display_name: str | None = None,
        description: str | None = None,
        image: str | None = None,
    ) -> Service:
        """Change what is given of a service's configuration. Raises `ServiceFault`."""
        with self._lock:
            old = self.get(name)
            new = replace(
                old,
                start_type=old.start_type if start_type is None else start_type,
                display_name=old.display_name if display_name is None else display_name,
                description=old.description if description is None else description,
                image=old.image if image is None else image,
            )
            self._held[old.name.lower()] = new
            self.on_changed(Act.CHANGED, new, old)
            return new

    def create(self, service: Service) -> Service:
        """Put a new service into the database. Raises `ServiceFault`."""
        with self._lock:
            if service.name.lower() in self._held or len(self._held) >= MAX_SERVICES:
                raise ServiceFault(service.name, EXISTS)
            self._held[service.name.lower()] = service
            self.on_changed(Act.INSTALLED, service, None)
            return service

    def delete(self, name: str) -> Service:
        """Take a service out of the database; it is stopped before. Raises `ServiceFault`."""
        with self._lock:
            service = self.get(name)
            if service.running:
                self.stop(service.name, with_dependents=True)
            gone = self._held.pop(service.name.lower())
            self.on_changed(Act.DELETED, gone, gone)
            return gone


_LOCAL = "NT AUTHORITY\\LocalService"
_NETWORK = "NT AUTHORITY\\NetworkService"


def _service(
    name: str,
    display_name: str,
    running: bool,
    start_type: str = "Automatic",
    *,
    group: str = "netsvcs -p",
    account: str = "LocalSystem",
    needs: tuple[str, ...] = (),
    stoppable: bool = True,
    delayed: bool = False,
) -> Service:
    return Service(
        name=name,
        display_name=display_name,
        running=running,
        start_type=start_type,
        account=account,
        image=f"C:\\Windows\\System32\\svchost.exe -k {group}",
        depends_on=needs,
        stoppable=stoppable,
        delayed=delayed,
    )


def _own(
    name: str, display_name: str, image: str, *, running: bool, start: str = "Automatic", kind: int = 0x10, stoppable: bool = True
) -> Service:
    return Service(
        name=name, display_name=display_name, running=running, start_type=start, type_code=kind, image=image, stoppable=stoppable
    )


_RPC = ("RpcSs",)
DEFAULT_SERVICES = (
    _service("AppIDSvc", "Application Identity", False, "Manual", group="LocalServiceNetworkRestricted -p", account=_LOCAL, needs=_RPC),
    _service("Appinfo", "Application Information", True, "Manual", needs=("RpcSs", "ProfSvc")),
    _service("AudioSrv", "Windows Audio", False, group="LocalServiceNetworkRestricted -p", account=_LOCAL, needs=_RPC),
    _service("BFE", "Base Filtering Engine", True, group="LocalServiceNoNetworkFirewall -p", account=_LOCAL, needs=_RPC),
    _service("BITS", "Background Intelligent Transfer Service", False, "Manual", needs=_RPC),
    _service("BrokerInfrastructure", "Background Tasks Infrastructure Service", True, group="DcomLaunch -p", stoppable=False),
    _service("CertPropSvc", "Certificate Propagation", False, "Manual", needs=_RPC),
    _service("CryptSvc", "Cryptographic Services", True, group="NetworkService -p", account=_NETWORK, needs=_RPC),
    _service("DcomLaunch", "DCOM Server Process Launcher", True, group="DcomLaunch -p", stoppable=False),
    _service("defragsvc", "Optimize drives", False, "Manual", group="defragsvc", needs=_RPC),
    _service("Dhcp", "DHCP Client", True, group="LocalServiceNetworkRestricted -p", account=_LOCAL),
    _service("DiagTrack", "Connected User Experiences and Telemetry", True, group="utcsvc -p", needs=_RPC),
    _service("Dnscache", "DNS Client", True, group="NetworkService -p", account=_NETWORK, stoppable=False),
    _service("DPS", "Diagnostic Policy Service", True, group="LocalServiceNoNetwork -p", account=_LOCAL),
    _service("EventLog", "Windows Event Log", True, group="LocalServiceNetworkRestricted -p", account=_LOCAL),
    _service("EventSystem", "COM+ Event System", True, group="LocalService -p", account=_LOCAL, needs=_RPC),
    _service("FontCache", "Windows Font Cache Service", True, group="LocalService -p", account=_LOCAL),
    _service("gpsvc", "Group Policy Client", True, needs=("RpcSs", "Mup"), stoppable=False),
    _service("IKEEXT", "IKE and AuthIP IPsec Keying Modules", False, "Manual", needs=("BFE",)),
    _service("iphlpsvc", "IP Helper", True, group="NetSvcs -p", needs=("RpcSs", "Winmgmt")),
    _service("KeyIso", "CNG Key Isolation", True, "Manual", group="LocalSystem -p", needs=_RPC),
    _service("LanmanServer", "Server", True, needs=("SamSS",)),
    _service("LanmanWorkstation", "Workstation", True, group="NetworkService -p", account=_NETWORK),
    _service("lmhosts", "TCP/IP NetBIOS Helper", True, "Manual", group="LocalServiceNetworkRestricted -p", account=_LOCAL),
    _service(
        "mpssvc",
        "Windows Defender Firewall",
        True,
        group="LocalServiceNoNetworkFirewall -p",
        account=_LOCAL,
        needs=("BFE",),
        stoppable=False,
    ),
    _own("MSDTC", "Distributed Transaction Coordinator", "C:\\Windows\\System32\\msdtc.exe", running=False, start="Manual"),
    _service("Netlogon", "Netlogon", True, group="netsvcs -p", needs=("LanmanWorkstation",)),
    _service("netprofm", "Network List Service", True, "Manual", group="LocalService -p", account=_LOCAL, needs=_RPC),
    _service("NlaSvc", "Network Location Awareness", True, group="NetworkService -p", account=_NETWORK, needs=_RPC),
    _service("nsi", "Network Store Interface Service", True, group="LocalService -p", account=_LOCAL),
    _service("PlugPlay", "Plug and Play", True, "Manual", group="DcomLaunch -p"),
    _service(
        "PolicyAgent", "IPsec Policy Agent", False, "Manual", group="NetworkServiceNetworkRestricted -p", account=_NETWORK, needs=("BFE",)
    ),
    _service("Power", "Power", True, group="DcomLaunch -p", stoppable=False),
    _service("ProfSvc", "User Profile Service", True, needs=_RPC),
    _service("RasMan", "Remote Access Connection Manager", False, "Manual"),
    _service("RemoteAccess", "Routing and Remote Access", False, "Disabled"),
    _service("RemoteRegistry", "Remote Registry", False, "Disabled", group="localService -p", account=_LOCAL, needs=_RPC),
    _service("RpcEptMapper", "RPC Endpoint Mapper", True, group="RPCSS -p", account=_NETWORK, stoppable=False),
    _service(
        "RpcSs",
        "Remote Procedure Call (RPC)",
        True,
        group="rpcss -p",
        account=_NETWORK,
        needs=("RpcEptMapper", "DcomLaunch"),
        stoppable=False,
    ),
    _own("SamSs", "Security Accounts Manager", "C:\\Windows\\system32\\lsass.exe", running=True, kind=0x20, stoppable=False),
    _service("SCardSvr", "Smart Card", False, "Manual", group="LocalServiceAndNoImpersonation", account=_LOCAL),
    _service("Schedule", "Task Scheduler", True, needs=("RpcSs", "SystemEventsBroker"), stoppable=False),
    _service("seclogon", "Secondary Logon", False, "Manual"),
    _service("SENS", "System Event Notification Service", True, needs=("EventSystem",)),
    _own("SgrmBroker", "System Guard Runtime Monitor Broker", "C:\\Windows\\system32\\SgrmBroker.exe", running=False, stoppable=False),
    _service("ShellHWDetection", "Shell Hardware Detection", True, needs=_RPC),
    Service(
        name="Spooler",
        display_name="Print Spooler",
        running=True,
        start_type="Automatic",
        type_code=0x110,
        image="C:\\Windows\\System32\\spoolsv.exe",
        depends_on=("RPCSS", "http"),
        description="This service spools print jobs and handles interaction with the printer.",
    ),
    _service("SSDPSRV", "SSDP Discovery", False, "Manual", group="LocalServiceAndNoImpersonation -p", account=_LOCAL),
    _service("stisvc", "Windows Image Acquisition (WIA)", False, "Manual", group="imgsvc", account=_LOCAL),
    _service("SysMain", "SysMain", True, group="LocalSystemNetworkRestricted -p"),
    _own("Sysmon64", "Sysmon64", "C:\\Windows\\Sysmon64.exe", running=True),
    _service("SystemEventsBroker", "System Events Broker", True, group="DcomLaunch -p", stoppable=False),
    _service("TermService", "Remote Desktop Services", False, "Manual", group="NetworkService", account=_NETWORK, needs=_RPC),
    _service("Themes", "Themes", True),
    _own("TrustedInstaller", "Windows Modules Installer", "C:\\Windows\\servicing\\TrustedInstaller.exe", running=False, start="Manual"),
    _service("UserManager", "User Manager", True, needs=_RPC),
    _service("UsoSvc", "Update Orchestrator Service", True, delayed=True, needs=_RPC),
    _own("VSS", "Volume Shadow Copy", "C:\\Windows\\system32\\vssvc.exe", running=False, start="Manual"),
    _service("W32Time", "Windows Time", True, group="LocalService", account=_LOCAL),
    _service("Wcmsvc", "Windows Connection Manager", True, group="LocalServiceNetworkRestricted -p", account=_LOCAL),
    _service("WdiServiceHost", "Diagnostic Service Host", False, "Manual", group="LocalService -p", account=_LOCAL),
    _service("WebClient", "WebClient", False, "Manual", group="LocalService -p", account=_LOCAL),
    _service("Wecsvc", "Windows Event Collector", False, "Manual", group="NetworkService -p", account=_NETWORK, needs=("HTTP", "Eventlog")),
    _own(
        "WinDefend",
        "Microsoft Defender Antivirus Service",
        '"C:\\ProgramData\\Microsoft\\Windows Defender\\Platform\\4.18.2205.7-0\\MsMpEng.exe"',
        running=True,
        stoppable=False,
    ),
    _service(
        "WinHttpAutoProxySvc",
        "WinHTTP Web Proxy Auto-Discovery Service",
        True,
        "Manual",
        group="LocalServiceNetworkRestricted -p",
        account=_LOCAL,
    ),
    _service("Winmgmt", "Windows Management Instrumentation", True, needs=("RPCSS",)),
    _service(
        "WinRM",
        "Windows Remote Management (WS-Management)",
        True,
        group="NetworkService -p",
        account=_NETWORK,
        needs=("RPCSS", "HTTP"),
    ),
    _service("WlanSvc", "WLAN AutoConfig", False, "Manual", group="LocalSystemNetworkRestricted -p"),
    _own("wmiApSrv", "WMI Performance Adapter", "C:\\Windows\\system32\\wbem\\WmiApSrv.exe", running=False, start="Manual"),
    _own("WSearch", "Windows Search", "C:\\Windows\\system32\\SearchIndexer.exe /Embedding", running=False),
    _service("wscsvc", "Security Center", True, group="LocalServiceNetworkRestricted -p", account=_LOCAL, delayed=True, stoppable=False),
    _service("wuauserv", "Windows Update", False, "Manual", needs=_RPC),
)
