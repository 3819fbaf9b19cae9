"""What happens on an emulated host, as values, and the `Witness` that turns happenings into telemetry.

The parts of the host that *do* things (processes, network, PowerShell) call the witness at the moment they do them; the witness
(`lab.host.telemetry`) writes the event logs. Nothing else makes an event: telemetry is derived from what happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from lab.host import accounts, registry, services
from lab.machine import Account, Claim, Credential, Package


@dataclass(frozen=True, slots=True, kw_only=True)
class LogonSession:
    """A logon session. `logon_id` is its LUID (0x3e7 for SYSTEM); `elevated` where it holds a full administrator token.

    `delegated` is what it may be somebody elsewhere with; `depth` counts the remote sessions that it stands on.
    """

    logon_id: int
    account: Account
    logon_type: int
    package: Package
    created: datetime
    guid: UUID
    elevated: bool = True
    delegated: Credential | None = field(default=None, repr=False)
    depth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An executable file's identity: what its version resource and hashes say, wherever a copy of it lies."""

    original_name: str
    description: str
    product: str = "Microsoft® Windows® Operating System"
    company: str = "Microsoft Corporation"
    version: str = "10.0.19041.1 (WinBuild.160101.0800)"
    hashes: Mapping[str, str] = field(default_factory=dict)  # SHA1, MD5, SHA256, IMPHASH


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that was started. `path` is the full image path, `parent` None only for the kernel's own."""

    pid: int
    path: str
    command_line: str
    directory: str
    image: Image
    logon: LogonSession
    started: datetime
    guid: UUID
    parent: Process | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A PowerShell engine in a process: one runspace. `host_name` is "ServerRemoteHost" in a remote session."""

    host_name: str
    host_version: str
    host_id: UUID
    runspace_id: UUID
    version: str
    process: Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A parameter bound to a command, or pipeline input bound to it, as module logging names it."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRun:
    """A command of a pipeline that ran. `kind` is "Cmdlet", "Function", "Script" or "Alias"; `pipeline_id` counts in its runspace.

    `line` is the line of the script in which the command begins, blanks before it included; empty for a command that no script holds.
    """

    name: str
    kind: str
    bindings: tuple[Binding, ...]
    pipeline_id: int
    script_name: str = ""
    line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A TCP connection as the host at one of its ends sees it.

    `source_ip` and `source_port` are the end that opened it, whichever end this host is: `initiated` where it is that one. `owner` is the
    process that has the socket; WinRM's listener belongs to the kernel (http.sys).
    """

    source_ip: str
    source_port: int
    destination_ip: str
    destination_port: int
    initiated: bool
    owner: Process


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialUse:
    """A process used the credentials of an account by name to reach a server, under a logon of its own that stays as it is.

    `target` is the account, `server` the host as it was asked for (WS2), `guid` what Kerberos names that logon by, None for NTLM.
    """

    process: Process
    target: Account
    server: str
    guid: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteShell:
    """A shell that WinRM opened for a client: `resource_uri` and `shell_id` as on the wire, `client_ip` as telemetry shows the client."""

    resource_uri: str
    shell_id: str
    client_ip: str
    logon: LogonSession


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCreation:
    """A process made a file where none lay. `created` is what the volume notes of it."""

    process: Process
    path: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryChange:
    """A process did something to a key, or to the `value` of it that is named. `key` is its full path in the registry's own spelling."""

    process: Process
    act: registry.Act
    key: str
    value: registry.Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChange:
    """Something became of a service; `before` is how it was, None for a new one. `logon` is whoever asked the service control manager."""

    act: services.Act
    service: services.Service
    before: services.Service | None
    logon: LogonSession


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """Something was done to a local user or group under a logon; `before` is how it was, `member` the SID that joined or left a group."""

    act: accounts.Act
    entry: accounts.LocalUser | accounts.LocalGroup
    before: accounts.LocalUser | accounts.LocalGroup | None
    member: str
    logon: LogonSession


@dataclass(frozen=True, slots=True, kw_only=True)
class LogonRefusal:
    """Somebody was not let in. Where the name that they claimed is known the password was wrong."""

    claim: Claim
    package: Package


class Witness(Protocol):
    """Told of every happening, at the moment and in the order it happens, from any thread."""

    def connected(self, connection: Connection) -> None:
        """A TCP connection came about, accepted or opened by this host."""

    def logged_on(self, session: LogonSession) -> None:
        """A logon session began."""

    def logon_refused(self, refusal: LogonRefusal) -> None:
        """Somebody named an account and was not let in."""

    def logged_off(self, session: LogonSession) -> None:
        """A logon session ended: nothing runs under it any more, and the connection that made it is closed."""

    def credentials_used(self, use: CredentialUse) -> None:
        """A process named an account to reach another host."""

    def shell_opened(self, shell: RemoteShell) -> None:
        """The WinRM service opened a shell for a client."""

    def process_started(self, process: Process) -> None:
        """A process was created."""

    def process_ended(self, process: Process, exit_code: int) -> None:
        """A process ended with this code, as a signed number of 32 bits."""

    def file_created(self, creation: FileCreation) -> None:
        """A file came about."""

    def registry_changed(self, change: RegistryChange) -> None:
        """A key or a value came about, changed or went."""

    def service_changed(self, change: ServiceChange) -> None:
        """A service started, stopped, came about, changed or went."""

    def account_changed(self, change: AccountChange) -> None:
        """A local user or group came about, changed or went."""

    def engine_started(self, engine: Engine) -> None:
        """A PowerShell engine became available."""

    def engine_stopped(self, engine: Engine) -> None:
        """A PowerShell engine stopped."""

    def commands_run(self, engine: Engine, commands: Sequence[CommandRun]) -> None:
        """The commands of one statement's pipeline ran: module logging, in their order."""

    def script_block(self, engine: Engine, text: str) -> None:
        """A script block was compiled for the first time in this engine: script block logging."""
