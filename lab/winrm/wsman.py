"""WS-Management as [MS-WSMV] profiles it: SOAP envelopes to requests, results and faults to SOAP envelopes.

Pure: text in, values out and back. Knows nothing of sockets, shells' state, PSRP's content or the machine. Two kinds of shell speak it:
PowerShell's, whose streams carry PSRP, and the command shell of WinRS, told apart by the resource's URI. Besides there are the lists of
shells and of their commands, the service's settings, and what anybody may ask of it: what it is.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4
from xml.etree import ElementTree

from lab.winrm.faults import Fault, filter_expected, invalid_parameter, unsupported
from lab.winrm.namespaces import ADDRESSING, ENUMERATION, IDENTITY, MS_WSMAN, POWERSHELL, SHELL, SOAP, TRANSFER, WSMAN

POWERSHELL_URI: Final = "http://schemas.microsoft.com/powershell/Microsoft.PowerShell"
COMMAND_SHELL_URI: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd"
SHELL_URI: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
"""All shells, of whatever kind, to be listed and looked at."""
COMMANDS_URI: Final = f"{SHELL_URI}/Command"
CONFIG_URI: Final = "http://schemas.microsoft.com/wbem/wsman/1/config"
MAX_ENVELOPE: Final = 512_000
"""Bytes of an envelope that the service takes and gives: MaxEnvelopeSizekb = 500, the default of Windows [MS-WSMV 2.2.4.23]."""


_OEM_CODE_PAGE = 437  # of an English Windows
_MIN_ENVELOPE = 8192
_DEFAULT_TIMEOUT = 60.0
_LONGEST_TIMEOUT = 3600.0
_ENVELOPE_OVERHEAD = 2048  # everything of a ReceiveResponse that is not the stream itself, with room to spare
_UNDERSTOOD = frozenset(
    [f"{{{ADDRESSING}}}{name}" for name in ("Action", "MessageID", "To", "ReplyTo", "FaultTo", "From", "RelatesTo")]
    + [f"{{{WSMAN}}}{name}" for name in ("ResourceURI", "SelectorSet", "OptionSet", "OperationTimeout", "MaxEnvelopeSize", "Locale")]
    + [f"{{{MS_WSMAN}}}{name}" for name in ("DataLocale", "SessionId", "OperationID", "SequenceId", "ActivityId")]
    + [f"{{{SHELL}}}CompressionType"]
)
_DURATION = re.compile(
    r"P(?:(\d{1,3})Y)?(?:(\d{1,4})M)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?)?\Z", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The SOAP header. Times are seconds, sizes bytes; `shell_id` is the selector in upper case, "" where there is none.

    `session_id` tells one client from another [MS-WSMV 2.2.4.1]; `operation_id` is the client's own, and comes back with the answer.
    """

    message_id: str
    action: str
    shell_id: str
    operation_timeout: float
    max_envelope: int
    session_id: str = ""
    operation_id: str = ""

    @property
    def stream_budget(self) -> int:
        """Raw bytes of a stream that fit into one response: base64 makes four of three."""
        return (min(self.max_envelope, MAX_ENVELOPE) - _ENVELOPE_OVERHEAD) * 3 // 4


