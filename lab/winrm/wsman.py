"""WS-Management as [MS-WSMV] profiles it: SOAP envelopes to requests, results and faults to SOAP envelopes.

Pure: text in, values out and back. Knows nothing of sockets, shells' state, PSRP's content or the machine. Two kinds of shell speak it:
PowerShell's, whose streams carry PSRP, and the command shell of WinRS, told apart by the resource's URI.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

POWERSHELL_URI: Final = "http://schemas.microsoft.com/powershell/Microsoft.PowerShell"
COMMAND_SHELL_URI: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd"
MAX_ENVELOPE: Final = 512_000
"""Bytes of an envelope that the service takes and gives: MaxEnvelopeSizekb = 500, the default of Windows [MS-WSMV 2.2.4.23]."""

_SOAP = "http://www.w3.org/2003/05/soap-envelope"
_ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
_MS_WSMAN = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_POWERSHELL = "http://schemas.microsoft.com/powershell"
_WSMAN_FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"

_OEM_CODE_PAGE = 437  # of an English Windows
_MIN_ENVELOPE = 8192
_DEFAULT_TIMEOUT = 60.0
_LONGEST_TIMEOUT = 3600.0
_ENVELOPE_OVERHEAD = 2048  # everything of a ReceiveResponse that is not the stream itself, with room to spare
_UNDERSTOOD = frozenset(
    [f"{{{_ADDRESSING}}}{name}" for name in ("Action", "MessageID", "To", "ReplyTo", "FaultTo", "From", "RelatesTo")]
    + [f"{{{_WSMAN}}}{name}" for name in ("ResourceURI", "SelectorSet", "OptionSet", "OperationTimeout", "MaxEnvelopeSize", "Locale")]
    + [f"{{{_MS_WSMAN}}}{name}" for name in ("DataLocale", "SessionId", "OperationID", "SequenceId")]
)
_DURATION = re.compile(r"P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?)?\Z", re.ASCII)


class Fault(Exception):
    """A SOAP fault. `code` is the WSManFault's Code [MS-WSMV 2.2.4.43, wsmerror.h], `subcode` the qualified SOAP subcode."""

    def __init__(self, code: int, subcode: str, text: str, *, by_sender: bool = True) -> None:
        self.code = code
        self.subcode = subcode
        self.text = text
        self.by_sender = by_sender
        super().__init__(f"{code} {subcode}: {text}")


def timed_out() -> Fault:
    """ERROR_WSMAN_OPERATION_TIMEDOUT: a long poll ended with nothing to say."""
    return Fault(2150858793, "w:TimedOut", "The operation did not complete within the time given in OperationTimeout.", by_sender=False)


def shell_not_found(shell_id: str) -> Fault:
    """ERROR_WSMAN_UNEXPECTED_SELECTORS, as Windows answers for a ShellId that it does not know."""
    return Fault(2150858843, "w:InvalidSelectors", f"There is no shell with the ShellId {shell_id} on this server.")


def command_not_found(command_id: str) -> Fault:
    """ERROR_WSMAN_UNEXPECTED_SELECTORS again: Windows has no code of its own for an unknown CommandId."""
    return Fault(2150858843, "w:InvalidSelectors", f"There is no command with the CommandId {command_id} in this shell.")


def already_exists(shell_id: str) -> Fault:
    """ERROR_WSMAN_TARGET_ALREADY_EXISTS: the proposed ShellId is in use."""
    return Fault(2150858851, "w:AlreadyExists", f"There already is a shell with the ShellId {shell_id}.")


def aborted() -> Fault:
    """ERROR_OPERATION_ABORTED: what a Receive waited for was terminated."""
    return Fault(995, "w:InternalError", "The operation was ended because its shell or command was closed.", by_sender=False)


