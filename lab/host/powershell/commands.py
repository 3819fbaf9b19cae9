"""How a cmdlet is declared, found and given its arguments [about_Parameters, about_Command_Precedence].

A cmdlet is a generator function over a `Call`; `@cmdlet` registers it with its parameters. What Windows has and this host has not is
declared too, so that it is refused by name instead of being ignored or taken for unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol

from lab.host.happenings import Binding, Engine
from lab.host.model import Host
from lab.host.powershell.errors import Terminating, as_object, binding_error, refuse, shown
from lab.host.powershell.remotes import Remotes
from lab.host.powershell.values import ScriptBlock, as_list, each, to_bool, to_int, to_text, type_names
from lab.machine import ErrorRecord, PipelineIO, StreamName

MAX_LOGGED = 500
"""Bindings of one command that module logging keeps: Windows cuts the event at its size limit too."""


class Kind(Enum):
    """What a parameter takes."""

    VALUE = "Object"
    TEXT = "String"
    TEXTS = "String[]"
    INT = "Int32"
    SWITCH = "SwitchParameter"
    BLOCK = "ScriptBlock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A parameter. `position` counts from 0; `rest` takes all further positional arguments; `modelled` false: refused by name."""

    name: str
    kind: Kind = Kind.TEXT
    position: int | None = None
    mandatory: bool = False
    rest: bool = False
    modelled: bool = True
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    block_name: str = ""
    """What module logging calls the parameter where it is given a script block: its own parameter set's name."""


def at(position: int, name: str, kind: Kind = Kind.TEXT, *aliases: str, mandatory: bool = False, rest: bool = False) -> Param:
    """A parameter that may be given by its position."""
    return Param(name=name, kind=kind, position=position, aliases=aliases, mandatory=mandatory, rest=rest)


def named(name: str, kind: Kind = Kind.TEXT, *aliases: str, choices: tuple[str, ...] = ()) -> Param:
    """A parameter that must be named."""
    return Param(name=name, kind=kind, aliases=aliases, choices=choices)


def switch(name: str, *aliases: str) -> Param:
    """A switch."""
    return Param(name=name, kind=Kind.SWITCH, aliases=aliases)


def absent(*names: str) -> tuple[Param, ...]:
    """Parameters that Windows has and this host refuses by name."""
    return tuple(Param(name=name, modelled=False) for name in names)


COMMON = (
    named("ErrorAction", Kind.TEXT, "ea"),
    named("WarningAction", Kind.TEXT, "wa"),
    named("InformationAction", Kind.TEXT, "infa"),
    switch("Verbose", "vb"),
    switch("Debug", "db"),
    named("ErrorVariable", Kind.TEXT, "ev"),
    named("WarningVariable", Kind.TEXT, "wv"),
    named("InformationVariable", Kind.TEXT, "iv"),
    named("OutVariable", Kind.TEXT, "ov"),
    named("OutBuffer", Kind.INT, "ob"),
    named("PipelineVariable", Kind.TEXT, "pv"),
)
CHANGES = (switch("WhatIf", "wi"), switch("Confirm", "cf"))
"""What every command has that changes the state of the machine."""
ACTION_PARAMETERS = {
    "ErrorAction": "ErrorActionPreference",
    "WarningAction": "WarningPreference",
    "InformationAction": "InformationPreference",
}
"""The common parameters that stand for a preference variable."""


def common_parameter(given: str) -> str | None:
    """The common parameter that a name, an alias or an unambiguous beginning means to an advanced function."""
    low = given.lower()
    known = COMMON + CHANGES
    exact = next((one.name for one in known if low == one.name.lower() or low in one.aliases), None)
    begun = [one.name for one in known if one.name.lower().startswith(low)]
    return exact or (begun[0] if len(begun) == 1 else None)


ACTIONS = ("SilentlyContinue", "Stop", "Continue", "Inquire", "Ignore", "Suspend")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """A command line that was run with the wish to be remembered."""

    number: int
    text: str
    started: datetime
    ended: datetime