class BufferMode(StrEnum):
    """What happens to output that nobody fetches [MS-WSMV 2.2.4.15]: the command waits, or the oldest goes."""

    BLOCK = "Block"
    DROP = "Drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewShell:
    """What both kinds of shell are opened with. `idle_timeout` in seconds or None; `name` is the client's for it.

    `compressed`: what is sent and received from now on is as `xpress` has it.
    """

    shell_id: str
    idle_timeout: float | None
    input_streams: str
    output_streams: str
    buffer_mode: BufferMode = BufferMode.BLOCK
    name: str = ""
    locale: str = "en-US"
    data_locale: str = "en-US"
    compressed: bool = False


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
    """More PSRP fragments, for the shell (`command_id` "") or one command; or standard input, `end` where it is the last of it.

    `stream` is stdin or, for what a client's host answers, pr.
    """

    command_id: str
    data: bytes
    end: bool
    stream: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """Leave a shell. What is None stays as it is."""

    idle_timeout: float | None
    buffer_mode: BufferMode | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """Come back to a shell (`command_id` ""), or to one command of it."""

    command_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Take over a shell that another client left, or (`command_id`) one command of it. `fragments` are the first PSRP fragments."""

    command_id: str
    fragments: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GetShell:
    """What is known of one shell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumerateShells:
    """A list of the client's shells. `of` "" or the commands of one shell; `at_once`: all of it in this answer."""

    of: str | None
    at_once: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """More of a list, as much as is there."""

    context: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """No more of a list."""

    context: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GetConfig:
    """The service's settings, or the part of them that has this name (in lower case; "" all)."""

    part: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumerateListeners:
    """A list of the listeners; see `EnumerateShells`."""

    at_once: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identify:
    """What this is [DSP0226 11]."""


Operation = (
    Create
    | CreateCommandShell
    | Command
    | RunLine
    | Send
    | Receive
    | Signal
    | Delete
    | Disconnect
    | Reconnect
    | Connect
    | GetShell
    | EnumerateShells
    | Pull
    | Release
    | GetConfig
    | EnumerateListeners
    | Identify
)

SIGNAL_TERMINATE: Final = f"{SHELL}/signal/terminate"
SIGNAL_CTRL_C: Final = f"{SHELL}/signal/ctrl_c"
SIGNAL_CTRL_BREAK: Final = f"{SHELL}/signal/ctrl_break"
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
    message_id = _text(root.find(f"{{{SOAP}}}Header/{{{ADDRESSING}}}MessageID"))
    try:
        if root.find(f"{{{SOAP}}}Body/{{{IDENTITY}}}Identify") is not None:
            return _identify(message_id)
        header, uri = _parse_header(root, message_id)
        if header.action not in _ACTIONS:
            raise unsupported(f"the action {header.action}")
        resource = _RESOURCES.get(uri.rstrip("/").lower())
        if resource is None:
            raise Fault(2150858752, "a:DestinationUnreachable", f"There is no resource {uri} here.")
        operation_of = _OPERATIONS[resource].get(header.action)
        if operation_of is None:
            raise unsupported(f"the action {header.action} with the resource {uri}")
        operation = operation_of(root)
        if not header.shell_id and not isinstance(operation, _WITHOUT_SHELL):
            raise Fault(2150858843, "w:InvalidSelectors", "The request needs the selector ShellId.")
    except Fault as fault:
        raise RequestFault(fault, message_id) from None
    return Request(header=header, resource=resource, operation=operation)


def _identify(message_id: str) -> Request:
    """It has no header that it would need."""
    header = Header(
        message_id=message_id, action=f"{IDENTITY}/Identify", shell_id="", operation_timeout=_DEFAULT_TIMEOUT, max_envelope=MAX_ENVELOPE
    )
    return Request(header=header, resource="", operation=Identify())


def encoding_of(envelope: bytes) -> str:
    """How an envelope is encoded: utf-8, or UTF-16 in either order, by its mark or by its first character, which is a bracket."""
    if envelope.startswith((b"\xff\xfe", b"<\0")):
        return "utf-16-le"
    if envelope.startswith((b"\xfe\xff", b"\0<")):
        return "utf-16-be"
    return "utf-8"


_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")


