"""What the emulated host is made of and has installed, as several commands tell it: hardware, updates, products, tasks, shares, drivers.

Data, no behaviour. Versions are those of Windows 10 22H2 as recorded elsewhere in the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HotFix:
    """An installed update."""

    name: str
    kind: str
    installed: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """An installed program, as its key below Uninstall and the Windows Installer know it."""

    name: str
    version: str
    vendor: str
    code: str
    date: str
    installer: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A scheduled task. `path` with backslashes at both ends; `period` until it runs again, None where only events start it."""

    path: str
    name: str
    state: str
    author: str
    run: str
    user: str
    description: str = ""
    period: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of the Server service."""

    name: str
    path: str
    description: str
    kind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A loaded driver."""

    name: str
    display_name: str
    kind: str
    linked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A volume with its drive letter. Sizes in bytes."""

    letter: str
    kind: int
    label: str
    file_system: str
    size: int
    free: int
    serial: str


BUILD = "19045"
REVISION = 3803
FULL_VERSION = f"10.0.{BUILD}.{REVISION}"
CAPTION = "Microsoft Windows 10 Enterprise"
INSTALLED = datetime(2024, 2, 12, 9, 14, 37, tzinfo=UTC)
MEMORY = 4_294_430_720
PROCESSOR = "Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz"
PROCESSOR_ID = "Intel64 Family 6 Model 106 Stepping 6"
BIOS_VERSION = "VMW71.00V.18452719.B64.2108091906"
BIOS_DATE = datetime(2021, 8, 9, tzinfo=UTC)
MANUFACTURER = "VMware, Inc."
MODEL = "VMware7,1"

HOT_FIXES = (
    HotFix(name="KB5031988", kind="Update", installed=datetime(2024, 2, 12, tzinfo=UTC)),
    HotFix(name="KB5015684", kind="Update", installed=datetime(2024, 2, 12, tzinfo=UTC)),
    HotFix(name="KB5033372", kind="Security Update", installed=datetime(2024, 2, 13, tzinfo=UTC)),
    HotFix(name="KB5032907", kind="Update", installed=datetime(2024, 2, 13, tzinfo=UTC)),
)

PRODUCTS = (
    Product(
        name="Microsoft Visual C++ 2022 X64 Minimum Runtime - 14.32.31332",
        version="14.32.31332",
        vendor="Microsoft Corporation",
        code="{3746F21B-C990-4045-BB33-1CF98CFF7A68}",
        date="20240212",
    ),
    Product(
        name="Microsoft Visual C++ 2022 X64 Additional Runtime - 14.32.31332",
        version="14.32.31332",
        vendor="Microsoft Corporation",
        code="{CB0836EC-B072-368D-82B2-D3470BF95707}",
        date="20240212",
    ),
    Product(
        name="VMware Tools",
        version="12.1.5.20735119",
        vendor="VMware, Inc.",
        code="{A38C1DD4-5F1C-4C8C-8F4B-2E9D3F0E6B27}",
        date="20240212",
    ),
    Product(
        name="Microsoft Update Health Tools",
        version="3.72.0.0",
        vendor="Microsoft Corporation",
        code="{43D501A5-E5E3-46EC-8F33-9E15D2A2CBD5}",
        date="20240213",
    ),
    Product(
        name="Microsoft Edge",
        version="120.0.2210.91",
        vendor="Microsoft Corporation",
        code="Microsoft Edge",
        date="20240213",
        installer=False,
    ),
)

SHARES = (
    Share(name="ADMIN$", path="C:\\Windows", description="Remote Admin", kind=0x80000000),
    Share(name="C$", path="C:\\", description="Default share", kind=0x80000000),
    Share(name="IPC$", path="", description="Remote IPC", kind=0x80000003),
)

DISKS = (
    Disk(letter="C:", kind=3, label="", file_system="NTFS", size=63_802_703_872, free=34_359_738_368, serial="5AC17B0E"),
    Disk(letter="D:", kind=5, label="", file_system="", size=0, free=0, serial=""),
)

_SYSTEM, _LOCAL, _USERS = "SYSTEM", "LOCAL SERVICE", "Users"
_WINDOWS = "\\Microsoft\\Windows\\"


def _task(path: str, name: str, run: str, user: str = _SYSTEM, *, state: str = "Ready", every: timedelta | None = None) -> Task:
    return Task(path=path, name=name, state=state, author="Microsoft Corporation", run=run, user=user, period=every)


_DAY = timedelta(days=1)
TASKS = (
    _task(
        "\\",
        "MicrosoftEdgeUpdateTaskMachineCore",
        "C:\\Program Files (x86)\\Microsoft\\EdgeUpdate\\MicrosoftEdgeUpdate.exe /c",
        every=_DAY,
    ),
    _task(
        "\\",
        "MicrosoftEdgeUpdateTaskMachineUA",
        "C:\\Program Files (x86)\\Microsoft\\EdgeUpdate\\MicrosoftEdgeUpdate.exe /ua /installsource scheduler",
        every=timedelta(hours=1),
    ),
    _task(f"{_WINDOWS}.NET Framework\\", ".NET Framework NGEN v4.0.30319", "COM handler"),
    _task(
        f"{_WINDOWS}Application Experience\\", "Microsoft Compatibility Appraiser", "%windir%\\system32\\compattelrunner.exe", every=_DAY
    ),
    _task(f"{_WINDOWS}Application Experience\\", "ProgramDataUpdater", "%windir%\\system32\\compattelrunner.exe -maintenance"),
    _task(f"{_WINDOWS}Autochk\\", "Proxy", "%windir%\\system32\\rundll32.exe /d acproxy.dll,PerformAutochkOperations"),
    _task(f"{_WINDOWS}Chkdsk\\", "ProactiveScan", "COM handler"),
    _task(
        f"{_WINDOWS}Customer Experience Improvement Program\\",
        "Consolidator",
        "%SystemRoot%\\System32\\wsqmcons.exe",
        every=timedelta(hours=6),
    ),
    _task(f"{_WINDOWS}Defrag\\", "ScheduledDefrag", "%windir%\\system32\\defrag.exe -c -h -o -$"),
    _task(f"{_WINDOWS}DiskCleanup\\", "SilentCleanup", "%windir%\\system32\\cleanmgr.exe /autoclean /d %systemdrive%", _USERS),
    _task(f"{_WINDOWS}Registry\\", "RegIdleBackup", "COM handler"),
    _task(f"{_WINDOWS}Servicing\\", "StartComponentCleanup", "COM handler"),
    _task(f"{_WINDOWS}SystemRestore\\", "SR", "%windir%\\system32\\srtasks.exe ExecuteScheduledSPPCreation"),
    _task(f"{_WINDOWS}Time Synchronization\\", "SynchronizeTime", "%windir%\\system32\\sc.exe start w32time task_started", _LOCAL),
    _task(f"{_WINDOWS}UpdateOrchestrator\\", "Schedule Scan", "%systemroot%\\system32\\usoclient.exe StartScan", every=_DAY),
    _task(f"{_WINDOWS}Windows Defender\\", "Windows Defender Cache Maintenance", "MpCmdRun.exe -IdleTask -TaskName WdCacheMaintenance"),
    _task(f"{_WINDOWS}Windows Defender\\", "Windows Defender Scheduled Scan", "MpCmdRun.exe Scan -ScheduleJob -ScanTrigger 55"),
    _task(f"{_WINDOWS}WindowsUpdate\\", "Scheduled Start", "C:\\Windows\\system32\\sc.exe start wuauserv"),
)

_KERNEL, _FILES = "Kernel", "File System"
DRIVERS = tuple(
    Driver(name=name, display_name=text, kind=kind, linked=linked)
    for name, text, kind, linked in (
        ("ACPI", "Microsoft ACPI Driver", _KERNEL, ""),
        ("AFD", "Ancillary Function Driver for Winsock", _KERNEL, ""),
        ("BasicDisplay", "BasicDisplay", _KERNEL, ""),
        ("bowser", "Browser", _FILES, ""),
        ("CLFS", "Common Log (CLFS)", _KERNEL, ""),
        ("CNG", "CNG", _KERNEL, ""),
        ("disk", "Disk Driver", _KERNEL, ""),
        ("e1i65x64", "Intel(R) PRO/1000 PCI Express Network Connection Driver I", _KERNEL, "4/20/2018 6:11:25 AM"),
        ("FltMgr", "FltMgr", _FILES, ""),
        ("HTTP", "HTTP Service", _KERNEL, ""),
        ("mrxsmb", "SMB MiniRedirector Wrapper and Engine", _FILES, ""),
        ("Mup", "Mup", _FILES, ""),
        ("NDIS", "NDIS System Driver", _KERNEL, ""),
        ("Ntfs", "Ntfs", _FILES, ""),
        ("srv2", "Server SMB 2.xxx Driver", _FILES, ""),
        ("SysmonDrv", "SysmonDrv", _KERNEL, "10/15/2020 4:28:19 PM"),
        ("Tcpip", "TCP/IP Protocol Driver", _KERNEL, ""),
        ("vmci", "VMware VMCI Bus Driver", _KERNEL, "5/4/2022 9:20:28 PM"),
        ("volmgr", "Volume Manager Driver", _KERNEL, ""),
        ("WdFilter", "Microsoft Defender Antivirus Mini-Filter Driver", _FILES, ""),
        ("WdNisDrv", "Microsoft Defender Antivirus Network Inspection System Driver", _KERNEL, ""),
    )
)