def too_many_shells(most: int) -> Fault:
    """ERROR_WSMAN_QUOTA_MAX_SHELLS: the user has as many shells as a user may have."""
    return Fault(2150859173, "w:QuotaLimit", f"This user may have {most} concurrent shells, and has them.")


def too_many_operations() -> Fault:
    """ERROR_WSMAN_QUOTA_MAX_OPERATIONS: the shell runs as many commands as it may."""
    return Fault(2150859174, "w:QuotaLimit", "The maximum number of concurrent operations of this shell has been exceeded.")


def unsupported(what: str) -> Fault:
    """ERROR_WSMAN_INVALID_ACTIONURI."""
    return Fault(2150858753, "a:ActionNotSupported", f"This service does not do {what}.")


def invalid_parameter(what: str) -> Fault:
    """ERROR_INVALID_PARAMETER."""
    return Fault(87, "w:InvalidParameter", what)


class Broken(Fault):
    """ERROR_WSMAN_PLUGIN_FAILED: the PowerShell plug-in was given what is no PSRP, and the shell cannot go on."""

    def __init__(self, text: str) -> None:
        super().__init__(2150858883, "w:InternalError", text, by_sender=False)


# --- requests -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The SOAP header. Times are seconds, sizes bytes; `shell_id` is the selector in upper case, "" where there is none."""

    message_id: str
    action: str
    shell_id: str
    operation_timeout: float
    max_envelope: int

    @property
    def stream_budget(self) -> int:
        """Raw bytes of a stream that fit into one response: base64 makes four of three."""
        return (min(self.max_envelope, MAX_ENVELOPE) - _ENVELOPE_OVERHEAD) * 3 // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NewShell:
    """What both kinds of shell are opened with. `idle_timeout` in seconds or None."""

    shell_id: str
    idle_timeout: float | None
    input_streams: str
    output_streams: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(NewShell):
    """Open a PSRP shell. `creation` are the first PSRP fragments."""

    creation: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCommandShell(NewShell):
    """Open a command shell. `code_page` is what its streams are encoded in; `directory` "" where the client names none."""

    environment: Mapping[str, str]
    directory: str
    code_page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Start a pipeline. `fragment` begins its CREATE_PIPELINE or GET_COMMAND_METADATA message."""

    command_id: str
    fragment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """Start a command line: the command and its arguments with blanks between. `skip_shell`: a program, not a line for cmd.exe."""

    command_id: str
    line: str
    skip_shell: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """More PSRP fragments, for the shell (`command_id` "") or one command; or standard input, `end` where it is the last of it."""

    command_id: str
    data: bytes
    end: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive:
    """The long poll for output of the shell (`command_id` "") or one command. `streams` are what the client wants."""

    command_id: str
    streams: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A control code for one command, in lower case."""

    command_id: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Close a shell."""


Operation = Create | CreateCommandShell | Command | RunLine | Send | Receive | Signal | Delete

SIGNAL_TERMINATE: Final = f"{_SHELL}/signal/terminate"
SIGNAL_CTRL_C: Final = f"{_SHELL}/signal/ctrl_c"
SIGNAL_CTRL_BREAK: Final = f"{_SHELL}/signal/ctrl_break"
SIGNAL_POWERSHELL_STOP: Final = "powershell/signal/ctrl_c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One parsed request. `resource` is the URI of the kind of shell that it is for."""

    header: Header
    resource: str
    operation: Operation


class RequestFault(Exception):
    """A request that cannot be carried out as it stands: the fault, and the message it answers where that is known."""

    def __init__(self, fault: Fault, message_id: str = "") -> None:
        self.fault = fault
        self.message_id = message_id
        super().__init__(str(fault))


