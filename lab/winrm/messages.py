"""The messages of PSRP [MS-PSRP 2.2.2]: a client's CLIXML to what it asks for, the server's answers to CLIXML.

Pure. Knows no fragments, no pool's state and no sockets. What the machine does not tell goes as PowerShell writes it where it has nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from lab.machine import (
    AskCredential,
    Choice,
    Command,
    CommandMetadata,
    ErrorRecord,
    Form,
    Parameter,
    Progress,
    PSObject,
    PSValue,
    Question,
    ReadLine,
    ReadSecret,
    SecureString,
    StreamName,
)
from lab.winrm.clixml import HASHTABLE_TYPES, Cipher, Malformed, Writer, escape

PROTOCOL_VERSION: Final = "2.3"
_VERSION_WITH_INFORMATION: Final = (2, 3)


class Kind(IntEnum):
    """Types of messages [MS-PSRP 2.2.1]."""

    SESSION_CAPABILITY = 0x00010002
    INIT_RUNSPACEPOOL = 0x00010004
    PUBLIC_KEY = 0x00010005
    ENCRYPTED_SESSION_KEY = 0x00010006
    PUBLIC_KEY_REQUEST = 0x00010007
    CONNECT_RUNSPACEPOOL = 0x00010008
    SET_MAX_RUNSPACES = 0x00021002
    SET_MIN_RUNSPACES = 0x00021003
    RUNSPACE_AVAILABILITY = 0x00021004
    RUNSPACEPOOL_STATE = 0x00021005
    CREATE_PIPELINE = 0x00021006
    GET_AVAILABLE_RUNSPACES = 0x00021007
    APPLICATION_PRIVATE_DATA = 0x00021009
    GET_COMMAND_METADATA = 0x0002100A
    RUNSPACEPOOL_INIT_DATA = 0x0002100B
    RESET_RUNSPACE_STATE = 0x0002100C
    RUNSPACEPOOL_HOST_RESPONSE = 0x00021101
    PIPELINE_INPUT = 0x00041002
    END_OF_PIPELINE_INPUT = 0x00041003
    PIPELINE_OUTPUT = 0x00041004
    ERROR_RECORD = 0x00041005
    PIPELINE_STATE = 0x00041006
    DEBUG_RECORD = 0x00041007
    VERBOSE_RECORD = 0x00041008
    WARNING_RECORD = 0x00041009
    PROGRESS_RECORD = 0x00041010
    INFORMATION_RECORD = 0x00041011
    PIPELINE_HOST_CALL = 0x00041100
    PIPELINE_HOST_RESPONSE = 0x00041101


class PoolState(IntEnum):
    """[MS-PSRP 2.2.3.4]."""

    OPENED = 2
    CLOSED = 3


class PipelineState(IntEnum):
    """[MS-PSRP 2.2.3.5]."""

    STOPPED = 3
    COMPLETED = 4
    FAILED = 5


class HostMethod(IntEnum):
    """What a client's host can do, as far as it is asked to here [MS-PSRP 2.2.3.17]."""

    READ_LINE = 11
    READ_LINE_AS_SECURE_STRING = 12
    WRITE = 13
    WRITE_LINE = 16
    WRITE_ERROR_LINE = 18
    PROMPT = 23
    PROMPT_FOR_CREDENTIAL = 24
    PROMPT_FOR_CHOICE = 26


_METHOD_NAMES: Final = {
    HostMethod.READ_LINE: "ReadLine",
    HostMethod.READ_LINE_AS_SECURE_STRING: "ReadLineAsSecureString",
    HostMethod.WRITE: "Write1",
    HostMethod.WRITE_LINE: "WriteLine2",
    HostMethod.WRITE_ERROR_LINE: "WriteErrorLine",
    HostMethod.PROMPT: "Prompt",
    HostMethod.PROMPT_FOR_CREDENTIAL: "PromptForCredential1",
    HostMethod.PROMPT_FOR_CHOICE: "PromptForChoice",
}
VOID_CALL: Final = -100
"""The call id of a host method that nobody answers [MS-PSRP 2.2.2.27]."""


