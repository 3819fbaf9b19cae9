"""What the service answers: results and faults to SOAP envelopes [MS-WSMV 3.1.4]. Pure: values in, text out."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from uuid import uuid4
from xml.sax.saxutils import escape, quoteattr

from lab.winrm.faults import Fault
from lab.winrm.namespaces import ADDRESSING, ENUMERATION, MS_WSMAN, POWERSHELL, SHELL, SOAP, TRANSFER, WSMAN, WSMAN_FAULT
from lab.winrm.wsman import BufferMode, Disconnect, Operation, Receive, Reconnect, Request, Send, Signal


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
    """Nothing but an acknowledgement: the answer to Send, Signal, Delete, Disconnect, Reconnect and Release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A shell or command was taken over; `fragments` is what its new client is told at once."""

    fragments: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellState:
    """What is known of a shell. Times in seconds."""

    created: Created
    resource: str
    name: str
    locale: str
    data_locale: str
    buffer_mode: BufferMode
    compressed: bool
    is_connected: bool
    age: float
    idle_for: float
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandState:
    """What is known of a command."""

    shell_id: str
    command_id: str
    ended: bool


Item = ShellState | CommandState | str
"""Something in a list; a text is XML already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Items of a list, and the context to ask for more with, "" where this is all. `pulled`: the answer to a Pull."""

    items: tuple[Item, ...]
    context: str = ""
    pulled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Something to look at, as XML."""

    content: str


Result = Created | Started | Received | Done | Connected | ShellState | Listed | Shown


def respond(request: Request, result: Result) -> bytes:
    """The envelope that answers `request` with `result`."""
    header = request.header
    return _envelope(header.action + "Response", header.message_id, _body(request, result), header.operation_id)


def respond_fault(fault: Fault, message_id: str, machine: str) -> bytes:
    """The envelope of a fault [MS-WSMV 2.2.4.43]; `machine` is the name by which the service calls itself."""
    text = escape(fault.text)
    body = (
        f"<s:Fault><s:Code><s:Value>s:{'Sender' if fault.by_sender else 'Receiver'}</s:Value>"
        f"<s:Subcode><s:Value>{fault.subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason>'
        f'<s:Detail><f:WSManFault xmlns:f="{WSMAN_FAULT}" Code="{fault.code}" Machine={quoteattr(machine)}>'
        f"<f:Message>{text}</f:Message></f:WSManFault></s:Detail></s:Fault>"
    )
    action = f"{ADDRESSING}/fault" if fault.subcode.startswith("a:") else "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
    return _envelope(action, message_id, body)


def _envelope(action: str, relates_to: str, body: str, operation_id: str = "") -> bytes:
    related = f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>" if relates_to else ""
    if operation_id:
        related += f'<p:OperationID xmlns:p="{MS_WSMAN}" s:mustUnderstand="false">{escape(operation_id)}</p:OperationID>'
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:w="{WSMAN}" xmlns:rsp="{SHELL}" '
        f'xmlns:x="{TRANSFER}" xmlns:n="{ENUMERATION}"><s:Header><a:Action>{escape(action)}</a:Action>'
        f"<a:MessageID>uuid:{str(uuid4()).upper()}</a:MessageID><a:To>{ADDRESSING}/role/anonymous</a:To>{related}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _body(request: Request, result: Result) -> str:
    match result:
        case Created():
            return (
                f"<x:ResourceCreated><a:Address>{ADDRESSING}/role/anonymous</a:Address><a:ReferenceParameters>"
                f'<w:ResourceURI>{request.resource}</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">{result.shell_id}</w:Selector>'
                f"</w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>"
                f"{_shell(result, request.resource, '', '')}"
            )
        case Started():
            return f"<rsp:CommandResponse><rsp:CommandId>{result.command_id}</rsp:CommandId></rsp:CommandResponse>"
        case Received():
            return f"<rsp:ReceiveResponse>{_streams(request.operation, result)}</rsp:ReceiveResponse>"
        case Connected():
            content = f'<connectResponseXml xmlns="{POWERSHELL}">{b64encode(result.fragments).decode()}</connectResponseXml>'
            return f"<rsp:ConnectResponse>{content if result.fragments else ''}</rsp:ConnectResponse>"
        case ShellState():
            return _item(result)
        case Listed():
            return _list(result)
        case Shown():
            return result.content
        case Done():
            match request.operation:
                case Send():
                    return "<rsp:SendResponse/>"
                case Signal():
                    return "<rsp:SignalResponse/>"
                case Disconnect():
                    return "<rsp:DisconnectResponse/>"
                case Reconnect():
                    return "<rsp:ReconnectResponse/>"
                case _:
                    return ""


