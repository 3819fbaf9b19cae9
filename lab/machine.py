"""What passes between a WinRM endpoint and the machine behind it: values and Protocols, of neither's making.

The endpoint (`lab.winrm`) calls the machine; the machine (`lab.host`) answers and leaves its telemetry by itself. Neither
imports the other: `lab.service` joins them. All calls come from the endpoint's worker threads; the machine locks for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The client's end of a TCP connection. `ip` is the real peer address; the machine decides as what it shows in telemetry.

    `secure`: it came to the listener for HTTPS.
    """

    ip: str
    port: int
    secure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A Windows account: `domain` and `name` as telemetry shows them (LAB, purple)."""

    domain: str
    name: str
    sid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A name and its password. The password is in no text that is made of it."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who a client said to be, as it was sent; `known` whether the machine has an account of this name."""

    domain: str
    name: str
    known: bool


class Package(StrEnum):
    """The authentication package of a logon, as Security 4624 names it."""

    NTLM = "NTLM"
    NEGOTIATE = "Negotiate"
    KERBEROS = "Kerberos"
    BASIC = "Basic"


# --- values that cross the wire -------------------------------------------------------------------------------------------

CUSTOM_OBJECT_TYPE: Final = "System.Management.Automation.PSCustomObject"
TIME_SPAN_TYPE: Final = "System.TimeSpan"


CREDENTIAL_TYPE: Final = "System.Management.Automation.PSCredential"
"""A credential is a `PSObject` of this type with the properties UserName (a string) and Password (a `SecureString`)."""


@dataclass(frozen=True, slots=True)
class SecureString:
    """A System.Security.SecureString: a text that no log, event or output shows."""

    plain: str = field(repr=False)

    def __str__(self) -> str:
        return "System.Security.SecureString"


@dataclass(slots=True, kw_only=True)
class PSObject:
    """An object with a type and properties, as CLIXML carries it: a ServiceController, a PSCustomObject.

    `type_names` most derived first. `text` is its ToString().
    """

    type_names: tuple[str, ...]
    properties: dict[str, PSValue]
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRecord:
    """A PowerShell ErrorRecord.

    `error_id` is the FullyQualifiedErrorId, `category` a name of System.Management.Automation.ErrorCategory. `computer` and `runspace` are
    where it comes from, if that is another computer (OriginInfo).
    """

    message: str
    exception_type: str
    error_id: str
    category: str
    target: str = ""
    activity: str = ""
    reason: str = ""
    position: str = ""
    computer: str = ""
    runspace: UUID | None = None


PSValue = (
    None | bool | int | float | str | Decimal | datetime | UUID | bytes | SecureString | list["PSValue"] | dict[str, "PSValue"] | PSObject
)


class StreamName(StrEnum):
    """A stream of a pipeline other than output and error."""

    WARNING = "warning"
    VERBOSE = "verbose"
    DEBUG = "debug"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument of a command [MS-PSRP 2.2.3.13]: named, positional (`name` None), or a switch (`value` True).

    A name that begins with a dash is a token as it was typed: `-Name` with value None, the value, if it has one, being the next
    positional argument (the client cannot tell a switch); `-Name:` with its value.
    """

    name: str | None
    value: PSValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a pipeline as PSRP sends it [MS-PSRP 2.2.3.12]: a name with arguments, or a script text.

    `end_of_statement`: the next command begins a new statement. `merge_to_output`: its error stream goes into the pipeline.
    """

    text: str
    is_script: bool
    parameters: tuple[Parameter, ...] = ()
    use_local_scope: bool | None = None
    end_of_statement: bool = False
    merge_to_output: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRequest:
    """What a CREATE_PIPELINE message asks for.

    `input` are objects that the client pipes in, where it said that it would (`has_input`): they can be walked once, and walking waits for
    the client and raises `PipelineStopped`.
    """

    commands: tuple[Command, ...]
    input: Iterable[PSValue] = ()
    has_input: bool = False
    add_to_history: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandMetadata:
    """One answer to GET_COMMAND_METADATA [MS-PSRP 2.2.3.22]: name, CommandTypes flag (8 cmdlet, 2 function, 1 alias)."""

    name: str
    command_type: int
    namespace: str = ""
    has_common_parameters: bool = True
    output_types: tuple[str, ...] = ()
    parameters: tuple[str, ...] = field(default_factory=tuple)


