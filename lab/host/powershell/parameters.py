"""How the arguments of a function, a script or a script block find its parameters [about_Functions_Advanced_Parameters].

An advanced body binds like a cmdlet: unknown names and surplus arguments are errors, and the common parameters are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.host.powershell import members, objects, types
from lab.host.powershell import syntax as s
from lab.host.powershell.commands import ACTION_PARAMETERS, Passed, common_parameter
from lab.host.powershell.errors import Terminating, binding_error, shown
from lab.host.powershell.expressions import Expressions
from lab.host.powershell.values import ScriptBlock, as_list, collect, compare, find_key, regex, stored, subject, to_bool, to_int, to_text
from lab.machine import PSObject

_WITH_A_ZERO = ("int", "string", "bool", "switch", "double", "long")
"""Types of parameters that have a value though none was given."""
_ANONYMOUS = "System.Management.Automation.ParameterBindingException"


@dataclass(slots=True, kw_only=True)
class Bound:
    """What arguments came to: values by parameter name, and what binding has left over."""

    values: dict[str, object] = field(default_factory=dict)
    rest: list[object] = field(default_factory=list)
    common: dict[str, object] = field(default_factory=dict)


class Parameters(Expressions):
    """Binding over a session's state."""

    def _bind_script(self, body: s.Body, arguments: Sequence[Passed], name: str, *, piped: bool) -> Bound:
        """Set a body's parameters as variables of the innermost scope. Raises `Terminating`."""
        bound = self._matched(body, arguments, name)
        self._place(body, bound, name)
        waiting = [one.name for one in body.parameters if one.mandatory and one.name not in bound.values]
        fed = [one.name for one in body.parameters if one.by_value or one.by_name]
        missing = [one for one in waiting if not (piped and one in fed)]
        if missing:
            raise _fault(
                name,
                "MissingMandatoryParameter",
                f"Cannot process command because of one or more missing mandatory parameters: {' '.join(missing)}.",
                missing[0],
            )
        for parameter in body.parameters:
            if parameter.name in bound.values:
                self._set_parameter(parameter, bound.values[parameter.name], name)
            elif parameter.default is not None:
                self._set_parameter(parameter, self.value(parameter.default), name, check=False)
            else:
                first = parameter.types[0].lower() if parameter.types else ""
                self.scopes.set(parameter.name, types.convert(self, first, None) if first in _WITH_A_ZERO else None)
        if not body.advanced:
            self.scopes.set("args", bound.rest)
        if body.parameters:
            self.scopes.set("PSBoundParameters", {one: stored(value) for one, value in bound.values.items()})
        for given, value in bound.common.items():
            self._use_common(given, value)
        if body.advanced:
            self.scopes.set("PSCmdlet", objects.script_cmdlet(name))
        return bound

    def _matched(self, body: s.Body, arguments: Sequence[Passed], name: str) -> Bound:
        bound = Bound()
        pending: s.ScriptParameter | str | None = None
        for one in arguments:
            if one.name is None:
                if isinstance(pending, s.ScriptParameter):
                    bound.values[pending.name] = one.value
                elif pending is not None:
                    bound.common[pending] = one.value
                else:
                    bound.rest.append(one.value)
                pending = None
                continue
            parameter = _script_parameter(body, one.name)
            bare = one.bare and one.value is None
            if parameter is None:
                common = common_parameter(one.name) if body.advanced else None
                if common is None and body.advanced:
                    text = f"A parameter cannot be found that matches parameter name '{shown(one.name)}'."
                    raise _fault(name, "NamedParameterNotFound", text, shown(one.name))
                if common is None:
                    bound.rest += [f"-{one.name}"] + ([] if one.bare else [one.value])
                elif common in ("Verbose", "Debug", "WhatIf", "Confirm"):
                    bound.common[common] = True if one.bare else to_bool(one.value)
                elif bare:
                    pending = common
                else:
                    bound.common[common] = one.value
            elif parameter.name in bound.values:
                text = f"Cannot bind parameter because parameter '{parameter.name}' is specified more than once."
                raise _fault(name, "ParameterAlreadyBound", text, parameter.name)
            elif not bare:
                bound.values[parameter.name] = one.value
            elif parameter.is_switch:
                bound.values[parameter.name] = True
            else:
                pending = parameter
        if pending is not None:
            lacking = pending if isinstance(pending, str) else pending.name
            text = f"Missing an argument for parameter '{lacking}'. Specify a parameter of type 'System.Object' and try again."
            raise _fault(name, "MissingArgument", text, lacking)
        return bound

    def _place(self, body: s.Body, bound: Bound, name: str) -> None:
        """Give the positional arguments to the parameters that are still free, in the order of their positions."""
        placed = any(one.position is not None for one in body.parameters)
        free = [
            one
            for one in sorted(body.parameters, key=lambda one: one.position or 0)
            if one.name not in bound.values and not one.is_switch and not one.rest and (one.position is not None or not placed)
        ]
        for parameter in free:
            if bound.rest:
                bound.values[parameter.name] = bound.rest.pop(0)
        last = next((one for one in body.parameters if one.rest and one.name not in bound.values), None)
        if last is not None and bound.rest:
            bound.values[last.name], bound.rest = list(bound.rest), []
        if bound.rest and body.advanced:
            text = f"A positional parameter cannot be found that accepts argument '{shown(to_text(bound.rest[0]))}'."
            raise _fault(name, "PositionalParameterNotFound", text)

    def _set_parameter(self, parameter: s.ScriptParameter, value: object, name: str, *, check: bool = True) -> None:
        for kind in reversed(parameter.types):
            try:
                value = types.convert(self, kind, value)
            except Terminating as error:
                if error.record.error_id == "NotEmulated":
                    raise
                text = f"Cannot process argument transformation on parameter '{parameter.name}'. {error.record.message}"
                raise _fault(name, "ParameterArgumentTransformationError", text, parameter.name, category="InvalidData") from None
        if check:
            self._check(parameter, value, name)
        self.scopes.set(parameter.name, value)
        if parameter.types:
            self.scopes.constrain(parameter.name, parameter.types[0])

    def _check(self, parameter: s.ScriptParameter, value: object, name: str) -> None:
        kinds = {one.kind for one in parameter.checks}
        if parameter.mandatory and to_text(value) == "" and isinstance(value, str) and "allowemptystring" not in kinds:
            text = f"Cannot bind argument to parameter '{parameter.name}' because it is an empty string."
            raise _fault(name, "ParameterArgumentValidationErrorEmptyStringNotAllowed", text, parameter.name, category="InvalidData")
        if parameter.mandatory and value is None and "allownull" not in kinds:
            text = f"Cannot bind argument to parameter '{parameter.name}' because it is null."
            raise _fault(name, "ParameterArgumentValidationErrorNullNotAllowed", text, parameter.name, category="InvalidData")
        for check in parameter.checks:
            said = self._unfit(check, value)
            if said:
                text = f"Cannot validate argument on parameter '{parameter.name}'. {said}"
                raise _fault(name, "ParameterArgumentValidationError", text, parameter.name, category="InvalidData")

    def _unfit(self, check: s.Check, value: object) -> str:
        """What a `Validate...` attribute says against a value, empty where it fits."""
        given = [self.value(one) for one in check.arguments]
        texts = [to_text(one) for one in as_list(value)] or [to_text(value)]
        match check.kind:
            case "set":
                words = [to_text(one) for one in given]
                stray = next((one for one in texts if one.lower() not in (word.lower() for word in words)), None)
                if stray is not None:
                    return (
                        f'The argument "{shown(stray)}" does not belong to the set "{",".join(words)}" specified by the ValidateSet '
                        "attribute. Supply an argument that is in the set and then try the command again."
                    )
            case "range" if len(given) == 2:
                for side, word, sign in ((0, "less than the minimum", "greater"), (1, "greater than the maximum", "less")):
                    stray = next((to_text(one) for one in as_list(value) if compare(one, given[side]) == (1 if side else -1)), None)
                    if stray is not None:
                        return (
                            f"The {stray} argument is {word} allowed range of {to_text(given[side])}. Supply an argument that is {sign} "
                            f"than or equal to {to_text(given[side])} and then try the command again."
                        )
            case "length" if len(given) == 2:
                if any(not to_int(given[0]) <= len(one) <= to_int(given[1]) for one in texts):
                    return "The character length of the argument is outside of the allowed range."
            case "count" if len(given) == 2:
                if not to_int(given[0]) <= len(as_list(value)) <= to_int(given[1]):
                    return "The number of provided arguments is outside of the allowed range."
            case "pattern" if given:
                pattern = regex(to_text(given[0]))
                stray = next((one for one in texts if pattern.search(subject(one, pattern)) is None), None)
                if stray is not None:
                    return (
                        f'The argument "{shown(stray)}" does not match the "{to_text(given[0])}" pattern. Supply an argument that '
                        f'matches "{to_text(given[0])}" and try the command again.'
                    )
            case "script" if given and isinstance(given[0], ScriptBlock):
                block = given[0]
                for one in as_list(value):
                    if not to_bool(collect(self.invoke(block, item=one, has_item=True))):
                        return (
                            f'The "{block.body.text}" validation script for the argument with value "{shown(to_text(one))}" did not return '
                            "a result of True. Determine why the validation script failed, and then try the command again."
                        )
            case "notnullorempty" | "notnull":
                if value is None or (check.kind == "notnullorempty" and to_text(value) == ""):
                    return "The argument is null or empty. Provide an argument that is not null or empty, and then try the command again."
        return ""

    def _use_common(self, name: str, value: object) -> None:
        """What a common parameter means for all that the body runs: its scope's preference variables."""
        match name:
            case "Verbose" | "Debug":
                self.scopes.set(f"{name}Preference", "Continue" if to_bool(value) else "SilentlyContinue")
            case "WhatIf":
                self.scopes.set("WhatIfPreference", to_bool(value))
            case "Confirm":
                self.scopes.set("ConfirmPreference", "Low" if to_bool(value) else "None")
            case _ if name in ACTION_PARAMETERS:
                self.scopes.set(ACTION_PARAMETERS[name], to_text(value))

    def _bind_item(self, body: s.Body, item: object, bound: Bound, name: str) -> None:
        """Bind one object that flows in to the parameters that take it, by value or by the name of a property."""
        for parameter in body.parameters:
            if parameter.name in bound.values:
                continue
            held: object = None
            if parameter.by_name and isinstance(item, PSObject | dict):
                names = [parameter.name, *parameter.aliases]
                table = item if isinstance(item, dict) else item.properties
                found = next((key for one in names if (key := find_key(table, one)) is not None), None)
                held = members.get_member(self, item, found) if found is not None else None
            if held is None and parameter.by_value:
                held = item
            if held is not None:
                self._set_parameter(parameter, held, name)


def _fault(name: str, error_id: str, message: str, parameter: str = "", *, category: str = "InvalidArgument") -> Terminating:
    record = binding_error(name, error_id, message, class_name=name or _ANONYMOUS, parameter=parameter, category=category)
    return Terminating(record)


def _script_parameter(body: s.Body, given: str) -> s.ScriptParameter | None:
    low = given.lower()
    exact = next((one for one in body.parameters if one.name.lower() == low or low in (alias.lower() for alias in one.aliases)), None)
    begun = [one for one in body.parameters if one.name.lower().startswith(low)]
    return exact or (begun[0] if len(begun) == 1 else None)