def _parse_xml(envelope: bytes) -> ElementTree.Element:
    # SOAP 1.2 forbids a document type declaration, and without one no entity can be declared to blow up: turned away before any
    # parser sees it. Encodings beyond those of WS-Management could hide the word, so they are turned away too.
    try:
        text = envelope.decode(encoding_of(envelope)).removeprefix("\ufeff")
        if "<!DOCTYPE" in text:
            raise Fault(2150858819, "w:SchemaValidationError", "A document type declaration is not allowed.")
        root = ElementTree.fromstring(_DECLARATION.sub("", text, count=1) if text.lstrip().startswith("<?xml") else text)  # noqa: S314 - no DTD
    except (UnicodeError, ValueError, ElementTree.ParseError, RecursionError):
        raise Fault(2150858819, "w:SchemaValidationError", "The request is not well-formed XML.") from None
    if root.tag != f"{{{SOAP}}}Envelope":
        raise Fault(2150858765, "s:VersionMismatch", "The request is not a SOAP 1.2 envelope.")
    return root


def _parse_header(root: ElementTree.Element, message_id: str) -> tuple[Header, str]:
    header = root.find(f"{{{SOAP}}}Header")
    if header is None:
        raise _header_required("Header")
    found: dict[str, ElementTree.Element] = {}
    for element in header:
        found[element.tag] = element
        if element.tag not in _UNDERSTOOD and element.get(f"{{{SOAP}}}mustUnderstand", "false") in ("true", "1"):
            raise Fault(2150858768, "s:MustUnderstand", f"The header {element.tag} is not understood.")
    action = _text(found.get(f"{{{ADDRESSING}}}Action"))
    uri = _text(found.get(f"{{{WSMAN}}}ResourceURI"))
    for name, value in (("MessageID", message_id), ("Action", action), ("ResourceURI", uri)):
        if not value:
            raise _header_required(name)
    shell_id = ""
    for selector in found.get(f"{{{WSMAN}}}SelectorSet", ()):
        if selector.get("Name", "").lower() == "shellid":
            shell_id = _text(selector).upper()
    timeout = found.get(f"{{{WSMAN}}}OperationTimeout")
    return Header(
        message_id=message_id,
        action=action,
        shell_id=shell_id,
        operation_timeout=_DEFAULT_TIMEOUT if timeout is None else _parse_duration(_text(timeout)),
        max_envelope=_parse_envelope_size(_text(found.get(f"{{{WSMAN}}}MaxEnvelopeSize"))),
        session_id=_text(found.get(f"{{{MS_WSMAN}}}SessionId")).lower(),
        operation_id=_text(found.get(f"{{{MS_WSMAN}}}OperationID")),
    ), uri


def _header_required(name: str) -> Fault:
    return Fault(2150858769, "a:MessageInformationHeaderRequired", f"The request has no {name}.")


def _parse_duration(text: str) -> float:
    match = _DURATION.match(text)
    if match is None or not any(match.groups()):
        raise Fault(2150858881, "w:UnsupportedFeature", f"{text!r} is not a duration.")
    years, months, days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    days += years * 365 + months * 30  # nobody waits so long, but some write every part, the empty ones too
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


def _attribute(element: ElementTree.Element, name: str) -> str:
    """An attribute of the shell's schema: without a namespace, as the schema has it, or with the schema's, which Windows takes as well."""
    return element.get(name, "") or element.get(f"{{{SHELL}}}{name}", "")


def _child(root: ElementTree.Element, name: str) -> ElementTree.Element:
    element = root.find(f"{{{SOAP}}}Body/{{{SHELL}}}{name}")
    if element is None:
        raise _invalid_body(f"The body has no {name}.")
    return element


def _invalid_body(text: str) -> Fault:
    return Fault(2150858791, "w:SchemaValidationError", text)


def _options(root: ElementTree.Element) -> dict[str, str]:
    """The options of the header by name in upper case: clients differ in theirs."""
    found = root.findall(f"{{{SOAP}}}Header/{{{WSMAN}}}OptionSet/{{{WSMAN}}}Option")
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
    creation = shell.find(f"{{{POWERSHELL}}}creationXml")
    if creation is None:
        raise _invalid_body("A PowerShell shell needs a creationXml.")
    return Create(
        shell_id=_identifier(_attribute(shell, "ShellId")),
        creation=_base64(_text(creation)),
        idle_timeout=_idle_timeout(shell),
        input_streams=_text(shell.find(f"{{{SHELL}}}InputStreams")) or "stdin pr",
        output_streams=_text(shell.find(f"{{{SHELL}}}OutputStreams")) or "stdout",
        buffer_mode=_buffer_mode(shell) or BufferMode.BLOCK,
        name=_shell_name(shell),
        locale=_language(root, f"{{{WSMAN}}}Locale"),
        data_locale=_language(root, f"{{{MS_WSMAN}}}DataLocale"),
        compressed=_compressed(root),
    )