# --- what a running pipeline asks its client's host [MS-PSRP 2.2.3.17] ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line of text; the answer is a string."""


@dataclass(frozen=True, slots=True)
class ReadSecret:
    """A line that is not shown; the answer is a `SecureString`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a form. `type_name` is a .NET type's full name."""

    name: str
    type_name: str = "System.String"
    label: str = ""
    help: str = ""
    mandatory: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Several fields at once; the answer is a dictionary by their names."""

    caption: str
    message: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several; the answer is its number. A choice is its label (an ampersand before its key) and its help."""

    caption: str
    message: str
    choices: tuple[tuple[str, str], ...]
    default: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class AskCredential:
    """A user and a password; the answer is a credential."""

    caption: str
    message: str
    user: str = ""
    target: str = ""


Question = ReadLine | ReadSecret | Form | Choice | AskCredential


class HostFailed(Exception):
    """The client's host could not do what it was asked, or the client has none. `message` is what it said."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A progress record [MS-PSRP 2.2.2.25]. `percent` and `seconds_left` -1 where unknown; `done`: it can go."""

    activity: str
    status: str
    activity_id: int = 0
    parent_id: int = -1
    operation: str = ""
    percent: int = -1
    seconds_left: int = -1
    done: bool = False


class PipelineIO(Protocol):
    """What a running pipeline may do to its client. Raises `PipelineStopped` at any call once the client asked for a stop."""

    def output(self, value: PSValue) -> None:
        """One object on the output stream."""

    def error(self, record: ErrorRecord) -> None:
        """One record on the error stream."""

    def record(self, stream: StreamName, text: str) -> None:
        """One record on another stream."""

    def progress(self, record: Progress) -> None:
        """One record on the progress stream."""

    def ask(self, question: Question) -> PSValue:
        """Ask the client's host and wait for its answer. Raises `HostFailed`."""

    def host_write_line(self, text: str) -> None:
        """A line to the client's host (WriteLine2, host method 16), as Out-Default does it in an interactive session."""

    def host_write(self, text: str) -> None:
        """Text without a line end to the client's host (Write1, host method 13)."""

    def host_write_error_line(self, text: str) -> None:
        """A line of an error's display to the client's host (WriteErrorLine, host method 18)."""

    @property
    def has_host(self) -> bool:
        """Whether the client brought a host for this pipeline or its pool: where it did, Out-Default writes to it."""

    def wait(self, seconds: float) -> None:
        """Let time pass on the machine (Start-Sleep)."""