class Session(Protocol):
    """What a cmdlet may ask of the session that runs it."""

    host: Host
    engine: Engine
    io: PipelineIO
    location: str
    environment: dict[str, str]
    ok: bool
    exit_code: int | None
    errors: list[object]
    aliases: dict[str, str]
    drive: str
    stack: list[tuple[str, str]]
    history: list[HistoryEntry]
    remotes: Remotes

    def tick(self) -> None:
        """Count a step of work; lets a stop come through and ends what goes on for ever."""

    def invoke(self, block: ScriptBlock, arguments: Sequence[object] = (), *, item: object = None, has_item: bool = False) -> list[object]:
        """Run a script block with `$_` set to the item, and give its output."""

    def run_text(self, text: str) -> list[object]:
        """Parse a text and run it in this scope, and give its output."""

    def write_error(self, record: ErrorRecord, action: str = "") -> None:
        """Write a non-terminating error as the action or the preference says; Stop raises it."""

    def write_stream(self, stream: StreamName, text: str) -> None:
        """A record on another stream."""

    def is_redirected(self, stream: StreamName) -> bool:
        """Whether records of the stream go elsewhere than to the client."""

    def expand(self, text: str) -> str:
        """A text with its %variables% replaced from the session's environment."""

    def remove_variable(self, name: str) -> bool:
        """Take a variable away; whether there was one."""

    def set_strict(self, strict: bool) -> None:
        """Whether a variable that was never set is an error from now on."""

    def function_body(self, name: str) -> ScriptBlock | None:
        """The function of a name as a script block."""

    def define(self, name: str, block: ScriptBlock) -> None:
        """Define a function."""

    def forget_function(self, name: str) -> bool:
        """Take a function away; whether there was one."""

    def set_member(self, value: object, name: str, new: object) -> None:
        """Set a property of a value."""

    def variable(self, name: str) -> object:
        """The value of a variable, None where there is none."""

    def set_variable(self, name: str, value: object, scope: str = "") -> None:
        """Set a variable in the scope (local where empty)."""

    def variables(self) -> dict[str, object]:
        """All variables that can be seen from here, by their names."""

    def resolve(self, name: str) -> ResolvedCommand | None:
        """What a command name means."""

    def functions(self) -> list[str]:
        """The names of the functions that are defined."""

    def format(self, values: Iterable[object]) -> list[str]:
        """The lines that Out-Default makes of values."""

    def member(self, value: object, name: str) -> object:
        """A property of a value, as `.` reads it."""

    def construct(self, type_name: str, arguments: Sequence[object], properties: object) -> object:
        """A new object of a type, with properties set where a hashtable of them is given."""

    def call(self, value: object, name: str) -> object:
        """A method of a value, called without arguments."""

    def start_program(self, path: str, arguments: Sequence[str], *, directory: str) -> tuple[list[str], list[str], object]:
        """Run a program that Start-Process names: its lines of output and of errors, and its process as an object."""

    def start_by_wmi(self, line: str) -> int:
        """Run a command line as a child of the WMI provider host; its process id. Raises `FileFault`, `NotExecutable`, `ProcessLimit`."""

    def write_lines(self, path: str, lines: Sequence[str]) -> None:
        """Write lines into a file of the host, in the ANSI code page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedCommand:
    """A command that a name means: kind is Alias, Function, Cmdlet, ExternalScript or Application; `definition` what it stands for."""

    kind: str
    name: str
    definition: str
    module: str = ""


@dataclass(slots=True, kw_only=True)
class Call:
    """One invocation of a cmdlet: what is bound, what flows in, and whom to ask."""

    spec: Cmdlet
    session: Session
    bound: dict[str, object]
    input: Iterator[object]
    piped: bool
    bindings: list[Binding] = field(default_factory=list)
    line: str = ""
    """The line of the script in which the call stands, as InvocationInfo has it."""
    watched: list[object] | None = None
    """The errors of this call, where -ErrorVariable asks for them."""

    def given(self, name: str) -> bool:
        """Whether the parameter was given."""
        return name in self.bound

    def value(self, name: str) -> object:
        """What was given, or None."""
        return self.bound.get(name)

    def text(self, name: str, default: str = "") -> str:
        """A string parameter."""
        return to_text(self.bound[name]) if name in self.bound else default

    def texts(self, name: str) -> list[str]:
        """A string array parameter."""
        return [to_text(one) for one in as_list(self.bound.get(name))]

    def number(self, name: str, default: int = 0) -> int:
        """An integer parameter."""
        return to_int(self.bound[name]) if name in self.bound else default

    def switch(self, name: str) -> bool:
        """A switch parameter."""
        return to_bool(self.bound.get(name))

    def block(self, name: str) -> ScriptBlock | None:
        """A script block parameter."""
        value = self.bound.get(name)
        return value if isinstance(value, ScriptBlock) else None

    def items(self, name: str = "InputObject") -> Iterator[object]:
        """What is given as the parameter, else what flows in; each is logged as bound."""
        if name in self.bound:
            yield from each(self.bound[name])
            return
        for item in self.input:
            self.session.tick()
            if len(self.bindings) < MAX_LOGGED:
                self.bindings.append(Binding(name=name, value=to_text(item)))
            yield item

    def texts_or_input(self, name: str, *properties: str) -> list[str]:
        """A string array parameter that the pipeline may bind, by value or by one of the properties."""
        if name in self.bound or not self.piped:
            return self.texts(name)
        found: list[str] = []
        for item in self.items(name):
            held = next((one for one in (self.session.member(item, prop) for prop in properties) if one is not None), None)
            found.append(to_text(held if held is not None and not isinstance(item, str) else item))
        return found

    @property
    def action(self) -> str:
        """The -ErrorAction in full, empty where none was given."""
        return action_name(self.bound.get("ErrorAction"))

    def error(self, record: ErrorRecord) -> None:
        """Write a non-terminating error of this cmdlet."""
        tagged = self.tagged(record)
        if self.watched is not None:
            self.watched.append(as_object(tagged))
        self.session.write_error(tagged, self.action)

    def warn(self, text: str) -> None:
        """Write a warning, as -WarningAction or the preference says."""
        action = action_name(self.bound.get("WarningAction") or self.session.variable("WarningPreference"))
        if action not in ("SilentlyContinue", "Ignore"):
            self.session.write_stream(StreamName.WARNING, text)

    def verbose(self, text: str) -> None:
        """Write a verbose record, where it is wanted."""
        wanted = self.switch("Verbose") or (
            not self.given("Verbose") and action_name(self.session.variable("VerbosePreference")) == "Continue"
        )
        if wanted:
            self.session.write_stream(StreamName.VERBOSE, text)

    def should_process(self, target: str, action: str) -> bool:
        """Whether a change may be made: with -WhatIf it is only said. Raises `Terminating` for -Confirm, which asks."""
        if self.switch("Confirm"):
            raise refuse("-Confirm, which asks before it does anything", activity=self.spec.name)
        text = f'Performing the operation "{action}" on target "{target}".'
        if self.switch("WhatIf") or (not self.given("WhatIf") and to_bool(self.session.variable("WhatIfPreference"))):
            if self.session.io.has_host:
                self.session.io.host_write_line(f"What if: {text}")
            return False
        self.verbose(text)
        return True

    def tagged(self, record: ErrorRecord) -> ErrorRecord:
        """The record with this cmdlet as its activity and in its id."""
        return ErrorRecord(
            message=record.message,
            exception_type=record.exception_type,
            error_id=record.error_id
            if "," in record.error_id or record.error_id == "NotEmulated"
            else f"{record.error_id},{self.spec.class_name}",
            category=record.category,
            target=record.target,
            activity=self.spec.name,
            reason=record.reason,
            position=record.position,
        )

    def missing(self, name: str) -> Terminating:
        """A parameter that cannot be done without was not given."""
        return missing_parameter(self.spec, name)


def action_name(value: object) -> str:
    """An action preference by name or number, empty for None. Raises `Terminating`."""
    if value is None:
        return ""
    text = to_text(value)
    if text.isdigit() and int(text) < 5:
        return ("SilentlyContinue", "Stop", "Continue", "Inquire", "Ignore")[int(text)]
    found = [name for name in ACTIONS if name.lower().startswith(text.lower())] if text else []
    if len(found) == 1 or text.lower() in (name.lower() for name in found):
        return next((name for name in found if name.lower() == text.lower()), found[0])
    raise Terminating(
        binding_error(
            "",
            "CannotConvertArgumentNoMessage",
            f"Cannot bind parameter 'ErrorAction'. Cannot convert value \"{shown(text)}\" to type "
            '"System.Management.Automation.ActionPreference".',
            class_name="System.Management.Automation.ActionPreference",
        )
    )


Body = Callable[[Call], Iterator[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmdlet:
    """A registered cmdlet."""

    name: str
    parameters: tuple[Param, ...]
    body: Body
    class_name: str
    module: str
    output: str

    def find(self, given: str) -> Param:
        """The parameter that a name, an alias or an unambiguous beginning of a name means. Raises `Terminating`."""
        low = given.lower()
        known = self.parameters + COMMON
        for one in known:
            if low == one.name.lower() or low in (alias.lower() for alias in one.aliases):
                return one
        begun = [one for one in self.parameters if one.name.lower().startswith(low)] or [
            one for one in COMMON if one.name.lower().startswith(low)
        ]
        if len(begun) == 1:
            return begun[0]
        if begun:
            listed = " ".join(f"-{one.name}" for one in begun)
            raise Terminating(
                binding_error(
                    self.name,
                    "AmbiguousParameter",
                    f"Parameter cannot be processed because the parameter name '{shown(given)}' is ambiguous. "
                    f"Possible matches include: {listed}.",
                    class_name=self.class_name,
                    parameter=given,
                )
            )
        raise Terminating(
            binding_error(
                self.name,
                "NamedParameterNotFound",
                f"A parameter cannot be found that matches parameter name '{shown(given)}'.",
                class_name=self.class_name,
                parameter=shown(given),
            )
        )


CMDLETS: dict[str, Cmdlet] = {}
"""Every cmdlet by its lower-case name. Filled by the modules of `lab.host.powershell.cmdlets`."""


def cmdlet(
    name: str,
    *parameters: Param,
    class_name: str = "",
    module: str = "Microsoft.PowerShell.Management",
    output: str = "",
    changes: bool = False,
) -> Callable[[Body], Body]:
    """Register a generator function as a cmdlet. `class_name` is what its error ids end with, from the name where it is regular.

    `changes`: it changes the machine and so has -WhatIf and -Confirm.
    """

    def register(body: Body) -> Body:
        CMDLETS[name.lower()] = Cmdlet(
            name=name,
            parameters=parameters + (CHANGES if changes else ()),
            body=body,
            class_name=class_name or f"Microsoft.PowerShell.Commands.{name.replace('-', '')}Command",
            module=module,
            output=output,
        )
        return body

    return register


@dataclass(frozen=True, slots=True)
class Passed:
    """An argument with its value: `name` None where it is positional; `bare` where it is a name without a value (maybe a switch)."""

    name: str | None
    value: object = None
    bare: bool = False


def bind(spec: Cmdlet, passed: Sequence[Passed]) -> tuple[dict[str, object], list[Binding]]:
    """Bind arguments to a cmdlet's parameters. Raises `Terminating`: unknown, missing, refused or unfit ones."""
    bound: dict[str, object] = {}
    positional: list[object] = []
    pending: Param | None = None
    for one in passed:
        if one.name is None:
            if pending is not None:
                _set(spec, bound, pending, one.value)
                pending = None
            else:
                positional.append(one.value)
            continue
        if pending is not None:
            raise _missing_argument(spec, pending)
        param = spec.find(one.name)
        if not param.modelled:
            raise refuse(f"the parameter -{param.name} of {spec.name}", activity=spec.name)
        if param.kind is Kind.SWITCH:
            _set(spec, bound, param, True if one.bare else to_bool(one.value))
        elif one.bare and one.value is None:
            pending = param
        else:
            _set(spec, bound, param, one.value)
    if pending is not None:
        raise _missing_argument(spec, pending)
    open_ones = sorted(
        (one for one in spec.parameters if one.position is not None and one.name not in bound), key=lambda one: one.position or 0
    )
    for value in positional:
        if not open_ones:
            raise Terminating(
                binding_error(
                    spec.name,
                    "PositionalParameterNotFound",
                    f"A positional parameter cannot be found that accepts argument '{shown(to_text(value))}'.",
                    class_name=spec.class_name,
                )
            )
        # Invoke-Command { } and Invoke-Command ws2 { }: a script block goes to the parameter that takes one.
        blocks = [one for one in open_ones if one.kind is Kind.BLOCK] if isinstance(value, ScriptBlock) else []
        param = (blocks or open_ones)[0]
        if param.rest:
            bound[param.name] = [*as_list(bound.get(param.name)), value]
            continue
        open_ones.remove(param)
        _set(spec, bound, param, value)
    return bound, [Binding(name=_logged_name(spec, name, value), value=_logged(value)) for name, value in bound.items()]


