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
        where = self.stack[0] if scope in ("global", "script") else self.stack[-1]
        low = name.lower()
        if low not in where.values and len(where.values) >= MAX_VARIABLES:
            raise refuse(f"more than {MAX_VARIABLES} variables")
        where.values[low] = value
        where.names.setdefault(low, name)

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

    def function_names(self) -> list[str]:
        """The functions in sight."""
        return sorted({name for one in self.stack for name, _ in one.functions.values()})

    def _where(self, scope: str) -> list[Scope]:
        if scope == "global":
            return [self.stack[0]]
        if scope in ("local", "private"):
            return [self.stack[-1]]
        return list(reversed(self.stack))
