"""Variables and functions of a session, in scopes [about_Scopes]. Names are without case; nothing here knows where values come from."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.host.powershell.errors import refuse
from lab.host.powershell.syntax import Body

MAX_VARIABLES = 20_000


@dataclass(slots=True)
class Scope:
    """One scope; `names` keep the spelling in which a variable was first set."""

    values: dict[str, object] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    functions: dict[str, tuple[str, Body]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    fences: bool = False
    """Whether it is the scope of a script: what `script:` means inside it."""


class Scopes:
    """The stack of scopes: the first is the global one."""

    def __init__(self) -> None:
        self.stack = [Scope()]

    @property
    def depth(self) -> int:
        """How many scopes there are."""
        return len(self.stack)

    def get(self, name: str, scope: str = "") -> tuple[bool, object]:
        """Whether there is such a variable in sight, and its value."""
        low = name.lower()
        for one in self._where(scope):
            if low in one.values:
                return True, one.values[low]
        return False, None

    def set(self, name: str, value: object, scope: str = "") -> None:
        """Set a variable in the innermost scope, or in the one that is named."""
        where = self._place(scope)
        low = name.lower()
        if low not in where.values and len(where.values) >= MAX_VARIABLES:
            raise refuse(f"more than {MAX_VARIABLES} variables")
        where.values[low] = value
        where.names.setdefault(low, name)

    def remove(self, name: str, scope: str = "") -> bool:
        """Take a variable away where it is in sight; whether there was one."""
        low = name.lower()
        for one in self._where(scope):
            if low in one.values:
                del one.values[low]
                one.types.pop(low, None)
                return True
        return False

    def constrain(self, name: str, kind: str, scope: str = "") -> None:
        """From now on the variable takes values of this type only."""
        self._place(scope).types[name.lower()] = kind

    def constraint(self, name: str, scope: str = "") -> str:
        """The type that a variable is bound to in the scope where it would be set, empty for none."""
        return self._place(scope).types.get(name.lower(), "")

    def visible(self) -> dict[str, object]:
        """Every variable in sight by its own spelling."""
        found: dict[str, object] = {}
        for one in self.stack:
            found.update({one.names[low]: value for low, value in one.values.items()})
        return found

    def function(self, name: str) -> tuple[str, Body] | None:
        """The function in sight with this name: its own spelling and body."""
        low = name.lower()
        return next((one.functions[low] for one in reversed(self.stack) if low in one.functions), None)

    def define(self, name: str, body: Body) -> None:
        """Define a function in the innermost scope."""
        _, colon, bare = name.partition(":")
        where = self.stack[0] if name.lower().startswith(("global:", "script:")) else self.stack[-1]
        plain = bare if colon else name
        where.functions[plain.lower()] = (plain, body)

    def forget(self, name: str) -> bool:
        """Take a function away; whether there was one."""
        low = name.lower()
        return any(one.functions.pop(low, None) is not None for one in reversed(self.stack))

    def function_names(self) -> list[str]:
        """The functions in sight."""
        return sorted({name for one in self.stack for name, _ in one.functions.values()})

    def _place(self, scope: str) -> Scope:
        """Where a variable is set: in the innermost scope, or in the one that is named."""
        if scope == "global":
            return self.stack[0]
        if scope == "script":
            return next((one for one in reversed(self.stack) if one.fences), self.stack[0])
        if scope.isdigit():
            return self.stack[max(0, len(self.stack) - 1 - int(scope))]
        return self.stack[-1]

    def _where(self, scope: str) -> list[Scope]:
        if scope == "script" or scope.isdigit():
            return [self._place(scope)]
        if scope == "global":
            return [self.stack[0]]
        if scope in ("local", "private"):
            return [self.stack[-1]]
        return list(reversed(self.stack))