def parse(envelope: bytes) -> Request:
    """A request from its SOAP envelope [MS-WSMV 3.1.4]. Raises `RequestFault`, and nothing else whatever the bytes are."""
    try:
        root = _parse_xml(envelope)
    except Fault as fault:
        raise RequestFault(fault) from None
    message_id = _text(root.find(f"{{{_SOAP}}}Header/{{{_ADDRESSING}}}MessageID"))
    try:
        header, uri = _parse_header(root, message_id)
        if header.action not in _OPERATIONS[POWERSHELL_URI]:  # both kinds of shell know the same
            raise unsupported(f"the action {header.action}")
        if uri not in _OPERATIONS:
            raise Fault(2150858752, "a:DestinationUnreachable", f"There is no resource {uri} here.")
        operation = _OPERATIONS[uri][header.action](root)
        if not header.shell_id and not isinstance(operation, NewShell):
            raise Fault(2150858843, "w:InvalidSelectors", "The request needs the selector ShellId.")
    except Fault as fault:
        raise RequestFault(fault, message_id) from None
    return Request(header=header, resource=uri, operation=operation)


def _parse_xml(envelope: bytes) -> ElementTree.Element:
    # SOAP 1.2 forbids a document type declaration, and without one no entity can be declared to blow up: turned away before any
    # parser sees it. Other encodings than UTF-8 could hide the word, so they are turned away too.
    try:
        text = envelope.decode("utf-8-sig")
        if "<!DOCTYPE" in text:
            raise Fault(2150858819, "w:SchemaValidationError", "A document type declaration is not allowed.")
        root = ElementTree.fromstring(text)  # noqa: S314 - no DTD gets here, and expat bounds the rest
    except (UnicodeDecodeError, ValueError, ElementTree.ParseError, RecursionError):
        raise Fault(2150858819, "w:SchemaValidationError", "The request is not well-formed XML.") from None
    if root.tag != f"{{{_SOAP}}}Envelope":
        raise Fault(2150858765, "s:VersionMismatch", "The request is not a SOAP 1.2 envelope.")
    return root


def _parse_header(root: ElementTree.Element, message_id: str) -> tuple[Header, str]:
    header = root.find(f"{{{_SOAP}}}Header")
    if header is None:
        raise _header_required("Header")
    found: dict[str, ElementTree.Element] = {}
    for element in header:
        found[element.tag] = element
        if element.tag not in _UNDERSTOOD and element.get(f"{{{_SOAP}}}mustUnderstand", "false") in ("true", "1"):
            raise Fault(2150858768, "s:MustUnderstand", f"The header {element.tag} is not understood.")
    action = _text(found.get(f"{{{_ADDRESSING}}}Action"))
    uri = _text(found.get(f"{{{_WSMAN}}}ResourceURI"))
    for name, value in (("MessageID", message_id), ("Action", action), ("ResourceURI", uri)):
        if not value:
            raise _header_required(name)
    shell_id = ""
    for selector in found.get(f"{{{_WSMAN}}}SelectorSet", ()):
        if selector.get("Name", "").lower() == "shellid":
            shell_id = _text(selector).upper()
    timeout = found.get(f"{{{_WSMAN}}}OperationTimeout")
    return Header(
        message_id=message_id,
        action=action,
        shell_id=shell_id,
        operation_timeout=_DEFAULT_TIMEOUT if timeout is None else _parse_duration(_text(timeout)),
        max_envelope=_parse_envelope_size(_text(found.get(f"{{{_WSMAN}}}MaxEnvelopeSize"))),
    ), uri


def _header_required(name: str) -> Fault:
    return Fault(2150858769, "a:MessageInformationHeaderRequired", f"The request has no {name}.")


def _parse_duration(text: str) -> float:
    match = _DURATION.match(text)
    if match is None or not any(match.groups()):
        raise Fault(2150858881, "w:UnsupportedFeature", f"{text!r} is not a duration.")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return min(((days * 24 + hours) * 60 + minutes) * 60 + seconds, _LONGEST_TIMEOUT * 24)