def _parse_create_command_shell(root: ElementTree.Element) -> CreateCommandShell:
    shell = _child(root, "Shell")
    variables = shell.findall(f"{{{SHELL}}}Environment/{{{SHELL}}}Variable")
    environment = {_attribute(variable, "Name"): variable.text or "" for variable in variables}
    if any(not name or "=" in name for name in environment):
        raise invalid_parameter("An environment variable has no name, or one with an equals sign.")
    code_page = _options(root).get("WINRS_CODEPAGE", "")
    if code_page and not (code_page.isascii() and code_page.isdigit() and len(code_page) < 6):
        raise invalid_parameter(f"WINRS_CODEPAGE {code_page!r} is not a number.")
    return CreateCommandShell(
        shell_id=_identifier(_attribute(shell, "ShellId")),
        idle_timeout=_idle_timeout(shell),
        input_streams=_text(shell.find(f"{{{SHELL}}}InputStreams")) or "stdin",
        output_streams=_text(shell.find(f"{{{SHELL}}}OutputStreams")) or "stdout stderr",
        name=_shell_name(shell),
        locale=_language(root, f"{{{WSMAN}}}Locale"),
        data_locale=_language(root, f"{{{MS_WSMAN}}}DataLocale"),
        compressed=_compressed(root),
        environment=environment,
        directory=_text(shell.find(f"{{{SHELL}}}WorkingDirectory")),
        code_page=int(code_page or _OEM_CODE_PAGE),
    )


def _idle_timeout(shell: ElementTree.Element) -> float | None:
    idle = shell.find(f"{{{SHELL}}}IdleTimeOut")
    return None if idle is None else _parse_duration(_text(idle))


def _buffer_mode(element: ElementTree.Element) -> BufferMode | None:
    text = _text(element.find(f"{{{SHELL}}}BufferMode"))
    if not text:
        return None
    try:
        return BufferMode(text.capitalize())
    except ValueError:
        raise invalid_parameter(f"There is no buffer mode {text!r}.") from None


def _shell_name(shell: ElementTree.Element) -> str:
    """The client's name for a shell: an attribute [MS-WSMV 2.2.4.38], or as some send it an element."""
    return _attribute(shell, "Name") or _text(shell.find(f"{{{SHELL}}}Name"))


def _language(root: ElementTree.Element, header: str) -> str:
    """The language that a client wants texts or data in, as its shell's description tells it."""
    element = root.find(f"{{{SOAP}}}Header/{header}")
    return ("" if element is None else element.get("{http://www.w3.org/XML/1998/namespace}lang", ""))[:32] or "en-US"


def _compressed(root: ElementTree.Element) -> bool:
    """Whether the client wants streams compressed; there is one algorithm [MS-WSMV 3.2.4.1.19]."""
    algorithm = _text(root.find(f"{{{SOAP}}}Header/{{{SHELL}}}CompressionType"))
    if algorithm.lower() not in ("", "xpress"):
        raise Fault(2150858881, "w:UnsupportedFeature", f"There is no compression {algorithm!r}.")
    return bool(algorithm)


def _parse_disconnect(root: ElementTree.Element) -> Disconnect:
    body = _child(root, "Disconnect")
    return Disconnect(idle_timeout=_idle_timeout(body), buffer_mode=_buffer_mode(body))


