"""The emulated Windows host: its name, accounts, files, services, processes and logon sessions.

It holds state and says what happened to its witness. It knows nothing of PowerShell, of programs' output, of event formats or of the
wire; time and chance come from outside, so that a host is the same again with the same seed.
"""

from __future__ import annotations

import ntpath
import random
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime, timedelta
from uuid import UUID

from lab.host import accounts as sam
from lab.host import hives, inventory, registry, services
from lab.host.audit_policy import AuditPolicy
from lab.host.files import File, FileFault, FileSystem
from lab.host.happenings import (
    AccountChange,
    FileCreation,
    Image,
    LogonSession,
    Process,
    RegistryChange,
    ServiceChange,
    Witness,
)
from lab.host.images import KERNEL, SYSTEM32, executables, needs_console
from lab.host.logs import EventLogs
from lab.host.network import TcpIp
from lab.host.registry import Registry, RegistryFault
from lab.host.services import CANNOT_START, Service, ServiceControl, ServiceFault
from lab.machine import Account, Credential, Network, Package
from lab.windows.data import audited

MAX_PROCESSES = 2_000
"""Live processes at once: a bound against a received fork bomb, far above what a scenario starts."""
REST = 1_500
"""Processes that end before a pid is given again: with those that live fewer than there are pids."""
UPTIME = timedelta(hours=7, minutes=23, seconds=41)


_ACTING: ContextVar[Process | None] = ContextVar("acting", default=None)

KILLED = -1
"""The exit code of a process that was ended from outside, as whoever ends a job or a tree of processes gives it to TerminateProcess."""


class ProcessLimit(Exception):
    """The host runs as many processes as it takes."""


