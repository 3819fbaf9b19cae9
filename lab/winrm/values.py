"""Values of the machine to psrpcore's objects and back: what the CLIXML of a message is made from.

Pure; the only module that knows both vocabularies. It never sees a message, a pipeline or a socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import psrpcore
from psrpcore import types as ps

from lab.machine import Command, CommandMetadata, ErrorRecord, Parameter, PipelineRequest, PSObject, PSValue, SecureString

_CUSTOM_OBJECT: Final = "System.Management.Automation.PSCustomObject"
_RUNTIME_EXCEPTION: Final = -2146233087  # COR_E_SYSTEM (0x80131501), the HResult of RuntimeException and what derives from it
_INT64: Final = range(-(2**63), 2**63)


def to_wire(value: PSValue) -> Any:
    """The psrpcore object for a value. Any: psrpcore's own word for what it serialises."""
    match value:
        case None | bool():
            return value
        case int():
            if ps.PSInt.MinValue <= value <= ps.PSInt.MaxValue:
                return ps.PSInt(value)
            return ps.PSInt64(value) if value in _INT64 else ps.PSDecimal(value)
        case float():
            return ps.PSDouble(value)
        case str():
            return ps.PSString(value)
        case Decimal():
            return ps.PSDecimal(value)
        case datetime():
            return value
        case UUID():
            return ps.PSGuid(str(value))
        case bytes():
            return ps.PSByteArray(value)
        case SecureString():
            return ps.PSSecureString(value.plain)
        case list():
            return ps.PSList(to_wire(item) for item in value)
        case dict():
            return ps.PSDict({ps.PSString(key): to_wire(item) for key, item in value.items()})
        case PSObject():
            return _to_wire_object(value)


class Nil:
    """A null on the output stream. psrpcore sends its None without any content; PowerShell sends <Nil/>, and clients expect it."""

    @classmethod
    def ToPSObjectForRemoting(cls, instance: Nil, **_: object) -> None:
        """What psrpcore asks a class for when it serialises one."""


def _to_wire_object(value: PSObject) -> ps.PSObject:
    wire = ps.PSObject()
    wire.PSObject.type_names = list(dict.fromkeys([*value.type_names, "System.Object"]))  # every .NET type ends there; clients rely on it
    properties: list[ps.PSPropertyInfo] = [_note(name, item) for name, item in value.properties.items()]
    # A PSCustomObject's properties are added by PowerShell (<MS>), any other object's are its class's own (<Props>).
    if value.type_names and value.type_names[0] == _CUSTOM_OBJECT:
        wire.PSObject.extended_properties = properties
    else:
        wire.PSObject.adapted_properties = properties
    if value.text:
        wire.PSObject.to_string = value.text
    return wire


def _note(name: str, value: PSValue) -> ps.PSNoteProperty:
    return ps.PSNoteProperty(name, value=to_wire(value))


def error_record(record: ErrorRecord) -> ps.ErrorRecord:
    """The wire's ErrorRecord [MS-PSRP 2.2.3.15]. An unknown category becomes NotSpecified, as .NET's own parser has it."""
    exception = ps.NETException(Message=record.message, HResult=_RUNTIME_EXCEPTION)
    exception.PSObject.type_names = list(dict.fromkeys([record.exception_type, "System.Exception", "System.Object"]))
    wire = ps.ErrorRecord(
        Exception=exception,
        CategoryInfo=ps.ErrorCategoryInfo(
            Category=ps.ErrorCategory.__members__.get(record.category, ps.ErrorCategory.NotSpecified),
            Activity=record.activity,
            Reason=record.reason or record.exception_type.rpartition(".")[2],
            TargetName=record.target,
            TargetType="String" if record.target else "",
        ),
        TargetObject=record.target or None,
        FullyQualifiedErrorId=record.error_id,
    )
    if record.position:
        wire.InvocationInfo = ps.InvocationInfo(
            BoundParameters=ps.PSDict(),
            CommandOrigin=ps.CommandOrigin.Internal,
            ExpectingInput=False,
            HistoryId=1,
            InvocationName=record.activity,
            OffsetInLine=0,
            PipelineLength=0,
            PipelinePosition=0,
            PositionMessage=record.position,
            ScriptLineNumber=0,
            UnboundArguments=ps.PSList(),
        )
        wire.serialize_extended_info = True
    return wire


def read_error_record(wire: Any) -> ErrorRecord:
    """The reverse of `error_record`, of what another host wrote; where it came from is left open."""
    category, details, invocation = wire.CategoryInfo, wire.ErrorDetails, wire.InvocationInfo
    message = getattr(wire.Exception, "Message", None)
    return ErrorRecord(
        message=str((details and details.Message) or message or wire.Exception),
        exception_type=str(wire.Exception.PSObject.type_names[0]).removeprefix("Deserialized."),
        error_id=str(wire.FullyQualifiedErrorId or ""),
        category=category.Category.name,
        target=str(category.TargetName or ""),
        activity=str(category.Activity or ""),
        reason=str(category.Reason or ""),
        position=str((invocation and invocation.PositionMessage) or ""),
    )