def _shell(created: Created, resource: str, before_streams: str, after: str) -> str:
    """A description of a shell [MS-WSMV 2.2.4.37]; the elements come in the schema's order."""
    return (
        f"<rsp:Shell><rsp:ShellId>{created.shell_id}</rsp:ShellId><rsp:ResourceUri>{resource}</rsp:ResourceUri>"
        f"<rsp:Owner>{escape(created.owner)}</rsp:Owner><rsp:ClientIP>{escape(created.client_ip)}</rsp:ClientIP>"
        f"<rsp:ProcessId>{created.process_id}</rsp:ProcessId>{before_streams}"
        f"<rsp:IdleTimeOut>PT{created.idle_timeout:.3f}S</rsp:IdleTimeOut>"
        f"<rsp:InputStreams>{escape(created.input_streams)}</rsp:InputStreams>"
        f"<rsp:OutputStreams>{escape(created.output_streams)}</rsp:OutputStreams>{after or _run_times(0, 0)}</rsp:Shell>"
    )


def _run_times(age: float, idle_for: float) -> str:
    return f"<rsp:ShellRunTime>{_days(age)}</rsp:ShellRunTime><rsp:ShellInactivity>{_days(idle_for)}</rsp:ShellInactivity>"


def _days(seconds: float) -> str:
    """A span as Windows writes it here: P0DT1H2M3S."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"P{days}DT{hours}H{minutes}M{left}S"


def _item(item: Item) -> str:
    match item:
        case ShellState():
            before = f"<rsp:Name>{escape(item.name)}</rsp:Name>" if item.name else ""
            after = (
                f"<rsp:MaxIdleTimeOut>PT{item.created.idle_timeout:.3f}S</rsp:MaxIdleTimeOut><rsp:Locale>{escape(item.locale)}</rsp:Locale>"
                f"<rsp:DataLocale>{escape(item.data_locale)}</rsp:DataLocale>"
                f"<rsp:CompressionMode>{'XpressCompression' if item.compressed else 'NoCompression'}</rsp:CompressionMode>"
                "<rsp:ProfileLoaded>Yes</rsp:ProfileLoaded><rsp:Encoding>UTF8</rsp:Encoding>"
                f"<rsp:BufferMode>{item.buffer_mode}</rsp:BufferMode>"
                f"<rsp:State>{'Connected' if item.is_connected else 'Disconnected'}</rsp:State>"
                f"{_run_times(item.age, item.idle_for)}<rsp:ChildProcesses>{item.processes}</rsp:ChildProcesses>"
            )
            return _shell(item.created, item.resource, before, after)
        case CommandState():
            state = "Done" if item.ended else "Running"
            return (
                f"<rsp:Command><rsp:ShellId>{item.shell_id}</rsp:ShellId><rsp:CommandId>{item.command_id}</rsp:CommandId>"
                f"<rsp:State>{SHELL}/CommandState/{state}</rsp:State><rsp:CommandLine /></rsp:Command>"
            )
        case str():
            return item


def _list(listed: Listed) -> str:
    """[WS-Enumeration 3.1, 3.2]; a list given at once has its items in WS-Management's own element [DSP0226 8.2.3]."""
    items = "".join(_item(item) for item in listed.items)
    context = f"<n:EnumerationContext>{listed.context}</n:EnumerationContext>"
    if listed.pulled:
        return f"<n:PullResponse>{context if listed.context else ''}<n:Items>{items}</n:Items><n:EndOfSequence/></n:PullResponse>"
    if listed.context:
        return f"<n:EnumerateResponse>{context}</n:EnumerateResponse>"
    return f"<n:EnumerateResponse><n:EnumerationContext/><w:Items>{items}</w:Items><w:EndOfSequence/></n:EnumerateResponse>"


def _streams(operation: Operation, result: Received) -> str:
    command = f' CommandId="{result.command_id}"' if result.command_id else ""
    text = "".join(f'<rsp:Stream Name="{name}"{command}>{b64encode(data).decode()}</rsp:Stream>' for name, data in result.pieces)
    if result.done and isinstance(operation, Receive):
        text += "".join(f'<rsp:Stream Name="{name}"{command} End="true"/>' for name in operation.streams)
    if result.command_id:
        state = "Done" if result.done else "Running"
        code = "" if result.exit_code is None else f"<rsp:ExitCode>{result.exit_code}</rsp:ExitCode>"
        text += f'<rsp:CommandState{command} State="{SHELL}/CommandState/{state}">{code}</rsp:CommandState>'
    return text