def _logged_name(spec: Cmdlet, name: str, value: object) -> str:
    block_names = (one.block_name for one in spec.parameters if one.name == name and one.block_name)
    return next(block_names, name) if isinstance(value, ScriptBlock) else name


def _logged(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(to_text(one) for one in value[:MAX_LOGGED])
    return to_text(value)


def _missing_argument(spec: Cmdlet, param: Param) -> Terminating:
    return Terminating(
        binding_error(
            spec.name,
            "MissingArgument",
            f"Missing an argument for parameter '{param.name}'. Specify a parameter of type 'System.{param.kind.value}' and try again.",
            class_name=spec.class_name,
            parameter=param.name,
        )
    )


def _set(spec: Cmdlet, bound: dict[str, object], param: Param, value: object) -> None:
    if param.name in bound:
        raise Terminating(
            binding_error(
                spec.name,
                "ParameterAlreadyBound",
                f"Cannot bind parameter because parameter '{param.name}' is specified more than once.",
                class_name=spec.class_name,
                parameter=param.name,
            )
        )
    text = to_text(value)
    unfit = (param.kind is Kind.BLOCK and not isinstance(value, ScriptBlock)) or (
        param.kind is Kind.TEXT and isinstance(value, list) and len(value) != 1
    )
    if unfit or (param.kind in (Kind.TEXT, Kind.TEXTS) and value is None):
        raise Terminating(
            binding_error(
                spec.name,
                "ParameterArgumentValidationErrorNullNotAllowed" if value is None else "CannotConvertArgumentNoMessage",
                f"Cannot bind argument to parameter '{param.name}' because it is null."
                if value is None
                else f"Cannot bind parameter '{param.name}'. Cannot convert the \"{shown(text)}\" value of type "
                f'"{type_names(value)[0]}" to type '
                f'"System.{param.kind.value}".',
                class_name=spec.class_name,
                parameter=param.name,
            )
        )
    if param.choices:
        fits = [choice for choice in param.choices if choice.lower() == text.lower()]
        if not fits:
            raise refuse(f"-{param.name} {shown(text)} of {spec.name}", activity=spec.name)
        value = fits[0]
    bound[param.name] = to_int(value) if param.kind is Kind.INT else value


def missing_parameter(spec: Cmdlet, *names: str) -> Terminating:
    """Parameters that a cmdlet cannot do without were not given."""
    return Terminating(
        binding_error(
            spec.name,
            "MissingMandatoryParameter",
            f"Cannot process command because of one or more missing mandatory parameters: {' '.join(names)}.",
            class_name=spec.class_name,
            parameter=names[0],
        )
    )


def require(spec: Cmdlet, bound: dict[str, object], *, piped: bool) -> None:
    """Raise `Terminating` where a mandatory parameter is missing and nothing flows in that could stand for it."""
    met = {*bound, "Path"} if "LiteralPath" in bound else set(bound)
    missing = [one.name for one in spec.parameters if one.mandatory and one.name not in met]
    if missing and not piped:
        raise missing_parameter(spec, *missing)
