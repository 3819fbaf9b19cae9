"""WS-Management as [MS-WSMV] profiles it: SOAP envelopes to requests, results and faults to SOAP envelopes.

Pure: text in, values out and back. Knows nothing of sockets, shells' state, PSRP's content or the machine.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

POWERSHELL_URI: Final = "http://schemas.microsoft.com/powershell/Microsoft.PowerShell"
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
class Create:
    """Open a PSRP shell. `creation` are the first PSRP fragments, `idle_timeout` seconds or None."""

    shell_id: str
    creation: bytes
    idle_timeout: float | None
    input_streams: str
    output_streams: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Start a pipeline. `fragment` begins its CREATE_PIPELINE or GET_COMMAND_METADATA message."""

    command_id: str
    fragment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """More PSRP fragments, for the shell (`command_id` "") or one command."""

    command_id: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive:
    """The long poll for output of the shell (`command_id` "") or one command."""

    command_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A control code for one command, in lower case."""

    command_id: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Close a shell."""


Operation = Create | Command | Send | Receive | Signal | Delete

SIGNAL_TERMINATE: Final = f"{_SHELL}/signal/terminate"
SIGNALS_STOP: Final = frozenset({f"{_SHELL}/signal/ctrl_c", "powershell/signal/ctrl_c"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One parsed request."""

    header: Header
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
        build = _OPERATIONS.get(header.action)
        if build is None:
            raise unsupported(f"the action {header.action}")
        if uri != POWERSHELL_URI:
            raise Fault(2150858752, "a:DestinationUnreachable", f"There is no resource {uri} here.")
        body = root.find(f"{{{_SOAP}}}Body")
        operation = build(body if body is not None else ElementTree.Element("Body"))
        if not header.shell_id and not isinstance(operation, Create):
            raise Fault(2150858843, "w:InvalidSelectors", "The request needs the selector ShellId.")
    except Fault as fault:
        raise RequestFault(fault, message_id) from None
    return Request(header=header, operation=operation)


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


def _child(body: ElementTree.Element, name: str) -> ElementTree.Element:
    element = body.find(f"{{{_SHELL}}}{name}")
    if element is None:
        raise _invalid_body(f"The body has no {name}.")
    return element


def _invalid_body(text: str) -> Fault:
    return Fault(2150858791, "w:SchemaValidationError", text)


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


def _parse_create(body: ElementTree.Element) -> Create:
    shell = _child(body, "Shell")
    creation = shell.find(f"{{{_POWERSHELL}}}creationXml")
    if creation is None:
        raise _invalid_body("A PowerShell shell needs a creationXml.")
    idle = shell.find(f"{{{_SHELL}}}IdleTimeOut")
    return Create(
        shell_id=_identifier(shell.get("ShellId", "")),
        creation=_base64(_text(creation)),
        idle_timeout=None if idle is None else _parse_duration(_text(idle)),
        input_streams=_text(shell.find(f"{{{_SHELL}}}InputStreams")) or "stdin pr",
        output_streams=_text(shell.find(f"{{{_SHELL}}}OutputStreams")) or "stdout",
    )


def _parse_command(body: ElementTree.Element) -> Command:
    line = _child(body, "CommandLine")
    return Command(
        command_id=_identifier(line.get("CommandId", "")),
        fragment=_base64("".join(_text(argument) for argument in line.findall(f"{{{_SHELL}}}Arguments"))),
    )


def _parse_send(body: ElementTree.Element) -> Send:
    streams = _child(body, "Send").findall(f"{{{_SHELL}}}Stream")
    if len(streams) != 1:
        raise _invalid_body("A Send needs one stream.")
    (stream,) = streams
    if stream.get("Name") not in ("stdin", "pr"):
        raise Fault(2150859147, "w:InvalidParameter", f"There is no input stream {stream.get('Name')!r}.")
    return Send(command_id=stream.get("CommandId", "").upper(), data=_base64(_text(stream)))


def _parse_receive(body: ElementTree.Element) -> Receive:
    stream = _child(body, "Receive").find(f"{{{_SHELL}}}DesiredStream")
    if _text(stream) != "stdout" or stream is None:
        raise Fault(2150859149, "w:InvalidParameter", "The only output stream is stdout.")
    return Receive(command_id=stream.get("CommandId", "").upper())


def _parse_signal(body: ElementTree.Element) -> Signal:
    signal = _child(body, "Signal")
    return Signal(command_id=signal.get("CommandId", "").upper(), code=_text(signal.find(f"{{{_SHELL}}}Code")).lower())


def _parse_delete(_: ElementTree.Element) -> Delete:
    return Delete()


_OPERATIONS: Final[dict[str, Callable[[ElementTree.Element], Operation]]] = {
    f"{_TRANSFER}/Create": _parse_create,
    f"{_SHELL}/Command": _parse_command,
    f"{_SHELL}/Send": _parse_send,
    f"{_SHELL}/Receive": _parse_receive,
    f"{_SHELL}/Signal": _parse_signal,
    f"{_TRANSFER}/Delete": _parse_delete,
}


# --- responses ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The shell that came about. `idle_timeout` in seconds."""

    shell_id: str
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
    """Whole PSRP fragments; `done`: the command has no more to say."""

    command_id: str
    data: bytes
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Nothing but an acknowledgement: the answer to Send, Signal and Delete."""


Result = Created | Started | Received | Done


def respond(request: Request, result: Result) -> bytes:
    """The envelope that answers `request` with `result`."""
    header = request.header
    return _envelope(header.action + "Response", header.message_id, _body(request.operation, result))


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


def _body(operation: Operation, result: Result) -> str:
    match result:
        case Created():
            return (
                f"<x:ResourceCreated><a:Address>{_ADDRESSING}/role/anonymous</a:Address><a:ReferenceParameters>"
                f'<w:ResourceURI>{POWERSHELL_URI}</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">{result.shell_id}</w:Selector>'
                f"</w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>"
                f"<rsp:Shell><rsp:ShellId>{result.shell_id}</rsp:ShellId><rsp:ResourceUri>{POWERSHELL_URI}</rsp:ResourceUri>"
                f"<rsp:Owner>{escape(result.owner)}</rsp:Owner><rsp:ClientIP>{escape(result.client_ip)}</rsp:ClientIP>"
                f"<rsp:IdleTimeOut>PT{result.idle_timeout:.3f}S</rsp:IdleTimeOut>"
                f"<rsp:InputStreams>{escape(result.input_streams)}</rsp:InputStreams>"
                f"<rsp:OutputStreams>{escape(result.output_streams)}</rsp:OutputStreams>"
                f"<rsp:ShellRunTime>P0DT0H0M0S</rsp:ShellRunTime><rsp:ShellInactivity>P0DT0H0M0S</rsp:ShellInactivity></rsp:Shell>"
            )
        case Started():
            return f"<rsp:CommandResponse><rsp:CommandId>{result.command_id}</rsp:CommandId></rsp:CommandResponse>"
        case Received():
            return f"<rsp:ReceiveResponse>{_streams(result)}</rsp:ReceiveResponse>"
        case Done():
            match operation:
                case Send():
                    return "<rsp:SendResponse/>"
                case Signal():
                    return "<rsp:SignalResponse/>"
                case _:
                    return ""


def _streams(result: Received) -> str:
    command = f' CommandId="{result.command_id}"' if result.command_id else ""
    text = f'<rsp:Stream Name="stdout"{command}>{b64encode(result.data).decode()}</rsp:Stream>' if result.data else ""
    if result.done:
        text += f'<rsp:Stream Name="stdout"{command} End="true"/>'
    if result.command_id:
        state = "Done" if result.done else "Running"
        text += f'<rsp:CommandState{command} State="{_SHELL}/CommandState/{state}"/>'
    return text
