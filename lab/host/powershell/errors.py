"""How a pipeline ends early, and the error records of the emulated PowerShell with the ids and texts that Windows PowerShell 5.1 gives.

Knows no command and no host. `NotEmulated` is the lab's own id: it says that Windows would have done something and this host cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.machine import ErrorRecord, PSObject, PSValue

MAX_SHOWN = 200


def shown(text: str) -> str:
    """A received text, short enough for a message."""
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


class Terminating(Exception):
    """An error that ends at least its statement. `script` where it ends the whole script unless it is caught (throw, ErrorAction Stop).

    `thrown` is what `throw` was given, None for other errors.
    """

    def __init__(self, record: ErrorRecord, *, script: bool = False, thrown: object = None) -> None:
        super().__init__(record.message)
        self.record = record
        self.script = script
        self.thrown = thrown


class LoopBreak(Exception):
    """`break`."""


class LoopContinue(Exception):
    """`continue`."""


class Return(Exception):
    """`return`: what it returns has been written by then."""


class Exit(Exception):
    """`exit`, with its code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True, kw_only=True)
class ErrorObject(PSObject):
    """An ErrorRecord as a value of the language: `$_` in a catch block, an item of `$Error`."""

    record: ErrorRecord


def display(record: ErrorRecord) -> list[str]:
    """The lines in which Windows PowerShell shows an error (`$ErrorView` NormalView), without the position."""
    activity = f"{record.activity} : " if record.activity else ""
    reason = record.reason or record.exception_type.rpartition(".")[2]
    return [
        *(activity + record.message).splitlines(),
        f"    + CategoryInfo          : {record.category}: ({record.target}:String) [{record.activity}], {reason}",
        f"    + FullyQualifiedErrorId : {record.error_id}",
        *([f"    + PSComputerName        : {record.computer}"] if record.computer else []),
    ]


def as_object(record: ErrorRecord) -> ErrorObject:
    """The record as `$_` and `$Error` show it."""
    kind = record.exception_type
    names = (kind,) + (("System.Exception",) if kind != "System.Exception" else ()) + ("System.Object",)
    exception = PSObject(type_names=names, properties={"Message": record.message}, text=f"{kind}: {record.message}")
    reason = record.reason or kind.rpartition(".")[2]
    category = PSObject(
        type_names=("System.Management.Automation.ErrorCategoryInfo", "System.Object"),
        properties={"Category": record.category, "Activity": record.activity, "Reason": reason, "TargetName": record.target},
        text=f"{record.category}: ({record.target}:String) [{record.activity}], {reason}",
    )
    origin: dict[str, PSValue] = {}
    names_of_record: tuple[str, ...] = ("System.Management.Automation.ErrorRecord", "System.Object")
    if record.computer:
        names_of_record = ("System.Management.Automation.Runspaces.RemotingErrorRecord", *names_of_record)
        origin["OriginInfo"] = PSObject(
            type_names=("System.Management.Automation.Remoting.OriginInfo", "System.Object"),
            properties={"PSComputerName": record.computer, "RunspaceID": record.runspace},
            text=record.computer,
        )
    properties: dict[str, PSValue] = {
        "Exception": exception,
        "TargetObject": record.target,
        "CategoryInfo": category,
        "FullyQualifiedErrorId": record.error_id,
    }
    return ErrorObject(
        type_names=names_of_record,
        properties=properties | origin,
        text=record.message,
        record=record,
    )


def not_emulated(what: str, *, activity: str = "") -> ErrorRecord:
    """The emulated host has no meaning for `what`, though Windows has."""
    return ErrorRecord(
        message=f"The emulated host does not emulate {shown(what)}.",
        exception_type="System.NotImplementedException",
        error_id="NotEmulated",
        category="NotImplemented",
        target=shown(what),
        activity=activity,
    )


def internal_fault(error: Exception) -> ErrorRecord:
    """A fault of the emulation itself, named after what went wrong inside."""
    return not_emulated(f"this: an internal fault of the emulation, {type(error).__name__}: {error}")


def command_not_found(name: str, position: str = "") -> ErrorRecord:
    """No command, program or path of this name."""
    return ErrorRecord(
        message=(
            f"The term '{shown(name)}' is not recognized as the name of a cmdlet, function, script file, or operable program. "
            "Check the spelling of the name, or if a path was included, verify that the path is correct and try again."
        ),
        exception_type="System.Management.Automation.CommandNotFoundException",
        error_id="CommandNotFoundException",
        category="ObjectNotFound",
        target=shown(name),
        position=position,
    )


def parse_error(near: str, line: int) -> ErrorRecord:
    """The text is not PowerShell."""
    return ErrorRecord(
        message=f"At line:{line}: Unexpected token '{shown(near)}' in expression or statement.",
        exception_type="System.Management.Automation.ParseException",
        error_id="UnexpectedToken",
        category="ParserError",
    )


def binding_error(command: str, error_id: str, message: str, *, class_name: str, parameter: str = "") -> ErrorRecord:
    """A command's arguments do not fit its parameters."""
    return ErrorRecord(
        message=message,
        exception_type="System.Management.Automation.ParameterBindingException",
        error_id=f"{error_id},{class_name}",
        category="InvalidArgument",
        target=parameter,
        activity=command,
    )


def runtime_error(message: str, error_id: str = "RuntimeException", category: str = "InvalidOperation", target: str = "") -> ErrorRecord:
    """An error of an operator, a member or a conversion."""
    return ErrorRecord(
        message=message,
        exception_type="System.Management.Automation.RuntimeException",
        error_id=error_id,
        category=category,
        target=shown(target),
    )


def fail(message: str, error_id: str = "RuntimeException", category: str = "InvalidOperation", target: str = "") -> Terminating:
    """The same as an exception that ends the statement."""
    return Terminating(runtime_error(message, error_id, category, target))


def refuse(what: str, *, activity: str = "") -> Terminating:
    """`not_emulated` as an exception that ends the statement."""
    return Terminating(not_emulated(what, activity=activity))


def host_failed(message: str) -> ErrorRecord:
    """What the client's host could not do, as a cmdlet tells it that asked for it."""
    return ErrorRecord(
        message=message,
        exception_type="System.Management.Automation.Host.HostException",
        error_id="HostFunctionNotImplemented",
        category="NotImplemented",
    )