class NotExecutable(Exception):
    """The file is no program of ours: Windows' ERROR_BAD_EXE_FORMAT. `path` says which."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Host:
    """One Windows 10 machine. Safe to use from several threads: sessions run side by side.

    `name` is the computer name, `domain` the DNS domain (the first label in upper case is its NetBIOS name), `ip` its lab address,
    `seen_from` the driver's address as this host's telemetry shows it. `accounts` may log on and are its administrators. `now` gives
    aware times in UTC. `witness` is told of every process and logon from the moment it is set; what booted before is not told.
    """

    def __init__(
        self,
        *,
        name: str,
        domain: str,
        ip: str,
        seen_from: str,
        accounts: Sequence[Account],
        now: Callable[[], datetime],
        random: random.Random,
        witness: Witness | None = None,
    ) -> None:
        self.name = name
        self.domain = domain
        self.ip = ip
        self.seen_from = seen_from
        self.accounts = tuple(accounts)
        self.now = now
        self.random = random
        self.witness: Witness | None = None
        self.network: Network | None = None
        self.booted = now() - UPTIME
        self._lock = threading.RLock()
        self._processes: dict[int, Process] = {}
        # Windows gives the pid again that was freed first (the kernel's table of them is strictly FIFO): none comes back at once.
        self._freed: deque[int] = deque(maxlen=REST)
        self._consoles: set[int] = set()
        self._console_of: dict[int, Process] = {}
        self._holders: dict[int, int] = {}
        self._luid = 0x40000 + random.randrange(0x10000)
        self.machine_guid = self.new_uuid()
        parts = "-".join(str(random.randrange(1 << 28, 1 << 32)) for _ in range(3))
        self.machine_sid = f"S-1-5-21-{parts}"
        self.mac = "00-50-56-" + "-".join(f"{random.randrange(256):02X}" for _ in range(3))
        self.sam = sam.Sam(name, self.machine_sid, self.accounts, now)
        self.services = ServiceControl(self._service_began, self._service_ended)
        self.logs = EventLogs()
        self.audit_policy = AuditPolicy(audited())
        self.files = FileSystem(now)
        self.tcpip = TcpIp(name=name, domain=domain, ip=ip, mac=self.mac, driver=seen_from, booted=self.booted, owner_of=self._owner_of)
        self.registry = Registry(now)
        self.product_id = f"00329-00000-00003-AA{self.machine_guid.int % 1000:03d}"
        hives.furnish(
            self.registry,
            name=name,
            domain=domain,
            ip=ip,
            gateway=self.tcpip.gateway,
            product_id=self.product_id,
            services=self.services,
        )
        self.tasks = list(inventory.TASKS)
        self.shares = list(inventory.SHARES)
        self.execution_policy = "RemoteSigned"
        self._furnish()
        self.system_logon = self._well_known(0x3E7, sam.SYSTEM)
        self._boot()
        self.files.on_created = self._file_created
        self.registry.on_changed = self._registry_changed
        self.services.on_changed = self._service_changed
        self.sam.on_changed = self._account_changed
        self.witness = witness

    # --- names ------------------------------------------------------------------------------------------------------------

    @property
    def users(self) -> tuple[sam.LocalUser, ...]:
        """The local users."""
        return self.sam.users

    @property
    def groups(self) -> tuple[sam.LocalGroup, ...]:
        """The local groups."""
        return self.sam.groups

    @property
    def fqdn(self) -> str:
        """The name as telemetry's Computer shows it."""
        return f"{self.name}.{self.domain}" if self.domain else self.name

    @property
    def netbios_domain(self) -> str:
        """The domain's flat name, WORKGROUP where the host is in none."""
        return self.domain.partition(".")[0].upper() or "WORKGROUP"

    def home(self, account: Account) -> str:
        """The account's profile directory."""
        return f"C:\\Users\\{account.name}"

    def environment(self, account: Account) -> dict[str, str]:
        """A fresh copy of the environment block that a process of this account gets."""
        home = self.home(account)
        return {
            "ALLUSERSPROFILE": "C:\\ProgramData",
            "APPDATA": f"{home}\\AppData\\Roaming",
            "CommonProgramFiles": "C:\\Program Files\\Common Files",
            "COMPUTERNAME": self.name,
            "ComSpec": f"{SYSTEM32.replace('System32', 'system32')}\\cmd.exe",
            "LOCALAPPDATA": f"{home}\\AppData\\Local",
            "NUMBER_OF_PROCESSORS": "2",
            "OS": "Windows_NT",
            "Path": "C:\\Windows\\system32;C:\\Windows;C:\\Windows\\System32\\Wbem;C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\",
            "PATHEXT": ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC;.CPL",
            "PROCESSOR_ARCHITECTURE": "AMD64",
            "PROCESSOR_IDENTIFIER": f"{inventory.PROCESSOR_ID}, GenuineIntel",
            "PROCESSOR_LEVEL": "6",
            "PROCESSOR_REVISION": "6a06",
            "PSModulePath": f"{home}\\Documents\\WindowsPowerShell\\Modules;C:\\Program Files\\WindowsPowerShell\\Modules;"
            "C:\\Windows\\system32\\WindowsPowerShell\\v1.0\\Modules",
            "ProgramW6432": "C:\\Program Files",
            "CommonProgramFiles(x86)": "C:\\Program Files (x86)\\Common Files",
            "CommonProgramW6432": "C:\\Program Files\\Common Files",
            "DriverData": "C:\\Windows\\System32\\Drivers\\DriverData",
            "ProgramData": "C:\\ProgramData",
            "ProgramFiles": "C:\\Program Files",
            "ProgramFiles(x86)": "C:\\Program Files (x86)",
            "PUBLIC": "C:\\Users\\Public",
            "SystemDrive": "C:",
            "SystemRoot": "C:\\Windows",
            "TEMP": f"{home}\\AppData\\Local\\Temp",
            "TMP": f"{home}\\AppData\\Local\\Temp",
            "USERDNSDOMAIN": self.domain.upper(),
            "USERDOMAIN": account.domain,
            "USERNAME": account.name,
            "USERPROFILE": home,
            "windir": "C:\\Windows",
        }

    # --- chance -----------------------------------------------------------------------------------------------------------

    def new_uuid(self) -> UUID:
        """A random (version 4) id from the host's own source of chance."""
        with self._lock:
            return UUID(int=self.random.getrandbits(128), version=4)

    # --- logons -----------------------------------------------------------------------------------------------------------

    def new_logon(
        self, account: Account, package: Package, *, logon_type: int = 3, delegated: Credential | None = None, depth: int = 0
    ) -> LogonSession:
        """Begin a logon session with a LUID of its own and tell the witness. Type 3 is a network logon.

        It lasts until it is released and no process runs under it any more, as the last handle of a token does on Windows.
        """
        with self._lock:
            self._luid += self.random.randrange(0x400, 0x8000)
            session = LogonSession(
                logon_id=self._luid,
                account=account,
                logon_type=logon_type,
                package=package,
                created=self.now(),
                guid=self.new_uuid(),
                elevated=any(account.sid == sid for sid in self._administrators()),
                delegated=delegated,
                depth=depth,
            )
            hives.put_user(self.registry, account, self.home(account))
            for below in ("Documents", "Desktop", "Downloads", "AppData\\Local\\Temp", "AppData\\Roaming"):
                self.files.make_directory(f"{self.home(account)}\\{below}")
            self._holders[session.logon_id] = 1
        if self.witness is not None:
            self.witness.logged_on(session)
        return session

    def release_logon(self, session: LogonSession) -> None:
        """Whoever began the session has done with it. Call it once for a session."""
        with self._lock:
            over = self._let_go(session)
        if over and self.witness is not None:
            self.witness.logged_off(session)

    def _let_go(self, session: LogonSession) -> bool:
        """Whether that was the last that kept the session. The lock is held. What the machine itself runs under never ends."""
        if session.logon_id not in self._holders:
            return False
        self._holders[session.logon_id] -= 1
        if self._holders[session.logon_id]:
            return False
        del self._holders[session.logon_id]
        return True

    def _administrators(self) -> tuple[str, ...]:
        return tuple(sid for _, sid, _ in self.sam.group("Administrators").members)

    def _well_known(self, luid: int, account: Account) -> LogonSession:
        return LogonSession(
            logon_id=luid,
            account=account,
            logon_type=5,
            package=Package.NEGOTIATE,
            created=self.booted,
            guid=self.new_uuid(),
        )

    # --- processes --------------------------------------------------------------------------------------------------------

    @property
    def processes(self) -> tuple[Process, ...]:
        """The live processes, in the order of their pids."""
        with self._lock:
            return tuple(self._processes[pid] for pid in sorted(self._processes))

    @property
    def system(self) -> Process:
        """The kernel's process: pid 4, which owns the WinRM listener's socket (http.sys)."""
        return self._processes[4]

    @property
    def lsass(self) -> Process:
        """The local security authority, which logs people on."""
        return self._lsass

    @property
    def service_control(self) -> Process:
        """services.exe, the parent of every service."""
        return self._services

    @property
    def dcom_launch(self) -> Process:
        """`svchost.exe -k DcomLaunch -p`, which starts wsmprovhost.exe."""
        return self._dcom_launch

    @property
    def winrm_service(self) -> Process:
        """`svchost.exe -k NetworkService -p`, in which the WinRM service runs."""
        return self._winrm_service

    def executable(self, path: str) -> Image:
        """The identity of the program at an absolute path. Raises `PathNotFound`, `IsADirectory`, `NotExecutable`."""
        file = self.files.read(path)
        if file.image is None:
            raise NotExecutable(path)
        return file.image

    def start_process(self, *, parent: Process, path: str, command_line: str, logon: LogonSession, directory: str) -> Process:
        """Create a process from the program file at `path`, and tell the witness.

        A console program whose parent has no console gets a conhost.exe as its own child, as recorded on Windows 10. `directory` gets a
        trailing backslash, as Windows shows it. Raises `PathNotFound`, `IsADirectory`, `NotExecutable`, `ProcessLimit`.
        """
        image = self.executable(path)
        if len(self._processes) + 2 > MAX_PROCESSES:
            raise ProcessLimit
        process = self._create(parent, self.files.actual(path), command_line, logon, directory, image)
        conhost: Process | None = None
        if needs_console(image):
            with self._lock:
                attached = parent.pid in self._consoles
                self._consoles.add(process.pid)
            if not attached:
                at = f"{SYSTEM32}\\conhost.exe"
                line = "\\??\\C:\\Windows\\system32\\conhost.exe 0xffffffff -ForceV1"
                conhost = self._create(process, at, line, logon, "C:\\Windows", self.executable(at), slash=False)
                with self._lock:
                    self._console_of[process.pid] = conhost
        return process

    def end_process(self, process: Process, exit_code: int = 0) -> None:
        """The process ends, with the console that was made for it. Ending one that has ended already changes nothing."""
        with self._lock:
            if self._processes.get(process.pid) is not process:
                return
            self._consoles.discard(process.pid)
            console = self._console_of.pop(process.pid, None)
            ended = [(process, exit_code)]
            if console is not None and self._processes.get(console.pid) is console:
                ended.append((console, 0))
            for one, _ in ended:
                del self._processes[one.pid]
                self._freed.append(one.pid)
            over = [one.logon for one, _ in ended if self._let_go(one.logon)]
        if self.witness is not None:
            for one, code in ended:
                self.witness.process_ended(one, code)
            for session in over:
                self.witness.logged_off(session)

    def end_tree(self, ancestor: Process) -> None:
        """End a process and its descendants: WinRM keeps a session's processes in a job object, and none outlives the host process."""
        with self._lock:
            left_out = {console.pid for console in self._console_of.values()} | {ancestor.pid}  # a console ends with its owner
            family = [one for one in self.processes if one.pid not in left_out and _descends(one, ancestor)]
        for process in family:
            self.end_process(process, KILLED)
        self.end_process(ancestor)

    @contextmanager
    def acting(self, process: Process) -> Iterator[None]:
        """What this thread does to the host meanwhile is this process's doing, and told as its."""
        token = _ACTING.set(process)
        try:
            yield
        finally:
            _ACTING.reset(token)

    def _file_created(self, path: str, file: File) -> None:
        process = _ACTING.get()
        if process is not None and self.witness is not None:
            self.witness.file_created(FileCreation(process=process, path=path, created=file.created))

    def _registry_changed(self, act: registry.Act, path: str, value: registry.Value | None) -> None:
        process = _ACTING.get()
        if process is not None and self.witness is not None:
            self.witness.registry_changed(RegistryChange(process=process, act=act, key=path, value=value))

    def _service_changed(self, act: services.Act, service: Service, before: Service | None) -> None:
        process = _ACTING.get()
        if process is None:
            return
        with self.acting(self.service_control), suppress(RegistryFault):  # a full registry keeps no service from being
            match act:
                case services.Act.DELETED:
                    self.registry.remove(hives.service_key(service), recurse=True)
                case services.Act.INSTALLED:
                    hives.put_service(self.registry, service)
                case services.Act.CHANGED if before is not None:
                    hives.change_service(self.registry, before, service)
        if self.witness is not None:
            self.witness.service_changed(ServiceChange(act=act, service=service, before=before, logon=process.logon))

    def _account_changed(
        self, act: sam.Act, entry: sam.LocalUser | sam.LocalGroup, before: sam.LocalUser | sam.LocalGroup | None, member: str
    ) -> None:
        process = _ACTING.get()
        if process is not None and self.witness is not None:
            self.witness.account_changed(AccountChange(act=act, entry=entry, before=before, member=member, logon=process.logon))

    def _create(
        self, parent: Process | None, path: str, line: str, logon: LogonSession, directory: str, image: Image, *, slash: bool = True
    ) -> Process:
        with self._lock:
            pid = self._new_pid()
            process = self._enter(pid, parent, path, line, logon, directory.rstrip("\\") + ("\\" if slash else ""), image, self.now())
        if self.witness is not None:
            self.witness.process_started(process)
        return process

    def _enter(
        self,
        pid: int,
        parent: Process | None,
        path: str,
        line: str,
        logon: LogonSession,
        directory: str,
        image: Image,
        started: datetime,
    ) -> Process:
        process = Process(
            pid=pid,
            path=path,
            command_line=line,
            directory=directory,
            image=image,
            logon=logon,
            started=started,
            guid=self._process_guid(started),
            parent=parent,
        )
        self._processes[pid] = process
        if logon.logon_id in self._holders:
            self._holders[logon.logon_id] += 1
        return process

    def _new_pid(self) -> int:
        while True:
            pid = self.random.randrange(250, 4_000) * 4
            if pid not in self._processes and pid not in self._freed:
                return pid

    def _process_guid(self, started: datetime) -> UUID:
        # As Sysmon builds it: the machine, the second of the start, then something unique to the process.
        second = int(started.timestamp()) & 0xFFFFFFFF
        return UUID(
            fields=(
                self.machine_guid.time_low,
                second & 0xFFFF,
                second >> 16,
                0,
                0,
                0x1000000000 | self.random.getrandbits(32),
            )
        )

    # --- how the machine came to be ---------------------------------------------------------------------------------------

    def _furnish(self) -> None:
        for one in executables().values():
            self.files.make_directory(ntpath.dirname(one.path))
            self.files.write(one.path, one.content, image=one.image)
        for path in (
            "C:\\PerfLogs",
            "C:\\Program Files\\Common Files",
            "C:\\Program Files\\Windows Defender",
            "C:\\Program Files (x86)",
            "C:\\ProgramData",
            "C:\\Users\\Public\\Documents",
            "C:\\Windows\\Temp",
            "C:\\Windows\\System32\\drivers\\etc",
            "C:\\Windows\\Logs",
            "C:\\Windows\\Prefetch",
            "C:\\Windows\\System32\\config",
            "C:\\Windows\\System32\\Tasks\\Microsoft\\Windows",
            "C:\\Windows\\System32\\winevt\\Logs",
            "C:\\Windows\\SysWOW64",
            "C:\\ProgramData\\Microsoft\\Windows\\Start Menu\\Programs\\StartUp",
            "C:\\Program Files\\WindowsPowerShell\\Modules",
            "C:\\Program Files\\VMware\\VMware Tools",
            "C:\\Program Files (x86)\\Microsoft\\Edge\\Application",
            "C:\\Users\\Default",
        ):
            self.files.make_directory(path)
        hosts = "# Copyright (c) Microsoft Corp.\r\n#\r\n#\t127.0.0.1       localhost\r\n#\t::1             localhost\r\n"
        self.files.write("C:\\Windows\\System32\\drivers\\etc\\hosts", hosts.encode("ascii"))
        for name in ("lmhosts.sam", "networks", "protocol", "services"):
            self.files.write(f"C:\\Windows\\System32\\drivers\\etc\\{name}", b"# Copyright (c) 1993-2009 Microsoft Corp.\r\n")
        self.files.write("C:\\Windows\\win.ini", b"; for 16-bit app support\r\n[fonts]\r\n[extensions]\r\n[mci extensions]\r\n[files]\r\n")

    def _boot(self) -> None:
        seconds = 0.0

        def start(parent: Process | None, program: str, line: str = "", *, pid: int | None = None) -> Process:
            nonlocal seconds
            seconds += 0.6
            path = program if program == "System" else f"{SYSTEM32}\\{program}"
            file = self.files.find(path) if program != "System" else None
            image = file.image if isinstance(file, File) and file.image is not None else KERNEL
            at = self.booted + timedelta(seconds=seconds)
            number = self._new_pid() if pid is None else pid
            return self._enter(number, parent, path, line or path, self.system_logon, "C:\\Windows\\system32\\", image, at)

        system = start(None, "System", pid=4)
        smss = start(system, "smss.exe", "\\SystemRoot\\System32\\smss.exe")
        start(smss, "csrss.exe")
        wininit = start(smss, "wininit.exe", "wininit.exe")
        start(smss, "winlogon.exe", "winlogon.exe")
        self._services = start(wininit, "services.exe", "C:\\Windows\\system32\\services.exe")
        self._lsass = start(wininit, "lsass.exe", "C:\\Windows\\system32\\lsass.exe")
        self._dcom_launch = start(self._services, "svchost.exe", "C:\\Windows\\system32\\svchost.exe -k DcomLaunch -p")
        shared = {_group_of(one): one.image.partition(" -k ")[2] for one in self.services if one.running and _group_of(one)}
        for low in sorted(set(shared) - {"dcomlaunch", "networkservice"}):
            start(self._services, "svchost.exe", f"C:\\Windows\\system32\\svchost.exe -k {shared[low]}")
        self._winrm_service = start(self._services, "svchost.exe", "C:\\Windows\\system32\\svchost.exe -k NetworkService -p")
        start(self._services, "spoolsv.exe", "C:\\Windows\\System32\\spoolsv.exe")
        for service in self.services:
            if service.running and service.own_process and service.name not in ("Spooler", "Sysmon64"):
                self._start_service_process(service)

    # --- services ---------------------------------------------------------------------------------------------------------

    def service_process(self, service: Service) -> Process | None:
        """The process that a running service runs in; None for one that does not run, or in the kernel."""
        if not service.running:
            return None
        group = _group_of(service)
        if group:
            return next((one for one in self.processes if _group_in(one.command_line) == group), None)
        low = service.program.lower()
        return next((one for one in self.processes if one.path.lower() == low), None)

    def services_in(self, process: Process) -> list[Service]:
        """The services that run in a process."""
        return [one for one in self.services if self.service_process(one) is process]

    def _service_began(self, service: Service) -> None:
        if self.service_process(service) is None:
            self._start_service_process(service)

    def _service_ended(self, service: Service) -> None:
        if service.own_process:
            low = service.program.lower()
            for process in [one for one in self.processes if one.path.lower() == low and one.parent is self.service_control]:
                self.end_process(process)

    def _start_service_process(self, service: Service) -> None:
        try:
            self.start_process(
                parent=self.service_control,
                path=service.program,
                command_line=service.image,
                logon=self.system_logon,
                directory="C:\\Windows\\system32",
            )
        except (FileFault, NotExecutable):
            raise ServiceFault(service.name, CANNOT_START) from None

    def _owner_of(self, name: str) -> int:
        """The process id behind a program's name or a group of services, 0 where none runs."""
        low = name.lower()
        return next(
            (one.pid for one in self.processes if ntpath.basename(one.path).lower() == low or _group_in(one.command_line) == low), 0
        )

    def system_info(self) -> Mapping[str, str]:
        """Facts about the machine that several commands tell, each in its own form."""
        return {
            "Caption": inventory.CAPTION,
            "Version": f"10.0.{inventory.BUILD}",
            "Build": inventory.BUILD,
            "Manufacturer": inventory.MANUFACTURER,
            "Model": inventory.MODEL,
            "Memory": str(inventory.MEMORY),
            "SerialNumber": self.product_id,
        }


def _group_in(command_line: str) -> str:
    """The group of services that an svchost.exe holds, in lower case, empty where the line is none of one."""
    found = re.search(r"(?i)\\svchost\.exe -k (\S+)", command_line)
    return found[1].lower() if found else ""


def _group_of(service: Service) -> str:
    return _group_in(service.image)


def _descends(process: Process, ancestor: Process) -> bool:
    one: Process | None = process
    while one is not None:
        if one is ancestor:
            return True
        one = one.parent
    return False