def _parse_reconnect(root: ElementTree.Element) -> Reconnect:
    body = root.find(f"{{{SOAP}}}Body/{{{SHELL}}}Reconnect")  # a client that comes back to its shell may have nothing to say
    return Reconnect(command_id="" if body is None else _attribute(body, "CommandId").upper())


def _parse_connect(root: ElementTree.Element) -> Connect:
    body = _child(root, "Connect")
    command_id = _attribute(body, "CommandId").upper()
    content = body.find(f"{{{POWERSHELL}}}connectXml")
    if content is None and not command_id:
        raise _invalid_body("Who connects to a PowerShell shell needs a connectXml.")
    return Connect(command_id=command_id, fragments=b"" if content is None else _base64(_text(content)))


def _parse_get_shell(_: ElementTree.Element) -> GetShell:
    return GetShell()


def _enumerate(root: ElementTree.Element) -> ElementTree.Element:
    element = root.find(f"{{{SOAP}}}Body/{{{ENUMERATION}}}Enumerate")
    if element is None:
        raise _invalid_body("The body has no Enumerate.")
    return element


def _at_once(element: ElementTree.Element) -> bool:
    return element.find(f"{{{WSMAN}}}OptimizeEnumeration") is not None


def _parse_enumerate_shells(root: ElementTree.Element) -> EnumerateShells:
    return EnumerateShells(of=None, at_once=_at_once(_enumerate(root)))


def _parse_enumerate_commands(root: ElementTree.Element) -> EnumerateShells:
    element = _enumerate(root)
    for selector in element.findall(f"{{{WSMAN}}}Filter/{{{WSMAN}}}SelectorSet/{{{WSMAN}}}Selector"):
        if selector.get("Name", "").lower() == "shellid" and _text(selector):
            return EnumerateShells(of=_text(selector).upper(), at_once=_at_once(element))
    raise filter_expected()


def _parse_enumerate_listeners(root: ElementTree.Element) -> EnumerateListeners:
    return EnumerateListeners(at_once=_at_once(_enumerate(root)))


def _context(root: ElementTree.Element, name: str) -> str:
    return _text(root.find(f"{{{SOAP}}}Body/{{{ENUMERATION}}}{name}/{{{ENUMERATION}}}EnumerationContext"))


def _parse_pull(root: ElementTree.Element) -> Pull:
    return Pull(context=_context(root, "Pull"))


def _parse_release(root: ElementTree.Element) -> Release:
    return Release(context=_context(root, "Release"))


def _parse_config(part: str) -> Callable[[ElementTree.Element], GetConfig]:
    return lambda _: GetConfig(part=part)


def _parse_command(root: ElementTree.Element) -> Command:
    line = _child(root, "CommandLine")
    return Command(
        command_id=_identifier(_attribute(line, "CommandId")),
        fragment=_base64("".join(_text(argument) for argument in line.findall(f"{{{SHELL}}}Arguments"))),
    )


def _parse_run_line(root: ElementTree.Element) -> RunLine:
    line = _child(root, "CommandLine")
    words = [line.find(f"{{{SHELL}}}Command"), *line.findall(f"{{{SHELL}}}Arguments")]
    return RunLine(
        command_id=_identifier(_attribute(line, "CommandId")),
        line=" ".join(word.text or "" for word in words if word is not None).strip(),
        skip_shell=_is_true(_options(root).get("WINRS_SKIP_CMD_SHELL", "")),
    )


def _parse_send(root: ElementTree.Element) -> Send:
    # Several elements may carry pieces of what is one stream [MS-PSRP 3.1.5.1.1].
    streams = _child(root, "Send").findall(f"{{{SHELL}}}Stream")
    if not streams or len({(_attribute(one, "Name"), _attribute(one, "CommandId").upper()) for one in streams}) > 1:
        raise _invalid_body("A Send needs a stream, and no more than one.")
    stream = streams[-1]
    if _attribute(stream, "Name") not in ("stdin", "pr"):
        raise Fault(2150859147, "w:InvalidParameter", f"There is no input stream {stream.get('Name')!r}.")
    return Send(
        command_id=_attribute(stream, "CommandId").upper(),
        data=b"".join(_base64(_text(one)) for one in streams),
        end=_is_true(_attribute(stream, "End")),
        stream=_attribute(stream, "Name"),
    )