class PipelineStopped(Exception):
    """The client asked the pipeline, or the command line, to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """What a WinRS Command asks for: the line as typed. `skip_shell`: it is a program with its arguments, not for cmd.exe to read."""

    text: str
    skip_shell: bool = False


class CommandIO(Protocol):
    """What a running command line may do to its client, in text. Raises `PipelineStopped` at any call once it was asked to stop."""

    def stdout(self, text: str) -> None:
        """Text on standard output."""

    def stderr(self, text: str) -> None:
        """Text on standard error."""

    def read_line(self) -> str | None:
        """The next line of standard input without its end, None after the last; waits for the client."""

    def wait(self, seconds: float) -> None:
        """Let time pass on the machine."""


# --- the machine as the endpoint sees it ----------------------------------------------------------------------------------


class Runspace(Protocol):
    """One PSRP runspace: the first of its pool in a wsmprovhost.exe of its own. Pipelines of one runspace come one after the other."""

    @property
    def process_id(self) -> int:
        """The host process's pid, as the WinRM service tells it of a new shell."""

    def run(self, request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        """Run a pipeline to its end; the record that ended it early, or None. Raises `PipelineStopped`, nothing else."""

    def command_metadata(self, names: Sequence[str]) -> Sequence[CommandMetadata]:
        """What GET_COMMAND_METADATA found for these name patterns."""

    def another(self) -> Runspace:
        """One more runspace of the same pool: an engine in the same process. It is closed before the one that it was opened from."""

    def reset(self) -> None:
        """Variables as in a new session [MS-PSRP 2.2.2.31]. No pipeline runs meanwhile."""

    def close(self) -> None:
        """The engine stops and the host process ends."""


class CommandShell(Protocol):
    """One WinRS shell in its own winrshost.exe. Command lines of one shell may run side by side."""

    @property
    def process_id(self) -> int:
        """The host process's pid, as the WinRM service tells it of a new shell."""

    def run(self, line: CommandLine, io: CommandIO) -> int:
        """Run a command line to its end; its exit code, from -2**31 on. Raises `PipelineStopped`, nothing else."""

    def close(self) -> None:
        """The host process ends, with all that it started."""


class OutOfResources(Exception):
    """The machine has no room for another process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellName:
    """What a shell is called on the wire [MS-WSMV 3.1.4.5.2]: the resource URI that it was asked for under, and its id."""

    resource_uri: str
    shell_id: str


class Logon(Protocol):
    """One network logon (type 3) of one authenticated connection."""

    def open_runspace(self, shell: ShellName, arguments: Mapping[str, PSValue] | None = None) -> Runspace:
        """Start wsmprovhost.exe for this logon and open the engine in it. Raises `OutOfResources`.

        `arguments` are the client's application arguments, which a session finds in $PSSenderInfo.
        """

    def open_command_shell(self, shell: ShellName, environment: Mapping[str, str], directory: str) -> CommandShell:
        """Start winrshost.exe for this logon. Raises `OutOfResources`.

        `environment` is laid over the user's own; `directory` is where lines run, "" for the user's profile.
        """

    def log_off(self) -> None:
        """The connection that made this logon is closed."""


class Machine(Protocol):
    """A Windows host as its WinRM service sees it."""

    def connected(self, peer: Peer) -> None:
        """The kernel accepted a TCP connection to the listener."""

    def log_on(self, peer: Peer, account: Account, package: Package, delegated: Credential | None = None) -> Logon:
        """An authenticated connection: a network logon begins.

        `delegated` is what the client gave so that the logon may be somebody elsewhere (CredSSP).
        """

    def log_on_refused(self, claim: Claim, package: Package) -> None:
        """A client named an account and could not show that it is theirs."""


# --- the network as the machine sees it -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A host of the lab as the others find it: the computer's name, its full name and its address, as telemetry shows them."""

    name: str
    fqdn: str
    ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose connection it is that came from the lab itself: the address that telemetry shows, and how many sessions deep it is."""

    ip: str
    depth: int


class Trouble(StrEnum):
    """Why there is no remote session, or none any more."""

    UNREACHABLE = "unreachable"
    ACCESS_DENIED = "access denied"
    BAD_CREDENTIALS = "bad credentials"
    QUOTA = "quota"
    BROKEN = "broken"


class RemoteFault(Exception):
    """There is no remote session, or none any more."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble


class RemoteScheme(StrEnum):
    """How a client of the lab's own authenticates, in WinRM's words."""

    NEGOTIATE = "Negotiate"
    KERBEROS = "Kerberos"
    CREDSSP = "CredSSP"
    BASIC = "Basic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """How to get to another host. `credential` None is nobody, whom no host lets in. `source_ip` is what the other host sees.

    `connected` is told of each TCP connection that comes about, by the port of our end.
    """

    to: Neighbour
    source_ip: str
    depth: int
    connected: Callable[[int], None] = field(repr=False)
    secure: bool = False
    port: int = 0
    scheme: RemoteScheme = RemoteScheme.NEGOTIATE
    credential: Credential | None = None


class RemoteRunspace(Protocol):
    """A runspace on another host, over a real connection. Raises `RemoteFault` where that is gone."""

    @property
    def runspace_id(self) -> UUID:
        """The runspace pool's id, as both sides know it."""

    def run(self, request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        """Run a pipeline to its end; the record that ended it early, or None. Raises `PipelineStopped` as its `io` does."""

    def close(self) -> None:
        """End the session and its connections; never raises."""


class Network(Protocol):
    """The lab's own network: its hosts, and nothing else in the world."""

    def find(self, name: str) -> Neighbour | None:
        """The host of this name, full name or address, in any case."""

    def caller(self, peer: Peer) -> Caller | None:
        """Which host of the lab opened this connection; None where none did."""

    def open_runspace(self, passage: Passage, io: PipelineIO) -> RemoteRunspace:
        """Connect, log on, open a runspace. Raises `RemoteFault`, and `PipelineStopped` as `io` does."""

    def run_line(self, passage: Passage, line: str, io: CommandIO) -> int:
        """Run a command line in a remote shell of its own (winrs); its exit code. Raises `RemoteFault`, `PipelineStopped`."""

    def identify(self, passage: Passage) -> str:
        """The product's version as WSMan's Identify tells it. Raises `RemoteFault`."""