def _parse_envelope_size(text: str) -> int:
    if not text:
        return MAX_ENVELOPE
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise invalid_parameter(f"MaxEnvelopeSize {text!r} is not a number.")
    size = int(text)
    if size < _MIN_ENVELOPE:
        raise Fault(2150858878, "w:EncodingLimit", f"MaxEnvelopeSize must be {_MIN_ENVELOPE} at least.")
    return size


def _text(element: ElementTree.Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _child(root: ElementTree.Element, name: str) -> ElementTree.Element:
    element = root.find(f"{{{_SOAP}}}Body/{{{_SHELL}}}{name}")
    if element is None:
        raise _invalid_body(f"The body has no {name}.")
    return element


def _invalid_body(text: str) -> Fault:
    return Fault(2150858791, "w:SchemaValidationError", text)


def _options(root: ElementTree.Element) -> dict[str, str]:
    """The options of the header by name in upper case: clients differ in theirs."""
    found = root.findall(f"{{{_SOAP}}}Header/{{{_WSMAN}}}OptionSet/{{{_WSMAN}}}Option")
    return {option.get("Name", "").upper(): _text(option) for option in found}


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "1")


def _identifier(text: str) -> str:
    """A ShellId or CommandId in upper case; a new one where none was proposed [MS-WSMV 3.1.4.5.2, 3.1.4.11]."""
    if not text:
        return str(uuid4()).upper()
    try:
        return str(UUID(text)).upper()
    except ValueError:
        raise invalid_parameter(f"{text!r} is not a UUID.") from None


def _base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except (binascii.Error, ValueError):
        raise _invalid_body("A stream is not base64.") from None


def _parse_create(root: ElementTree.Element) -> Create:
    shell = _child(root, "Shell")
    creation = shell.find(f"{{{_POWERSHELL}}}creationXml")
    if creation is None:
        raise _invalid_body("A PowerShell shell needs a creationXml.")
    return Create(
        shell_id=_identifier(shell.get("ShellId", "")),
        creation=_base64(_text(creation)),
        idle_timeout=_idle_timeout(shell),
        input_streams=_text(shell.find(f"{{{_SHELL}}}InputStreams")) or "stdin pr",
        output_streams=_text(shell.find(f"{{{_SHELL}}}OutputStreams")) or "stdout",
    )


def _parse_create_command_shell(root: ElementTree.Element) -> CreateCommandShell:
    shell = _child(root, "Shell")
    variables = shell.findall(f"{{{_SHELL}}}Environment/{{{_SHELL}}}Variable")
    environment = {variable.get("Name", ""): variable.text or "" for variable in variables}
    if any(not name or "=" in name for name in environment):
        raise invalid_parameter("An environment variable has no name, or one with an equals sign.")
    code_page = _options(root).get("WINRS_CODEPAGE", "")
    if code_page and not (code_page.isascii() and code_page.isdigit() and len(code_page) < 6):
        raise invalid_parameter(f"WINRS_CODEPAGE {code_page!r} is not a number.")
    return CreateCommandShell(
        shell_id=_identifier(shell.get("ShellId", "")),
        idle_timeout=_idle_timeout(shell),
        input_streams=_text(shell.find(f"{{{_SHELL}}}InputStreams")) or "stdin",
        output_streams=_text(shell.find(f"{{{_SHELL}}}OutputStreams")) or "stdout stderr",
        environment=environment,
        directory=_text(shell.find(f"{{{_SHELL}}}WorkingDirectory")),
        code_page=int(code_page or _OEM_CODE_PAGE),
    )


def _idle_timeout(shell: ElementTree.Element) -> float | None:
    idle = shell.find(f"{{{_SHELL}}}IdleTimeOut")
    return None if idle is None else _parse_duration(_text(idle))


def _parse_command(root: ElementTree.Element) -> Command:
    line = _child(root, "CommandLine")
    return Command(
        command_id=_identifier(line.get("CommandId", "")),
        fragment=_base64("".join(_text(argument) for argument in line.findall(f"{{{_SHELL}}}Arguments"))),
    )


