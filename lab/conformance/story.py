"""What the lab's hosts do to leave every kind of event that they emit: sessions as clients of both protocols have them, in this process.

The machine is the lab's own, driven through `lab.machine` as an endpoint drives it, so that its events come about as they do in a run. It
must never know what they are compared with.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from harness.events import evtx, windows_xml
from harness.events.windows import WindowsEvent
from harness.model.facts import Event
from lab.host.machine import EmulatedMachine, emulated_host
from lab.machine import (
    Account,
    Caller,
    Claim,
    Command,
    CommandIO,
    CommandLine,
    ErrorRecord,
    HostFailed,
    Logon,
    Neighbour,
    Package,
    Parameter,
    Passage,
    Peer,
    PipelineIO,
    PipelineRequest,
    Progress,
    PSValue,
    Question,
    RemoteFault,
    RemoteRunspace,
    ShellName,
    StreamName,
    Trouble,
)

_ACCOUNT = Account(domain="LAB", name="purple", sid="S-1-5-21-1004336348-1177238915-682003330-1105")
_OTHER = Account(domain="LAB", name="second", sid="S-1-5-21-1004336348-1177238915-682003330-1106")
_DRIVER = Peer(ip="10.77.0.5", port=49_700)
_POWERSHELL = ShellName(
    resource_uri="http://schemas.microsoft.com/powershell/Microsoft.PowerShell", shell_id="6F2B1A3C-0C58-4D47-9E1B-3E6C1F6A7B10"
)
_CMD = ShellName(
    resource_uri="http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd", shell_id="0A1D6B5E-7C3F-4B0E-8E55-2D1F0C7A9B21"
)
_BEGUN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_SEED = 6

_SCRIPTS = (
    "Get-Service WinRM",
    "Get-Process | Select-Object -First 1",
    "whoami.exe",
    "powershell.exe -NoProfile -Command Get-Date",
    "hostname.exe; 'bypass'",
    "Set-Content -Path C:\\Windows\\Temp\\lab.txt -Value lab; Remove-Item C:\\Windows\\Temp\\lab.txt",
    "New-Item HKCU:\\Software\\Lab | Out-Null; Set-ItemProperty HKCU:\\Software\\Lab -Name Number -Value 1 -Type DWord; "
    "Set-ItemProperty HKCU:\\Software\\Lab -Name Large -Value 1 -Type QWord; Set-ItemProperty HKCU:\\Software\\Lab -Name Text -Value lab; "
    "Set-ItemProperty HKCU:\\Software\\Lab -Name Bytes -Value ([byte[]](1, 2)) -Type Binary; "
    "Set-ItemProperty HKCU:\\Software\\Lab -Name None -Value ''; "
    "Remove-ItemProperty HKCU:\\Software\\Lab -Name Text; Remove-Item HKCU:\\Software\\Lab",
    "New-Service -Name lab -BinaryPathName C:\\Windows\\System32\\svchost.exe -StartupType Manual | Out-Null; sc.exe delete lab",
    "Set-Service Spooler -StartupType Manual; Stop-Service Spooler; Start-Service Spooler; Set-Service Spooler -StartupType Automatic",
    "net.exe user lab opensesame-4711 /add; Disable-LocalUser lab; net.exe user lab /delete",
    "New-LocalGroup lab | Out-Null; Add-LocalGroupMember lab Guest; Remove-LocalGroupMember lab Guest; Remove-LocalGroup lab",
    "# " + "a long script " * 2_000 + "\r\n'done'",
)


class _Deaf:
    """The client's end of a pipeline and of a command line, which takes all and says nothing."""

    has_host = False

    def output(self, value: PSValue) -> None:
        pass

    def error(self, record: ErrorRecord) -> None:
        pass

    def record(self, stream: StreamName, text: str) -> None:
        pass

    def progress(self, record: Progress) -> None:
        pass

    def ask(self, question: Question) -> PSValue:
        raise HostFailed("nobody is there")

    def host_write_line(self, text: str) -> None:
        pass

    def host_write(self, text: str) -> None:
        pass

    def host_write_error_line(self, text: str) -> None:
        pass

    def stdout(self, text: str) -> None:
        pass

    def stderr(self, text: str) -> None:
        pass

    def read_line(self) -> str | None:
        return None

    def wait(self, seconds: float) -> None:
        pass


