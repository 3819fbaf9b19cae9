"""The abstract syntax of the PowerShell that the emulated host understands. Shapes only: `parse` builds them, `evaluate` reads them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """A number or a string. `raw` is its spelling where a native program would be given that instead (007, 1kb)."""

    value: object
    raw: str


@dataclass(frozen=True, slots=True)
class Expandable:
    """A string or bareword with variables and sub-expressions in it."""

    parts: tuple[str | Expression, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable by name, with its scope or drive (`env`, `global`) in lower case, empty where it has none."""

    scope: str
    name: str
    splatted: bool = False


@dataclass(frozen=True, slots=True)
class ArrayLiteral:
    """The comma operator."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ArrayExpression:
    """`@( )`: always an array."""

    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class SubExpression:
    """`$( )`."""

    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Parenthesis:
    """`( )` round one pipeline."""

    body: Statement


@dataclass(frozen=True, slots=True)
class Hash:
    """`@{ }` with its entries in order."""

    entries: tuple[tuple[Expression, Statement], ...]


@dataclass(frozen=True, slots=True)
class ScriptParameter:
    """One parameter of a `param` block, with what its attributes say [about_Functions_Advanced_Parameters]."""

    name: str
    types: tuple[str, ...]
    default: Expression | None
    mandatory: bool = False
    position: int | None = None
    aliases: tuple[str, ...] = ()
    by_value: bool = False
    by_name: bool = False
    rest: bool = False
    checks: tuple[Check, ...] = ()

    @property
    def is_switch(self) -> bool:
        """Whether it is a switch: it takes no argument and no position."""
        return any(kind.lower() in ("switch", "switchparameter", "system.management.automation.switchparameter") for kind in self.types)


@dataclass(frozen=True, slots=True)
class Check:
    """A `Validate...` attribute: its name in lower case without `validate`, and its arguments."""

    kind: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Body:
    """What a script, a function or a script block consists of. `text` is the source between its braces."""

    text: str
    parameters: tuple[ScriptParameter, ...] = ()
    begin: tuple[Statement, ...] = ()
    process: tuple[Statement, ...] = ()
    end: tuple[Statement, ...] = ()
    advanced: bool = False
    """Whether it binds like a cmdlet: CmdletBinding or a Parameter attribute was written."""
    is_filter: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A script block as a value."""

    body: Body


@dataclass(frozen=True, slots=True)
class Unary:
    """An operator before its operand: `-not`, `!`, `-`, `+`, `,`, `-join`, `-split`, `-bnot`."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two operands, in lower case."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Cast:
    """`[type]operand`."""

    type_name: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class TypeLiteral:
    """`[type]` as a value."""

    type_name: str


@dataclass(frozen=True, slots=True)
class Member:
    """`target.name`, or `target::name` where `static`."""

    target: Expression
    name: Expression
    static: bool


@dataclass(frozen=True, slots=True)
class Invoke:
    """`target.name(arguments)`."""

    target: Expression
    name: Expression
    arguments: tuple[Expression, ...]
    static: bool


@dataclass(frozen=True, slots=True)
class Index:
    """`target[index]`."""

    target: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Increment:
    """`++` and `--`, before or after."""

    target: Expression
    step: int
    before: bool


Expression = (
    Literal
    | Expandable
    | Variable
    | ArrayLiteral
    | ArrayExpression
    | SubExpression
    | Parenthesis
    | Hash
    | Block
    | Unary
    | Binary
    | Cast
    | TypeLiteral
    | Member
    | Invoke
    | Index
    | Increment
)


@dataclass(frozen=True, slots=True)
class Argument:
    """A positional argument of a command."""

    value: Expression


@dataclass(frozen=True, slots=True)
class ParameterArgument:
    """`-Name`, or `-Name:value`; `raw` is its spelling as a native program is given it."""

    name: str
    raw: str
    value: Expression | None


@dataclass(frozen=True, slots=True)
class Verbatim:
    """What follows `--%`."""

    text: str


@dataclass(frozen=True, slots=True)
class Redirection:
    """`stream` is 1, 2, 3... or * ; `target` a file's name, or None where the stream is merged into output."""

    stream: str
    target: Expression | None
    append: bool


@dataclass(frozen=True, slots=True)
class CommandCall:
    """One command of a pipeline. `operator` is "", "&" or "."; `line` is the line of the script in which it begins."""

    operator: str
    name: Expression
    arguments: tuple[Argument | ParameterArgument | Verbatim, ...]
    redirections: tuple[Redirection, ...]
    line: str


@dataclass(frozen=True, slots=True)
class RedirectedExpression:
    """An expression whose output goes into a file, or nowhere."""

    value: Expression
    redirections: tuple[Redirection, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Elements joined by `|`: the first may be an expression, the others are commands."""

    elements: tuple[CommandCall | RedirectedExpression | Expression, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """`target operator value`; the operator is = += -= *= /= or %=."""

    target: Expression
    operator: str
    value: Statement


@dataclass(frozen=True, slots=True)
class If:
    """Conditions with their blocks in order, then `else`."""

    branches: tuple[tuple[Statement, tuple[Statement, ...]], ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class While:
    """`while`, and `do` with `while` or `until`."""

    condition: Statement
    body: tuple[Statement, ...]
    body_first: bool
    until: bool
    label: str = ""


@dataclass(frozen=True, slots=True)
class For:
    """`for (;;)`."""

    start: Statement | None
    condition: Statement | None
    step: Statement | None
    body: tuple[Statement, ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Foreach:
    """`foreach ($variable in values)`."""

    variable: Variable
    values: Statement
    body: tuple[Statement, ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """`switch` over a condition; a clause's test is None for `default`. `mode` is "", "wildcard", "regex" or "exact".

    `of_file`: the condition names a file whose lines are the values.
    """

    mode: str
    case_sensitive: bool
    condition: Statement
    clauses: tuple[tuple[Expression | None, tuple[Statement, ...]], ...]
    of_file: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class Try:
    """`try` with its catches (the type names, none for all) and `finally`."""

    body: tuple[Statement, ...]
    catches: tuple[tuple[tuple[str, ...], tuple[Statement, ...]], ...]
    finish: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Trap:
    """`trap` with the type that it is for, empty for all."""

    type_name: str
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function or filter definition."""

    name: str
    body: Body


@dataclass(frozen=True, slots=True)
class Flow:
    """`break`, `continue`, `return`, `exit` or `throw`, with its value, or the label of the loop that is meant."""

    kind: str
    value: Statement | None
    label: str = ""


Statement = Pipeline | Assignment | If | While | For | Foreach | Switch | Try | Trap | Function | Flow
