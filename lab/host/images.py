"""The executables that come with the emulated Windows: where they lie and what their version resources say.

Data about files, no behaviour: what a program does when it runs is in `lab.host.programs`, found by `Image.original_name`. Nothing here
is a real binary: the contents are stubs, and the hashes are the stubs' own, so that a file's hash and the telemetry agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from lab.host.happenings import Image

VERSION = "10.0.19041.1 (WinBuild.160101.0800)"
SYSTEM32 = "C:\\Windows\\System32"
CMD = "C:\\Windows\\system32\\cmd.exe"
"""The command processor, in the spelling of ComSpec."""
CMD = "C:\\Windows\\system32\\cmd.exe"
"""The command processor, in the spelling of ComSpec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """A program file of the system. `console` where its subsystem is the console: then it needs a conhost.exe."""

    path: str
    image: Image
    content: bytes
    console: bool


def _executable(path: str, original_name: str, description: str, size: int, *, console: bool = True) -> Executable:
    head = f"MZ\x90\0This is a stand-in for {original_name} {VERSION}".encode("latin-1")
    content = head.ljust(size, b"\0")
    hashes = {
        "SHA1": hashlib.sha1(content, usedforsecurity=False).hexdigest().upper(),
        "MD5": hashlib.md5(content, usedforsecurity=False).hexdigest().upper(),
        "SHA256": hashlib.sha256(content).hexdigest().upper(),
        "IMPHASH": hashlib.md5(original_name.encode(), usedforsecurity=False).hexdigest().upper(),
    }
    image = Image(original_name=original_name, description=description, version=VERSION, hashes=MappingProxyType(hashes))
    return Executable(path=path, image=image, content=content, console=console)