def _parse_run_line(root: ElementTree.Element) -> RunLine:
    line = _child(root, "CommandLine")
    words = [line.find(f"{{{_SHELL}}}Command"), *line.findall(f"{{{_SHELL}}}Arguments")]
    return RunLine(
        command_id=_identifier(line.get("CommandId", "")),
        line=" ".join(word.text or "" for word in words if word is not None).strip(),
        skip_shell=_is_true(_options(root).get("WINRS_SKIP_CMD_SHELL", "")),
    )


def _parse_send(root: ElementTree.Element) -> Send:
    streams = _child(root, "Send").findall(f"{{{_SHELL}}}Stream")
    if len(streams) != 1:
        raise _invalid_body("A Send needs one stream.")
    (stream,) = streams
    if stream.get("Name") not in ("stdin", "pr"):
        raise Fault(2150859147, "w:InvalidParameter", f"There is no input stream {stream.get('Name')!r}.")
    return Send(command_id=stream.get("CommandId", "").upper(), data=_base64(_text(stream)), end=_is_true(stream.get("End", "")))


def _parse_receive(root: ElementTree.Element) -> Receive:
    return _receive(root, ("stdout",))


def _parse_receive_of_line(root: ElementTree.Element) -> Receive:
    return _receive(root, ("stdout", "stderr"))


def _receive(root: ElementTree.Element, known: tuple[str, ...]) -> Receive:
    stream = _child(root, "Receive").find(f"{{{_SHELL}}}DesiredStream")
    wanted = tuple(_text(stream).split())
    if stream is None or not wanted or not set(wanted) <= set(known):
        raise Fault(2150859149, "w:InvalidParameter", f"The output streams are {' and '.join(known)}.")
    return Receive(command_id=stream.get("CommandId", "").upper(), streams=wanted)


def _parse_signal(root: ElementTree.Element) -> Signal:
    signal = _child(root, "Signal")
    return Signal(command_id=signal.get("CommandId", "").upper(), code=_text(signal.find(f"{{{_SHELL}}}Code")).lower())


def _parse_delete(_: ElementTree.Element) -> Delete:
    return Delete()


_Parser = Callable[[ElementTree.Element], Operation]
_COMMON: dict[str, _Parser] = {
    f"{_SHELL}/Send": _parse_send,
    f"{_SHELL}/Signal": _parse_signal,
    f"{_TRANSFER}/Delete": _parse_delete,
}
_OPERATIONS: Final[dict[str, dict[str, _Parser]]] = {
    POWERSHELL_URI: {
        f"{_TRANSFER}/Create": _parse_create,
        f"{_SHELL}/Command": _parse_command,
        f"{_SHELL}/Receive": _parse_receive,
        **_COMMON,
    },
    COMMAND_SHELL_URI: {
        f"{_TRANSFER}/Create": _parse_create_command_shell,
        f"{_SHELL}/Command": _parse_run_line,
        f"{_SHELL}/Receive": _parse_receive_of_line,
        **_COMMON,
    },
}