def _parse_receive(root: ElementTree.Element) -> Receive:
    return _receive(root, ("stdout",))


def _parse_receive_of_line(root: ElementTree.Element) -> Receive:
    return _receive(root, ("stdout", "stderr"))


def _receive(root: ElementTree.Element, known: tuple[str, ...]) -> Receive:
    stream = _child(root, "Receive").find(f"{{{SHELL}}}DesiredStream")
    wanted = tuple(_text(stream).split())
    if stream is None or not wanted or not set(wanted) <= set(known):
        raise Fault(2150859149, "w:InvalidParameter", f"The output streams are {' and '.join(known)}.")
    return Receive(command_id=_attribute(stream, "CommandId").upper(), streams=wanted)


def _parse_signal(root: ElementTree.Element) -> Signal:
    signal = _child(root, "Signal")
    return Signal(command_id=_attribute(signal, "CommandId").upper(), code=_text(signal.find(f"{{{SHELL}}}Code")).lower())


def _parse_delete(_: ElementTree.Element) -> Delete:
    return Delete()


_Parser = Callable[[ElementTree.Element], Operation]
_COMMON: dict[str, _Parser] = {
    f"{SHELL}/Send": _parse_send,
    f"{SHELL}/Signal": _parse_signal,
    f"{SHELL}/Disconnect": _parse_disconnect,
    f"{SHELL}/Reconnect": _parse_reconnect,
    f"{SHELL}/Connect": _parse_connect,
    f"{TRANSFER}/Delete": _parse_delete,
    f"{TRANSFER}/Get": _parse_get_shell,
}
_PULLED: dict[str, _Parser] = {f"{ENUMERATION}/Pull": _parse_pull, f"{ENUMERATION}/Release": _parse_release}
CONFIG_PARTS: Final = ("client", "client/auth", "service", "service/auth", "winrs")
"""Parts of the settings that can be asked for alone, below the settings' URI."""
_OPERATIONS: Final[dict[str, dict[str, _Parser]]] = {
    POWERSHELL_URI: {
        f"{TRANSFER}/Create": _parse_create,
        f"{SHELL}/Command": _parse_command,
        f"{SHELL}/Receive": _parse_receive,
        **_COMMON,
    },
    COMMAND_SHELL_URI: {
        f"{TRANSFER}/Create": _parse_create_command_shell,
        f"{SHELL}/Command": _parse_run_line,
        f"{SHELL}/Receive": _parse_receive_of_line,
        **_COMMON,
    },
    SHELL_URI: {
        f"{TRANSFER}/Get": _parse_get_shell,
        f"{TRANSFER}/Delete": _parse_delete,
        f"{ENUMERATION}/Enumerate": _parse_enumerate_shells,
        **_PULLED,
    },
    COMMANDS_URI: {f"{ENUMERATION}/Enumerate": _parse_enumerate_commands, **_PULLED},
    CONFIG_URI: {f"{TRANSFER}/Get": _parse_config("")},
    f"{CONFIG_URI}/listener": {f"{ENUMERATION}/Enumerate": _parse_enumerate_listeners, **_PULLED},
    **{f"{CONFIG_URI}/{part}": {f"{TRANSFER}/Get": _parse_config(part)} for part in CONFIG_PARTS},
}
_RESOURCES: Final = {uri.lower(): uri for uri in _OPERATIONS}  # Windows compares them without regard to case
_ACTIONS: Final = frozenset(action for actions in _OPERATIONS.values() for action in actions)
_WITHOUT_SHELL: Final = (NewShell, EnumerateShells, EnumerateListeners, Pull, Release, GetConfig)