# Path below C:\Windows, original file name and description as the version resource has them, size in bytes.
_CONSOLE = (
    ("System32\\whoami.exe", "whoami.exe", "whoami - displays logged on user information", 73728),
    ("System32\\HOSTNAME.EXE", "hostname.exe", "Hostname APP", 12800),
    ("System32\\ipconfig.exe", "ipconfig.exe", "IP Configuration Utility", 36352),
    ("System32\\systeminfo.exe", "sysinfo.exe", "Displays system information", 76800),
    ("System32\\tasklist.exe", "tasklist.exe", "Lists the current running tasks", 79872),
    ("System32\\net.exe", "net.exe", "Net Command", 59392),
    ("System32\\net1.exe", "net1.exe", "Net Command", 145408),
    ("System32\\cmd.exe", "Cmd.Exe", "Windows Command Processor", 289792),
    ("System32\\sc.exe", "sc.exe", "Service Control Manager Configuration Tool", 69120),
    ("System32\\ARP.EXE", "arp.exe", "TCP/IP Arp Command", 25600),
    ("System32\\NETSTAT.EXE", "netstat.exe", "TCP/IP Netstat Command", 41984),
    ("System32\\quser.exe", "quser.exe", "Query User Utility", 33280),
    ("System32\\schtasks.exe", "schtasks.exe", "Task Scheduler Configuration Tool", 235008),
    ("System32\\reg.exe", "reg.exe", "Registry Console Tool", 77312),
    ("System32\\certutil.exe", "CertUtil.exe", "CertUtil.exe", 1544192),
    ("System32\\bitsadmin.exe", "bitsadmin.exe", "BITS administration utility", 211456),
    ("System32\\nltest.exe", "nltestrk.exe", "Microsoft® Logon Server Test Utility", 505344),
    ("System32\\findstr.exe", "FINDSTR.EXE", "Find String (QGREP) Utility", 36352),
    ("System32\\where.exe", "where.exe", "Where - Lists location of files", 43008),
    ("System32\\PING.EXE", "ping.exe", "TCP/IP Ping Command", 23040),
    ("System32\\nslookup.exe", "nslookup.exe", "nslookup", 88576),
    ("System32\\wbem\\WMIC.exe", "wmic.exe", "WMI Commandline Utility", 516096),
    ("System32\\taskkill.exe", "taskkill.exe", "Terminates Processes", 77824),
    ("System32\\netsh.exe", "netsh.exe", "Network Command Shell", 96768),
    ("System32\\wevtutil.exe", "wevtutil.exe", "Eventing Command Line Utility", 286720),
    ("System32\\vssadmin.exe", "VSSADMIN.EXE", "Command Line Interface for Microsoft® Volume Shadow Copy Service", 144896),
    ("System32\\find.exe", "FIND.EXE", "Find String (grep) Utility", 17920),
    ("System32\\sort.exe", "SORT.EXE", "Sort Utility", 29184),
    ("System32\\more.com", "MORE.COM", "More Utility", 28672),
    ("System32\\ROUTE.EXE", "route.exe", "TCP/IP Route Command", 25088),
    ("System32\\nbtstat.exe", "nbtinfo.exe", "TCP/IP NetBios Information", 24064),
    ("System32\\TRACERT.EXE", "tracert.exe", "TCP/IP Traceroute Command", 19456),
    ("System32\\PATHPING.EXE", "pathping.exe", "TCP/IP PathPing Command", 20992),
    ("System32\\getmac.exe", "getmac.exe", "Displays NIC MAC information", 76288),
    ("System32\\query.exe", "query.exe", "MultiUser Query Utility", 18944),
    ("System32\\qwinsta.exe", "qwinsta.exe", "Query Session Utility", 34816),
    ("System32\\qprocess.exe", "qprocess.exe", "Query Process Utility", 34304),
    ("System32\\driverquery.exe", "drvqry.exe", "Queries the drivers on a system", 91136),
    ("System32\\gpresult.exe", "gprslt.exe", "Query Group Policy RSOP Data", 211968),
    ("System32\\cmdkey.exe", "cmdkey.exe", "Credential Manager Command Line Utility", 20480),
    ("System32\\klist.exe", "klist.exe", "Tool for managing the Kerberos ticket cache", 45568),
    ("System32\\setspn.exe", "setspn.exe", "Query or reset the computer's SPN attribute", 40448),
    ("System32\\auditpol.exe", "AUDITPOL.EXE", "Audit Policy Program", 59904),
    ("System32\\fsutil.exe", "fsutil.exe", "fsutil.exe", 202752),
    ("System32\\icacls.exe", "iCACLS.EXE", "iCACLS.EXE", 38912),
    ("System32\\attrib.exe", "ATTRIB.EXE", "Attribute Utility", 23552),
    ("System32\\tree.com", "TREE.COM", "Tree Walk Utility", 20992),
    ("System32\\xcopy.exe", "XCOPY.EXE", "Extended Copy Utility", 50688),
    ("System32\\timeout.exe", "timeout.exe", "timeout - pauses command processing", 31232),
    ("System32\\chcp.com", "CHCP.COM", "Change CodePage Utility", 15360),
    ("System32\\clip.exe", "clip.exe", "Clip - copies the data into clipboard", 32256),
    ("System32\\w32tm.exe", "w32time.dll", "Windows Time Service Diagnostic Tool", 107008),
    ("System32\\bcdedit.exe", "bcdedit.exe", "Boot Configuration Data Editor", 487936),
    ("System32\\powercfg.exe", "powercfg.exe", "Power Settings Command-Line Tool", 98816),
    ("System32\\winrs.exe", "winrs.exe", "winrs", 43008),
    ("System32\\fltMC.exe", "fltMC.exe", "Filter Manager Control Program", 31744),
    ("System32\\winrshost.exe", "winrshost.exe", "Host Process for WinRM's Remote Shell plugin", 24064),
    ("System32\\WindowsPowerShell\\v1.0\\powershell.exe", "PowerShell.EXE", "Windows PowerShell", 452608),
)
_WINDOWED = (
    ("System32\\msdtc.exe", "MSDTC.EXE", "Microsoft Distributed Transaction Coordinator Service", 148992),
    ("System32\\vssvc.exe", "VSSVC.EXE", "Microsoft® Volume Shadow Copy Service", 1485824),
    ("System32\\SearchIndexer.exe", "SearchIndexer.exe", "Microsoft Windows Search Indexer", 946176),
    ("System32\\wbem\\WmiApSrv.exe", "WmiApSrv.exe", "WMI Performance Reverse Adapter", 209920),
    ("servicing\\TrustedInstaller.exe", "TrustedInstaller.exe", "Windows Modules Installer", 130048),
    ("System32\\userinit.exe", "USERINIT.EXE", "Userinit Logon Application", 36864),
    ("System32\\taskhostw.exe", "taskhostw.exe", "Host Process for Windows Tasks", 95232),
    ("System32\\dllhost.exe", "dllhost.exe", "COM Surrogate", 21312),
    ("System32\\calc.exe", "CALC.EXE", "Windows Calculator", 27648),
    ("regedit.exe", "REGEDIT.EXE", "Registry Editor", 370176),
    ("System32\\mmc.exe", "mmc.exe", "Microsoft Management Console", 1896448),
    ("System32\\conhost.exe", "CONHOST.EXE", "Console Window Host", 885760),
    ("System32\\wsmprovhost.exe", "wsmprovhost.exe", "Host process for WinRM plug-ins", 36864),
    ("System32\\svchost.exe", "svchost.exe", "Host Process for Windows Services", 55320),
    ("System32\\lsass.exe", "lsass.exe", "Local Security Authority Process", 59456),
    ("System32\\services.exe", "services.exe", "Services and Controller app", 714856),
    ("System32\\wininit.exe", "WinInit.exe", "Windows Start-Up Application", 421328),
    ("System32\\winlogon.exe", "WINLOGON.EXE", "Windows Logon Application", 907776),
    ("System32\\csrss.exe", "CSRSS.Exe", "Client Server Runtime Process", 17616),
    ("System32\\smss.exe", "smss.exe", "Windows Session Manager", 155136),
    ("System32\\spoolsv.exe", "spoolsv.exe", "Spooler SubSystem App", 834560),
    ("System32\\wbem\\WmiPrvSE.exe", "Wmiprvse.exe", "WMI Provider Host", 494080),
    ("System32\\notepad.exe", "NOTEPAD.EXE", "Notepad", 201216),
    ("System32\\mshta.exe", "MSHTA.EXE", "Microsoft (R) HTML Application host", 14848),
    ("System32\\rundll32.exe", "RUNDLL32.EXE", "Windows host process (Rundll32)", 71680),
    ("System32\\regsvr32.exe", "REGSVR32.EXE", "Microsoft(C) Register Server", 25088),
    ("System32\\wscript.exe", "wscript.exe", "Microsoft ® Windows Based Script Host", 170496),
    ("explorer.exe", "EXPLORER.EXE", "Windows Explorer", 4912096),
)

_DEFENDER = "C:\\ProgramData\\Microsoft\\Windows Defender\\Platform\\4.18.2205.7-0\\MsMpEng.exe"

KERNEL = Image(original_name="", description="", product="", company="", version="")
"""What the System process has: no file, no version resource."""


@cache
def executables() -> Mapping[str, Executable]:
    """Every executable by its full path."""
    built = [_executable(f"C:\\Windows\\{where}", name, what, size) for where, name, what, size in _CONSOLE]
    built += [_executable(f"C:\\Windows\\{where}", name, what, size, console=False) for where, name, what, size in _WINDOWED]
    built.append(_executable(_DEFENDER, "MsMpEng.exe", "Antimalware Service Executable", 133560, console=False))
    return MappingProxyType({one.path: one for one in built})


@cache
def _console_names() -> frozenset[str]:
    return frozenset(one.image.original_name for one in executables().values() if one.console)


def needs_console(image: Image) -> bool:
    """Whether a program with this identity is a console program."""
    return image.original_name in _console_names()