class _Elsewhere:
    """A network with one other host, which takes a connection and hangs up: it is this host's end of it that is wanted."""

    def find(self, name: str) -> Neighbour | None:
        return Neighbour(name="WS2", fqdn="WS2.lab.example", ip="10.77.0.12") if name.upper() == "WS2" else None

    def caller(self, peer: Peer) -> Caller | None:
        return None

    def open_runspace(self, passage: Passage, io: PipelineIO) -> RemoteRunspace:
        raise self._hang_up(passage)

    def run_line(self, passage: Passage, line: str, io: CommandIO) -> int:
        raise self._hang_up(passage)

    def identify(self, passage: Passage) -> str:
        raise self._hang_up(passage)

    def _hang_up(self, passage: Passage) -> RemoteFault:
        passage.connected(50_400)
        return RemoteFault(Trouble.BROKEN)


def lab_records() -> list[WindowsEvent]:
    """The records that a host of the lab writes in the course of some sessions, the same at every call."""
    records: list[WindowsEvent] = []
    readings = count()
    machine = emulated_host(
        name="WS1",
        domain="lab.example",
        ip="10.77.0.11",
        seen_from=_DRIVER.ip,
        accounts=[_ACCOUNT],
        sink=records.append,
        now=lambda: _BEGUN + timedelta(milliseconds=next(readings)),
        seed=_SEED,
        network=_Elsewhere(),
    )
    for number, package in enumerate((Package.KERBEROS, Package.NTLM, Package.NEGOTIATE, Package.BASIC)):
        peer = Peer(ip=_DRIVER.ip, port=_DRIVER.port + number)
        logon = _log_on(machine, peer, _ACCOUNT, package)
        _remote_powershell(logon)
        logon.log_off()
    shell_logon = _log_on(machine, Peer(ip="fd00:77::5", port=50_100, secure=True), _ACCOUNT, Package.KERBEROS)
    shell = shell_logon.open_command_shell(_CMD, {}, "")
    shell.run(CommandLine(text="ipconfig /all"), _Deaf())
    shell.run(CommandLine(text="exit 3"), _Deaf())
    shell.close()
    shell_logon.log_off()
    plain = _log_on(machine, Peer(ip=_DRIVER.ip, port=50_200), _OTHER, Package.NTLM)  # no administrator
    plain.log_off()
    _reach_out(machine)
    for known in (True, False):
        for package in (Package.NTLM, Package.BASIC):
            machine.log_on_refused(Claim(domain=_ACCOUNT.domain, name=_ACCOUNT.name if known else "nobody", known=known), package)
    return records


def lab_events() -> Iterator[Event]:
    """The same as the harness reads them, of the form that tells most: XML."""
    for number, record in enumerate(lab_records(), start=1):
        yield evtx.read(windows_xml.document(windows_xml.render(record)), f"lab:{number}")


def _log_on(machine: EmulatedMachine, peer: Peer, account: Account, package: Package) -> Logon:
    machine.connected(peer)
    return machine.log_on(peer, account, package)


def _remote_powershell(logon: Logon) -> None:
    runspace = logon.open_runspace(_POWERSHELL)
    runspace.command_metadata(["Out-Default", "Exit-PSSession"])
    for script in _SCRIPTS:
        runspace.run(PipelineRequest(commands=(Command(text=script, is_script=True),)), _Deaf())
    listed = Command(text="Get-Service", is_script=False, parameters=(Parameter(name="Name", value="WinRM"),))
    runspace.run(PipelineRequest(commands=(listed,)), _Deaf())
    runspace.close()


def _reach_out(machine: EmulatedMachine) -> None:
    """A program of the host goes to another one, with credentials that it names."""
    logon = _log_on(machine, Peer(ip=_DRIVER.ip, port=50_300), _ACCOUNT, Package.KERBEROS)
    shell = logon.open_command_shell(_CMD, {}, "")
    shell.run(CommandLine(text="winrs -r:WS2 -u:LAB\\second -p:opensesame hostname"), _Deaf())
    shell.close()
    logon.log_off()