def metadata_count(count: int) -> ps.PSObject:
    """What goes ahead of the answers to GET_COMMAND_METADATA [MS-PSRP 2.2.3.21]."""
    return ps.CommandMetadataCount(Count=count)


def command_metadata(metadata: CommandMetadata) -> ps.PSObject:
    """One answer to GET_COMMAND_METADATA [MS-PSRP 2.2.3.22]."""
    wire = ps.PSObject()
    wire.PSObject.type_names = ["Selected.System.Management.Automation.CmdletInfo", _CUSTOM_OBJECT, "System.Object"]
    common = _COMMON_PARAMETERS if metadata.has_common_parameters else ()
    parameters = ps.PSDict({ps.PSString(name): _parameter(name) for name in (*metadata.parameters, *common)})
    wire.PSObject.extended_properties = [
        ps.PSNoteProperty("Name", value=ps.PSString(metadata.name)),
        ps.PSNoteProperty("Namespace", value=ps.PSString(metadata.namespace)),
        ps.PSNoteProperty("HelpUri", value=ps.PSString("")),
        ps.PSNoteProperty("CommandType", value=ps.CommandTypes(metadata.command_type)),
        ps.PSNoteProperty("ResolvedCommandName", value=None),
        ps.PSNoteProperty("OutputType", value=ps.PSList(ps.PSString(name) for name in metadata.output_types)),
        ps.PSNoteProperty("Parameters", value=parameters),
    ]
    return wire


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


def _parameter(name: str) -> ps.PSObject:
    """[MS-PSRP 2.2.3.23]."""
    wire = ps.PSObject()
    wire.PSObject.type_names = ["System.Management.Automation.ParameterMetadata", "System.Object"]
    switch = name in ("Verbose", "Debug")
    wire.PSObject.adapted_properties = [
        ps.PSNoteProperty("Name", value=ps.PSString(name)),
        ps.PSNoteProperty(
            "ParameterType", value=ps.PSString("System.Management.Automation.SwitchParameter" if switch else "System.Object")
        ),
        ps.PSNoteProperty("Aliases", value=ps.PSList()),
        ps.PSNoteProperty("IsDynamic", value=False),
        ps.PSNoteProperty("SwitchParameter", value=switch),
    ]
    return wire


def from_wire(value: Any) -> PSValue:
    """The value of a psrpcore object. What has no counterpart (an enumeration) becomes the nearest plain value."""
    match value:
        case None | bool():
            return value
        case int():
            return int(value)
        case float():
            return float(value)
        case ps.PSSecureString():
            return _secret(value)
        case str():
            return str.__str__(value)
        case Decimal():
            return Decimal(value)
        case datetime():
            return datetime(
                value.year,
                value.month,
                value.day,
                value.hour,
                value.minute,
                value.second,
                value.microsecond,
                value.tzinfo,
            )
        case UUID():
            return UUID(int=value.int)
        case bytes():
            return bytes(value)
        case list():
            return [from_wire(item) for item in value]
        case dict():
            return {str(key): from_wire(item) for key, item in value.items()}
        case ps.PSObject():
            return _from_wire_object(value)
        case _:
            return str(value)


def _secret(value: ps.PSSecureString) -> SecureString:
    """What a secure string holds; nothing where no session key opens it."""
    try:
        return SecureString(str.__str__(value.decrypt()))
    except (psrpcore.PSRPCoreError, ValueError, TypeError, AttributeError):
        return SecureString("")


def _from_wire_object(value: ps.PSObject) -> PSObject:
    meta = value.PSObject
    return PSObject(
        type_names=tuple(meta.type_names),
        properties={prop.name: from_wire(prop.get_value(value)) for prop in (*meta.adapted_properties, *meta.extended_properties)},
        text=meta.to_string or "",
    )


def pipeline_request(pipeline: psrpcore.PowerShell, objects: Sequence[Any]) -> PipelineRequest:
    """What CREATE_PIPELINE asks for [MS-PSRP 2.2.2.10], with the pipeline input that followed it."""
    return PipelineRequest(
        commands=tuple(_command(command) for command in pipeline.commands),
        input=tuple(from_wire(item) for item in objects),
        add_to_history=bool(pipeline.add_to_history),
    )


def _command(command: psrpcore.Command) -> Command:
    # A client of protocol 2.2 or newer says MergeError, an older one MergeMyResult and MergeToResult [MS-PSRP 2.2.3.12].
    result = ps.PipelineResultTypes
    return Command(
        text=str.__str__(command.command_text),
        is_script=bool(command.is_script),
        parameters=tuple(Parameter(name=None if name is None else str(name), value=from_wire(value)) for name, value in command.parameters),
        use_local_scope=None if command.use_local_scope is None else bool(command.use_local_scope),
        end_of_statement=command.end_of_statement,
        merge_to_output=command.merge_error == result.Output or (command.merge_my == result.Error and command.merge_to == result.Output),
    )