# --- responses ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The shell that came about. `idle_timeout` in seconds; `process_id` is its host process's."""

    shell_id: str
    process_id: int
    owner: str
    client_ip: str
    idle_timeout: float
    input_streams: str
    output_streams: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The command that was taken."""

    command_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Pieces of output streams; `done`: the command has no more to say, and `exit_code` where it has one."""

    command_id: str
    pieces: tuple[tuple[str, bytes], ...]
    done: bool
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Nothing but an acknowledgement: the answer to Send, Signal and Delete."""


Result = Created | Started | Received | Done


def respond(request: Request, result: Result) -> bytes:
    """The envelope that answers `request` with `result`."""
    header = request.header
    return _envelope(header.action + "Response", header.message_id, _body(request, result))


def respond_fault(fault: Fault, message_id: str, machine: str) -> bytes:
    """The envelope of a fault [MS-WSMV 2.2.4.43]; `machine` is the name by which the service calls itself."""
    text = escape(fault.text)
    body = (
        f"<s:Fault><s:Code><s:Value>s:{'Sender' if fault.by_sender else 'Receiver'}</s:Value>"
        f"<s:Subcode><s:Value>{fault.subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason>'
        f'<s:Detail><f:WSManFault xmlns:f="{_WSMAN_FAULT}" Code="{fault.code}" Machine={quoteattr(machine)}>'
        f"<f:Message>{text}</f:Message></f:WSManFault></s:Detail></s:Fault>"
    )
    action = f"{_ADDRESSING}/fault" if fault.subcode.startswith("a:") else "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
    return _envelope(action, message_id, body)


def _envelope(action: str, relates_to: str, body: str) -> bytes:
    related = f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>" if relates_to else ""
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{_SOAP}" xmlns:a="{_ADDRESSING}" xmlns:w="{_WSMAN}" xmlns:rsp="{_SHELL}" '
        f'xmlns:x="{_TRANSFER}"><s:Header><a:Action>{escape(action)}</a:Action>'
        f"<a:MessageID>uuid:{str(uuid4()).upper()}</a:MessageID><a:To>{_ADDRESSING}/role/anonymous</a:To>{related}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _body(request: Request, result: Result) -> str:
    match result:
        case Created():
            return (
                f"<x:ResourceCreated><a:Address>{_ADDRESSING}/role/anonymous</a:Address><a:ReferenceParameters>"
                f'<w:ResourceURI>{request.resource}</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">{result.shell_id}</w:Selector>'
                f"</w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>"
                f"<rsp:Shell><rsp:ShellId>{result.shell_id}</rsp:ShellId><rsp:ResourceUri>{request.resource}</rsp:ResourceUri>"
                f"<rsp:Owner>{escape(result.owner)}</rsp:Owner><rsp:ClientIP>{escape(result.client_ip)}</rsp:ClientIP>"
                f"<rsp:ProcessId>{result.process_id}</rsp:ProcessId>"
                f"<rsp:IdleTimeOut>PT{result.idle_timeout:.3f}S</rsp:IdleTimeOut>"
                f"<rsp:InputStreams>{escape(result.input_streams)}</rsp:InputStreams>"
                f"<rsp:OutputStreams>{escape(result.output_streams)}</rsp:OutputStreams>"
                f"<rsp:ShellRunTime>P0DT0H0M0S</rsp:ShellRunTime><rsp:ShellInactivity>P0DT0H0M0S</rsp:ShellInactivity></rsp:Shell>"
            )
        case Started():
            return f"<rsp:CommandResponse><rsp:CommandId>{result.command_id}</rsp:CommandId></rsp:CommandResponse>"
        case Received():
            return f"<rsp:ReceiveResponse>{_streams(request.operation, result)}</rsp:ReceiveResponse>"
        case Done():
            match request.operation:
                case Send():
                    return "<rsp:SendResponse/>"
                case Signal():
                    return "<rsp:SignalResponse/>"
                case _:
                    return ""


def _streams(operation: Operation, result: Received) -> str:
    command = f' CommandId="{result.command_id}"' if result.command_id else ""
    text = "".join(f'<rsp:Stream Name="{name}"{command}>{b64encode(data).decode()}</rsp:Stream>' for name, data in result.pieces)
    if result.done and isinstance(operation, Receive):
        text += "".join(f'<rsp:Stream Name="{name}"{command} End="true"/>' for name in operation.streams)
    if result.command_id:
        state = "Done" if result.done else "Running"
        code = "" if result.exit_code is None else f"<rsp:ExitCode>{result.exit_code}</rsp:ExitCode>"
        text += f'<rsp:CommandState{command} State="{_SHELL}/CommandState/{state}">{code}</rsp:CommandState>'
    return text