# --- from the client ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """SESSION_CAPABILITY: the protocol's version that a client speaks."""

    protocol: tuple[int, ...]

    @property
    def takes_information(self) -> bool:
        """Whether it knows the information stream."""
        return self.protocol >= _VERSION_WITH_INFORMATION


@dataclass(frozen=True, slots=True, kw_only=True)
class InitPool:
    """INIT_RUNSPACEPOOL. `has_host`: the client brought one for the pool."""

    min_runspaces: int
    max_runspaces: int
    has_host: bool
    arguments: Mapping[str, PSValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePipeline:
    """CREATE_PIPELINE. `has_host` None: the pool's goes for it, too."""

    commands: tuple[Command, ...]
    has_input: bool
    add_to_history: bool
    has_host: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetMetadata:
    """GET_COMMAND_METADATA: name patterns, the kinds asked for, patterns of namespaces (none: any)."""

    names: tuple[str, ...]
    kinds: int
    namespaces: tuple[str, ...]

    def wants(self, found: CommandMetadata) -> bool:
        """Whether a command that has one of the names is of a kind and a namespace that were asked for."""
        if not found.command_type & self.kinds:
            return False
        return not self.namespaces or any(fnmatchcase(found.namespace.lower(), pattern.lower()) for pattern in self.namespaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCall:
    """A question about a pool that has a number, by which its answer is told: SET_MIN/MAX, GET_AVAILABLE, RESET. `count`: to be set."""

    call_id: int
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAnswer:
    """A host's answer to a call: the value, or what went wrong."""

    call_id: int
    value: PSValue
    failure: str


_T = TypeVar("_T")


class _Members:
    """The properties of a message's object by name, whatever their case: clients differ in it. Raises `Malformed` for what is amiss."""

    def __init__(self, value: PSValue) -> None:
        if not isinstance(value, PSObject):
            raise Malformed("not an object")
        self._found = {name.lower(): one for name, one in value.properties.items()}

    def get(self, name: str) -> PSValue:
        return self._found.get(name)

    def one(self, name: str, kind: type[_T], default: _T | None = None) -> _T:
        value = self._found.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise Malformed(f"{name} is not what it should be")
        return value


def capability(value: PSValue) -> Capability:
    """SESSION_CAPABILITY [MS-PSRP 2.2.2.1]. Raises `Malformed`, also for a version that is not 2."""
    text = _Members(value).one("protocolversion", str)
    parts = text.split(".")
    if not 2 <= len(parts) <= 4 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts) or int(parts[0]) != 2:
        raise Malformed("a version of the protocol that is not 2")
    return Capability(protocol=tuple(int(part) for part in parts))


def init_pool(value: PSValue) -> InitPool:
    """INIT_RUNSPACEPOOL [MS-PSRP 2.2.2.2]. Raises `Malformed`."""
    members = _Members(value)
    low, high = members.one("minrunspaces", int), members.one("maxrunspaces", int)
    if not 1 <= low <= high:
        raise Malformed("a pool of no size")
    info = members.get("hostinfo")
    arguments = members.get("applicationarguments")
    return InitPool(
        min_runspaces=low,
        max_runspaces=high,
        has_host=info is not None and not _Members(info).one("_ishostnull", bool, True),  # a pool's host is no other's
        arguments=arguments if isinstance(arguments, dict) else {},
    )


def _has_host(info: PSValue) -> bool | None:
    """Whether a HostInfo [MS-PSRP 2.2.3.14] speaks of a host; None where it refers to the pool's."""
    if info is None:
        return False
    members = _Members(info)
    if members.one("_userunspacehost", bool, False):
        return None
    return not members.one("_ishostnull", bool, True)


def create_pipeline(value: PSValue) -> CreatePipeline:
    """CREATE_PIPELINE [MS-PSRP 2.2.2.10]. Raises `Malformed`."""
    members = _Members(value)
    pipeline = _Members(members.get("powershell"))
    # Several statements come one by one in ExtraCmds, the first of them in Cmds as well.
    statements = pipeline.get("extracmds")
    rows = [_Members(one).get("cmds") for one in statements] if isinstance(statements, list) and statements else [pipeline.get("cmds")]
    commands: list[Command] = []
    for row in rows:
        if not isinstance(row, list) or not row:
            raise Malformed("a pipeline of no commands")
        commands += [_command(one, last=position == len(row) - 1) for position, one in enumerate(row)]
    return CreatePipeline(
        commands=tuple(commands),
        has_input=not members.one("noinput", bool, True),
        add_to_history=members.one("addtohistory", bool, False),
        has_host=_has_host(members.get("hostinfo")),
    )


_OUTPUT: Final = 1
_ERROR: Final = 2


def _command(value: PSValue, *, last: bool) -> Command:
    """[MS-PSRP 2.2.3.12]."""
    members = _Members(value)
    arguments = members.get("args")
    local = members.get("uselocalscope")
    # A client of protocol 2.2 or newer says MergeError, an older one MergeMyResult and MergeToResult.
    merges = members.get("mergeerror") == _OUTPUT or (members.get("mergemyresult") == _ERROR and members.get("mergetoresult") == _OUTPUT)
    return Command(
        text=members.one("cmd", str),
        is_script=members.one("isscript", bool, False),
        parameters=tuple([_parameter(one) for one in arguments]) if isinstance(arguments, list) else (),
        use_local_scope=local if isinstance(local, bool) else None,
        end_of_statement=last,
        merge_to_output=merges,
    )


def _parameter(value: PSValue) -> Parameter:
    members = _Members(value)
    name = members.get("n")
    return Parameter(name=name if isinstance(name, str) else None, value=members.get("v"))


def get_metadata(value: PSValue) -> GetMetadata:
    """GET_COMMAND_METADATA [MS-PSRP 2.2.2.14]. Raises `Malformed`."""
    members = _Members(value)
    kinds = members.get("commandtype")
    return GetMetadata(
        names=_texts(members.get("name")) or ("*",),
        kinds=kinds if isinstance(kinds, int) else 0x1FF,
        namespaces=_texts(members.get("namespace")),
    )


def _texts(value: PSValue) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def pool_call(value: PSValue) -> PoolCall:
    """SET_MIN_RUNSPACES, SET_MAX_RUNSPACES, GET_AVAILABLE_RUNSPACES, RESET_RUNSPACE_STATE. Raises `Malformed`."""
    members = _Members(value)
    return PoolCall(call_id=members.one("ci", int), count=members.one("maxrunspaces", int, 0) or members.one("minrunspaces", int, 0))


def public_key(value: PSValue) -> str:
    """PUBLIC_KEY [MS-PSRP 2.2.2.3]. Raises `Malformed`."""
    return _Members(value).one("publickey", str)


def host_answer(value: PSValue) -> HostAnswer:
    """PIPELINE_HOST_RESPONSE [MS-PSRP 2.2.2.28]. Raises `Malformed`."""
    members = _Members(value)
    failure = members.get("me")
    text = "" if failure is None else _failure_text(failure)
    return HostAnswer(call_id=members.one("ci", int), value=members.get("mr"), failure=text)


def _failure_text(value: PSValue) -> str:
    """What an ErrorRecord of a client's host says."""
    if isinstance(value, PSObject):
        exception = value.properties.get("Exception")
        message = exception.properties.get("Message") if isinstance(exception, PSObject) else None
        return message if isinstance(message, str) and message else value.text or "The host failed."
    return "The host failed."


# --- to the client --------------------------------------------------------------------------------------------------------


def _message(members: str) -> str:
    return f'<Obj RefId="0"><MS>{members}</MS></Obj>'


SESSION_CAPABILITY: Final = _message(
    f'<Version N="protocolversion">{PROTOCOL_VERSION}</Version><Version N="PSVersion">2.0</Version>'
    '<Version N="SerializationVersion">1.1.0.1</Version>'
)


def private_data(versions: Mapping[str, str]) -> str:
    """APPLICATION_PRIVATE_DATA [MS-PSRP 2.2.2.13]: the version table of the machine, as far as text says it, and the protocol's own."""
    entries = "".join(f'<En><S N="Key">{escape(name)}</S>{text}</En>' for name, text in versions.items())
    return _message(
        '<Obj N="ApplicationPrivateData" RefId="1"><TN RefId="0"><T>System.Management.Automation.PSPrimitiveDictionary</T>'
        '<T>System.Collections.Hashtable</T><T>System.Object</T></TN><DCT><En><S N="Key">PSVersionTable</S><Obj N="Value" RefId="2">'
        f'<TNRef RefId="0" /><DCT>{entries}</DCT></Obj></En></DCT></Obj>'
    )


def pool_state(state: PoolState) -> str:
    """RUNSPACEPOOL_STATE [MS-PSRP 2.2.2.9]."""
    return _message(f'<I32 N="RunspaceState">{state.value}</I32>')


def pool_size(low: int, high: int) -> str:
    """RUNSPACEPOOL_INIT_DATA [MS-PSRP 2.2.2.30]."""
    return _message(f'<I32 N="MinRunspaces">{low}</I32><I32 N="MaxRunspaces">{high}</I32>')


def availability(call_id: int, answer: bool | int) -> str:
    """RUNSPACE_AVAILABILITY [MS-PSRP 2.2.2.8]: whether it was done, or how many there are."""
    said = f'<B N="SetMinMaxRunspacesResponse">{str(answer).lower()}</B>'
    if not isinstance(answer, bool):
        said = f'<I64 N="SetMinMaxRunspacesResponse">{answer}</I64>'
    return _message(f'{said}<I64 N="ci">{call_id}</I64>')


PUBLIC_KEY_REQUEST: Final = "<S></S>"


def session_key(wrapped: str) -> str:
    """ENCRYPTED_SESSION_KEY [MS-PSRP 2.2.2.4]."""
    return _message(f'<S N="EncryptedSessionKey">{wrapped}</S>')


STOPPED: Final = ErrorRecord(
    message="The pipeline has been stopped.",
    exception_type="System.Management.Automation.PipelineStoppedException",
    error_id="PipelineStopped",
    category="OperationStopped",
)
"""What PowerShell says of a pipeline that was stopped."""


def pipeline_state(state: PipelineState, record: ErrorRecord | None, close_secret: Cipher) -> str:
    """PIPELINE_STATE [MS-PSRP 2.2.2.21]; the record is what ended it."""
    if record is None:
        return _message(f'<I32 N="PipelineState">{state.value}</I32>')
    writer = Writer(close_secret)
    writer.begin()
    writer.raw(f'<MS><I32 N="PipelineState">{state.value}</I32>')
    _write_error(writer, record, "ExceptionAsErrorRecord")
    writer.raw("</MS>")
    writer.end()
    return writer.text


_CATEGORY_NAMES: Final = """
    NotSpecified OpenError CloseError DeviceError DeadlockDetected InvalidArgument InvalidData InvalidOperation InvalidResult InvalidType
    MetadataError NotImplemented NotInstalled ObjectNotFound OperationStopped OperationTimeout SyntaxError ParserError PermissionDenied
    ResourceBusy ResourceExists ResourceUnavailable ReadError WriteError FromStdErr SecurityError ProtocolError ConnectionError
    AuthenticationError LimitsExceeded QuotaExceeded NotEnabled
"""
_CATEGORIES: Final = {name: number for number, name in enumerate(_CATEGORY_NAMES.split())}
_RUNTIME_EXCEPTION: Final = -2146233087  # COR_E_SYSTEM (0x80131501), the HResult of RuntimeException and what derives from it


_NOTHING_MORE: Final = "".join(
    f'<Nil N="{name}" />' for name in ("Data", "HelpLink", "InnerException", "Source", "StackTrace", "TargetSite")
)


def error_record(record: ErrorRecord, close_secret: Cipher) -> str:
    """ERROR_RECORD [MS-PSRP 2.2.2.20]."""
    writer = Writer(close_secret)
    _write_error(writer, record, "")
    return writer.text


def _write_error(writer: Writer, record: ErrorRecord, name: str) -> None:
    """[MS-PSRP 2.2.3.15]. An unknown category becomes NotSpecified, as .NET's own parser has it."""
    category = record.category if record.category in _CATEGORIES else "NotSpecified"
    reason = record.reason or record.exception_type.rpartition(".")[2]
    target_type = "String" if record.target else ""
    shown = f"{category} ({record.target}:{target_type}) [{record.activity}], {reason}"
    writer.begin(("System.Management.Automation.ErrorRecord", "System.Object"), record.message, name)
    writer.raw("<MS>")
    writer.begin(tuple(dict.fromkeys([record.exception_type, "System.Exception", "System.Object"])), name="Exception")
    writer.raw("<Props>")
    writer.value(record.message, "Message")
    writer.value(_RUNTIME_EXCEPTION, "HResult")
    writer.raw(_NOTHING_MORE)
    writer.raw("</Props>")
    writer.end()
    writer.value(record.target or None, "TargetObject")
    writer.value(record.error_id, "FullyQualifiedErrorId")
    if not record.position:
        writer.value(None, "InvocationInfo")
    else:
        writer.begin(("System.Management.Automation.InvocationInfo", "System.Object"), name="InvocationInfo")
        writer.raw("<Props>")
        _write_invocation(writer, record, "")
        writer.raw("</Props>")
        writer.end()
    writer.value(_CATEGORIES[category], "ErrorCategory_Category")
    writer.value(record.activity, "ErrorCategory_Activity")
    writer.value(reason, "ErrorCategory_Reason")
    writer.value(record.target, "ErrorCategory_TargetName")
    writer.value(target_type, "ErrorCategory_TargetType")
    writer.value(shown, "ErrorCategory_Message")
    writer.value(bool(record.position), "SerializeExtendedInfo")
    if record.position:
        _write_invocation(writer, record, "InvocationInfo_")
        writer.value([], "InvocationInfo_PipelineIterationInfo")
        writer.value(False, "SerializeExtent")
    writer.raw("</MS>")
    writer.end()


def _write_invocation(writer: Writer, record: ErrorRecord, prefix: str) -> None:
    """Where it happened [MS-PSRP 2.2.3.15.1]."""
    for name, value in (
        ("BoundParameters", {}),
        ("UnboundArguments", []),
        ("DisplayScriptPosition", None),
        ("ExpectingInput", False),
        ("InvocationName", record.activity),
        ("Line", None),
        ("MyCommand", None),
        ("OffsetInLine", 0),
        ("PipelineLength", 0),
        ("PipelinePosition", 0),
        ("PositionMessage", record.position),
        ("PSCommandPath", None),
        ("PSScriptRoot", None),
        ("ScriptLineNumber", 0),
        ("ScriptName", None),
    ):
        writer.value(value, prefix + name)
    writer.raw(f'<I64 N="{prefix}HistoryId">1</I64>')
    writer.enum("System.Management.Automation.CommandOrigin", "Internal", 1, prefix + "CommandOrigin")


_STREAMS: Final = {
    StreamName.WARNING: (Kind.WARNING_RECORD, "Warning"),
    StreamName.VERBOSE: (Kind.VERBOSE_RECORD, "Verbose"),
    StreamName.DEBUG: (Kind.DEBUG_RECORD, "Debug"),
}


def stream_record(stream: StreamName, text: str, now: datetime) -> tuple[Kind, str]:
    """A record of a stream that carries text [MS-PSRP 2.2.2.22 to 2.2.2.26]."""
    if stream is StreamName.INFORMATION:
        return Kind.INFORMATION_RECORD, _information(text, now)
    kind, name = _STREAMS[stream]
    return kind, (
        f'<Obj RefId="0"><TN RefId="0"><T>System.Management.Automation.{name}Record</T>'
        "<T>System.Management.Automation.InformationalRecord</T><T>System.Object</T></TN>"
        f"<ToString>{escape(text)}</ToString>"
        f'<MS><S N="InformationalRecord_Message">{escape(text)}</S><B N="InformationalRecord_SerializeInvocationInfo">false</B></MS></Obj>'
    )


def _information(text: str, now: datetime) -> str:
    """It names nobody: nothing here tells who runs the pipeline, and the lab's own machine is nobody's business."""
    return (
        '<Obj RefId="0"><TN RefId="0"><T>System.Management.Automation.InformationRecord</T><T>System.Object</T></TN>'
        f'<ToString>{escape(text)}</ToString><MS><S N="MessageData">{escape(text)}</S><S N="Source" />'
        f'<DT N="TimeGenerated">{now.isoformat()}</DT><Obj N="Tags" RefId="1"><TN RefId="1">'
        "<T>System.Collections.Generic.List`1[[System.String, mscorlib]]</T><T>System.Object</T></TN><LST /></Obj>"
        '<S N="User" /><S N="Computer" /><U32 N="ProcessId">0</U32><U32 N="NativeThreadId">0</U32><U32 N="ManagedThreadId">0</U32>'
        "</MS></Obj>"
    )


def progress_record(record: Progress) -> str:
    """PROGRESS_RECORD [MS-PSRP 2.2.2.25]."""
    writer = Writer(_no_secret)
    writer.begin()
    writer.raw("<MS>")
    for name, value in (
        ("Activity", record.activity),
        ("ActivityId", record.activity_id),
        ("StatusDescription", record.status),
        ("CurrentOperation", record.operation or None),
        ("ParentActivityId", record.parent_id),
        ("PercentComplete", record.percent),
    ):
        writer.value(value, name)
    writer.enum("System.Management.Automation.ProgressRecordType", "Completed" if record.done else "Processing", int(record.done), "Type")
    writer.value(record.seconds_left, "SecondsRemaining")
    writer.raw("</MS>")
    writer.end()
    return writer.text


def host_call(call_id: int, method: HostMethod, write_arguments: Callable[[Writer], None]) -> str:
    """PIPELINE_HOST_CALL [MS-PSRP 2.2.2.27]."""
    writer = Writer(_no_secret)
    writer.begin()
    writer.raw(f'<MS><I64 N="ci">{call_id}</I64>')
    writer.enum("System.Management.Automation.Remoting.RemoteHostMethodId", _METHOD_NAMES[method], method.value, "mi")
    writer.begin(("System.Collections.ArrayList", "System.Object"), name="mp")
    writer.raw("<LST>")
    write_arguments(writer)
    writer.raw("</LST>")
    writer.end()
    writer.raw("</MS>")
    writer.end()
    return writer.text


def text_call(method: HostMethod, text: str) -> str:
    """A call of a host method that takes a text and says nothing."""
    return (
        f'<Obj RefId="0"><MS><I64 N="ci">{VOID_CALL}</I64><Obj N="mi" RefId="1"><TN RefId="0">'
        "<T>System.Management.Automation.Remoting.RemoteHostMethodId</T><T>System.Enum</T><T>System.ValueType</T><T>System.Object</T></TN>"
        f'<ToString>{_METHOD_NAMES[method]}</ToString><I32>{method.value}</I32></Obj><Obj N="mp" RefId="2"><TN RefId="1">'
        f"<T>System.Collections.ArrayList</T><T>System.Object</T></TN><LST><S>{escape(text)}</S></LST></Obj></MS></Obj>"
    )


def question_call(call_id: int, question: Question) -> str:
    """The call by which a client's host is asked a question; objects are encoded by their fields [MS-PSRP 2.2.6.1.5]."""
    match question:
        case ReadLine():
            return host_call(call_id, HostMethod.READ_LINE, lambda _: None)
        case ReadSecret():
            return host_call(call_id, HostMethod.READ_LINE_AS_SECURE_STRING, lambda _: None)
        case Choice():
            return host_call(call_id, HostMethod.PROMPT_FOR_CHOICE, lambda writer: _write_choice(writer, question))
        case Form():
            return host_call(call_id, HostMethod.PROMPT, lambda writer: _write_form(writer, question))
        case AskCredential():
            words = (question.caption, question.message, question.user, question.target)
            return host_call(call_id, HostMethod.PROMPT_FOR_CREDENTIAL, lambda writer: _write_all(writer, words))


def _write_all(writer: Writer, values: Sequence[PSValue]) -> None:
    for value in values:
        writer.value(value)


def _write_choice(writer: Writer, question: Choice) -> None:
    _write_all(writer, (question.caption, question.message))
    _write_objects(writer, [{"label": label, "helpMessage": text} for label, text in question.choices])
    writer.value(question.default)


def _write_form(writer: Writer, question: Form) -> None:
    _write_all(writer, (question.caption, question.message))
    _write_objects(
        writer,
        [
            {
                "name": field.name,
                "label": field.label,
                "helpMessage": field.help,
                "isMandatory": field.mandatory,
                "parameterTypeName": field.type_name.rpartition(".")[2],
                "parameterTypeFullName": field.type_name,
                "parameterAssemblyFullName": "mscorlib, Version=4.0.0.0, Culture=neutral, PublicKeyToken=b77a5c561934e089",
                "metadata": [],
                "modifiedByRemotingProtocol": False,
                "isFromRemoteHost": False,
            }
            for field in question.fields
        ],
    )


def _write_objects(writer: Writer, rows: Sequence[Mapping[str, PSValue]]) -> None:
    writer.begin(("System.Collections.ArrayList", "System.Object"))
    writer.raw("<LST>")
    for row in rows:
        writer.begin()
        writer.members("MS", row)
        writer.end()
    writer.raw("</LST>")
    writer.end()


def is_answer(question: Question, value: PSValue) -> bool:
    """Whether a host's answer is one to this question. A user who cancels answers with nothing."""
    match question:
        case ReadLine():
            return value is None or isinstance(value, str)
        case ReadSecret():
            return value is None or isinstance(value, SecureString)
        case Choice():
            return isinstance(value, int)
        case Form():
            return isinstance(value, dict)
        case AskCredential():
            return value is None or (isinstance(value, PSObject) and isinstance(value.properties.get("Password"), SecureString))


def _no_secret(_: str) -> str:
    raise AssertionError("no secure string goes by this message")


# --- answers to GET_COMMAND_METADATA --------------------------------------------------------------------------------------


def metadata_count(count: int) -> str:
    """What goes ahead of the answers to GET_COMMAND_METADATA [MS-PSRP 2.2.3.21]."""
    return (
        '<Obj RefId="0"><TN RefId="0"><T>Selected.Microsoft.PowerShell.Commands.GenericMeasureInfo</T><T>System.Management.Automation.'
        f'PSCustomObject</T><T>System.Object</T></TN><MS><I32 N="Count">{count}</I32></MS></Obj>'
    )


_COMMON_PARAMETERS: Final = (
    "Verbose",
    "Debug",
    "ErrorAction",
    "WarningAction",
    "InformationAction",
    "ErrorVariable",
    "WarningVariable",
    "InformationVariable",
    "OutVariable",
    "OutBuffer",
    "PipelineVariable",
)
_COMMAND_TYPES: Final = {1: "Alias", 2: "Function", 4: "Filter", 8: "Cmdlet", 16: "ExternalScript", 32: "Application", 64: "Script"}
_SWITCHES: Final = frozenset({"Verbose", "Debug"})


def command_metadata(metadata: CommandMetadata) -> str:
    """One answer to GET_COMMAND_METADATA [MS-PSRP 2.2.3.22]."""
    common = _COMMON_PARAMETERS if metadata.has_common_parameters else ()
    writer = Writer(_no_secret)
    writer.begin(("Selected.System.Management.Automation.CmdletInfo", "System.Management.Automation.PSCustomObject", "System.Object"))
    writer.raw("<MS>")
    for name, text in (("Name", metadata.name), ("Namespace", metadata.namespace), ("HelpUri", "")):
        writer.value(text, name)
    writer.enum(
        "System.Management.Automation.CommandTypes", _COMMAND_TYPES.get(metadata.command_type, "All"), metadata.command_type, "CommandType"
    )
    writer.value(None, "ResolvedCommandName")
    writer.value(list(metadata.output_types), "OutputType")
    writer.begin(HASHTABLE_TYPES, name="Parameters")
    writer.raw("<DCT>")
    for name in dict.fromkeys((*metadata.parameters, *common)):
        writer.raw(f'<En><S N="Key">{escape(name)}</S>')
        _write_parameter(writer, name)
        writer.raw("</En>")
    writer.raw("</DCT>")
    writer.end()
    writer.raw("</MS>")
    writer.end()
    return writer.text


def _write_parameter(writer: Writer, name: str) -> None:
    """[MS-PSRP 2.2.3.23]."""
    switch = name in _SWITCHES
    writer.begin(("System.Management.Automation.ParameterMetadata", "System.Object"), name="Value")
    writer.members(
        "Props",
        {
            "Name": name,
            "ParameterType": "System.Management.Automation.SwitchParameter" if switch else "System.Object",
            "Aliases": [],
            "IsDynamic": False,
            "SwitchParameter": switch,
        },
    )
    writer.end()
