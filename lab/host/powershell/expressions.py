"""What expressions are worth, and what assignments change."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from lab.host.files import FileFault, absolute
from lab.host.powershell import members, operators, statics, types
from lab.host.powershell import syntax as s
from lab.host.powershell.commands import Passed
from lab.host.powershell.errors import (
    Terminating,
    fail,
    refuse,
    shown,
)
from lab.host.powershell.state import Emit, SessionState
from lab.host.powershell.values import (
    MAX_ITEMS,
    ScriptBlock,
    TypeValue,
    as_list,
    bounded,
    collect,
    decode,
    find_key,
    to_bool,
    to_int,
    to_number,
    to_text,
)

_READ_ONLY = frozenset(("true", "false", "?", "pid", "host", "psversiontable", "home", "pshome", "shellid", "executioncontext"))
_NULL_AUTOMATIC = frozenset(("null", "lastexitcode", "matches", "error", "stacktrace", "_", "psitem", "args", "input"))


class Expressions(SessionState):
    """Expressions over a session's state; statements inside them are the evaluator's."""

    @abstractmethod
    def statements(self, statements: Sequence[s.Statement], emit: Emit) -> None:
        """Run statements in order."""

    @abstractmethod
    def statement(self, statement: s.Statement, emit: Emit) -> None:
        """Run one statement."""

    def invoke(self, block: ScriptBlock, arguments: Sequence[object] = (), *, item: object = None, has_item: bool = False) -> list[object]:
        """Run a script block with `$_` set to the item, and give its output."""
        output: list[object] = []
        passed = [Passed(None, one) for one in arguments]
        if not has_item:
            self.run_body(block.body, passed, output.append)
            return output
        # The blocks of ForEach-Object and its kin see and change the variables of the scope that they stand in.
        before = [(name, self.scopes.get(name, "local")) for name in ("_", "PSItem")]
        self.scopes.set("_", item)
        self.scopes.set("PSItem", item)
        try:
            self.run_body(block.body, passed, output.append, new_scope=False)
        finally:
            for name, (_, value) in before:
                self.scopes.set(name, value)
        return output

    @abstractmethod
    def run_body(
        self,
        body: s.Body,
        arguments: Sequence[Passed],
        emit: Emit,
        *,
        piped: Iterable[object] | None = None,
        new_scope: bool = True,
        name: str = "",
        script: str = "",
    ) -> None:
        """Run a script, a function or a script block: bind its parameters, then begin, process for each item that flows in, end.

        `piped` None: nothing flows in. `script` is the path of the file that it is the text of.
        """

    def _statement_value(self, statement: s.Statement) -> object:
        output: list[object] = []
        self.statement(statement, output.append)
        return collect(output)

    def _silent(self, expression: s.Expression) -> object:
        """An expression as a statement: `++` and a call of a void method write nothing."""
        if isinstance(expression, s.Increment):
            self._increment(expression)
            return NOTHING
        if isinstance(expression, s.Cast) and expression.type_name.lower() in ("void", "system.void"):
            self.value(expression.operand)
            return NOTHING
        if isinstance(expression, s.Parenthesis | s.SubExpression | s.Variable):
            value = self.value(expression)
            return NOTHING if value is None and not isinstance(expression, s.Variable) else value
        value = self.value(expression)
        return NOTHING if value is None and isinstance(expression, s.Invoke) else value

    def value(self, expression: s.Expression) -> object:
        """What an expression is worth. Raises `Terminating`."""
        match expression:
            case s.Literal():
                return expression.value
            case s.Variable():
                return self._variable(expression)
            case s.Expandable():
                return bounded("".join(part if isinstance(part, str) else self._expanded(self.value(part)) for part in expression.parts))
            case s.Binary():
                return self._binary(expression)
            case s.Unary():
                return self._unary(expression)
            case s.ArrayLiteral():
                return [self.value(one) for one in expression.items]
            case s.ArrayExpression():
                output: list[object] = []
                self.statements(expression.body, output.append)
                return output
            case s.SubExpression():
                found: list[object] = []
                self.statements(expression.body, found.append)
                return collect(found)
            case s.Parenthesis():
                return self._parenthesis(expression)
            case s.Hash():
                return self._hash(expression)
            case s.Block():
                return ScriptBlock(expression.body)
            case s.Cast():
                return self._cast(expression)
            case s.TypeLiteral():
                return TypeValue(types.full_name(expression.type_name))
            case s.Member():
                return self._member(expression)
            case s.Invoke():
                return self._invoke_member(expression)
            case s.Index():
                return self._index(expression)
            case s.Increment():
                return self._increment(expression)

    def _index(self, expression: s.Index) -> object:
        target = self.value(expression.target)
        return members.index(target, self.value(expression.index))

    def _expanded(self, value: object) -> str:
        separator = self.variable("OFS")
        if isinstance(value, list) and separator is not None:
            return bounded(to_text(separator).join(to_text(one) for one in value))
        return to_text(value)

    def _parenthesis(self, expression: s.Parenthesis) -> object:
        if isinstance(expression.body, s.Assignment):
            return self._assign(expression.body)
        if isinstance(expression.body, s.Pipeline) and len(expression.body.elements) == 1:
            first = expression.body.elements[0]
            if not isinstance(first, s.CommandCall | s.RedirectedExpression):
                return self.value(first)
        return self._statement_value(expression.body)

    def _hash(self, expression: s.Hash) -> dict[str, object]:
        table: dict[str, object] = {}
        for key, statement in expression.entries:
            name = to_text(self.value(key))
            if find_key(table, name) is not None:
                raise fail(f"Duplicate keys '{shown(name)}' are not allowed in hash literals.", "DuplicateKeyInHashLiteral", "ParserError")
            table[name] = self._assigned(statement)
        return table

    def _cast(self, expression: s.Cast) -> object:
        low = expression.type_name.lower()
        value = self.value(expression.operand)
        return types.convert(self, low, value)

    def _unary(self, expression: s.Unary) -> object:
        if expression.operator == ",":
            return [self.value(expression.operand)]
        value = self.value(expression.operand)
        match expression.operator:
            case "-not" | "!":
                return not to_bool(value)
            case "-":
                return operators.arithmetic("-", 0, value)
            case "+":
                return to_number(value)
            case "-join":
                return bounded("".join(to_text(one) for one in as_list(value)))
            case "-split" | "-isplit" | "-csplit":
                return operators.unary_split(value)
            case "-bnot":
                return ~to_int(value)
            case other:
                raise refuse(f"the operator '{other}'")

    def _binary(self, expression: s.Binary) -> object:
        operator = expression.operator
        left = self.value(expression.left)
        if operator == "-and" and not to_bool(left):
            return False
        if operator == "-or" and to_bool(left):
            return True
        right = self.value(expression.right)
        match operator:
            case "-and" | "-or" | "-xor":
                return operators.logical(operator, to_bool(left), right)
            case "+" | "-" | "*" | "/" | "%":
                return operators.arithmetic(operator, left, right)
            case "..":
                return self._range(left, right)
            case "-f":
                return operators.format_text(to_text(left), as_list(right) if right is not None else [None])
            case "-band" | "-bor" | "-bxor" | "-shl" | "-shr":
                return operators.bitwise(operator, left, right)
            case "-is" | "-isnot":
                return types.is_type(left, right) == (operator == "-is")
            case "-as":
                try:
                    return types.convert(self, to_text(right), left)
                except Terminating as error:
                    if error.record.error_id == "NotEmulated":
                        raise
                    return None
            case _ if operator.removeprefix("-").removeprefix("i").removeprefix("c") in ("match", "notmatch"):
                answer, groups = operators.match(operator, left, right)
                if groups is not None:
                    self.scopes.set("Matches", dict(groups))
                return answer
            case _:
                return operators.relation(operator.removeprefix("-"), left, right)

    def _range(self, left: object, right: object) -> list[object]:
        first, final = to_int(left), to_int(right)
        if abs(final - first) >= MAX_ITEMS:
            raise refuse(f"a range of more than {MAX_ITEMS} items")
        step = 1 if final >= first else -1
        return list(range(first, final + step, step))

    def _member(self, expression: s.Member) -> object:
        name = to_text(self.value(expression.name))
        if expression.static:
            return statics.get_static(self, self._type_name(expression.target), name)
        return members.get_member(self, self.value(expression.target), name)

    def _invoke_member(self, expression: s.Invoke) -> object:
        name = to_text(self.value(expression.name))
        arguments = [self.value(one) for one in expression.arguments]
        if expression.static:
            return statics.call_static(self, self._type_name(expression.target), name, arguments)
        return members.call_member(self, self.value(expression.target), name, arguments)

    def _type_name(self, expression: s.Expression) -> str:
        if isinstance(expression, s.TypeLiteral):
            return types.full_name(expression.type_name)
        value = self.value(expression)
        if isinstance(value, TypeValue):
            return value.name
        raise refuse("a static member of something that is not a type")

    def _variable(self, variable: s.Variable) -> object:
        match variable.scope:
            case "env":
                key = find_key(self.environment, variable.name)
                return self.environment[key] if key is not None else None
            case "function":
                found = self.scopes.function(variable.name)
                return ScriptBlock(found[1]) if found is not None else None
            case "alias":
                return self.aliases.get(variable.name.lower())
            case "" | "global" | "script" | "local" | "private" | "variable":
                pass
            case "using":
                raise fail(
                    "A Using variable cannot be retrieved. A Using variable can be used only with Invoke-Command, Start-Job, or "
                    "InlineScript in the script workflow.",
                    "UsingWithoutInvokeCommand",
                )
            case other if len(other) == 1:
                return self._drive_content(f"{other}:{variable.name}")
            case other:
                raise refuse(f"the drive '{shown(other)}:' in a variable")
        scope = "" if variable.scope in ("variable", "script") else variable.scope
        known, value = self.scopes.get(variable.name, scope)
        if known:
            return value
        low = variable.name.lower()
        if low in ("pscmdlet", "this"):
            raise refuse(f"the variable ${variable.name}")
        value = self._automatic(low)
        if value is None and self._strict and low not in _NULL_AUTOMATIC:
            raise fail(
                f"The variable '${variable.name}' cannot be retrieved because it has not been set.",
                "VariableIsUndefined",
                "InvalidOperation",
                variable.name,
            )
        return value

    def _drive_content(self, path: str) -> object:
        """`${C:\\path}`: the lines of a file."""
        try:
            text = decode(self.host.files.read(absolute(path, self.location)).content)
        except FileFault:
            return None
        return collect(text.splitlines())

    def _assign(self, assignment: s.Assignment) -> object:
        value = self._assigned(assignment.value)
        if assignment.operator != "=":
            sign = assignment.operator[:-1]
            if sign not in ("+", "-", "*", "/", "%"):  # ??= is of PowerShell 7
                raise fail(f"Unexpected token '{assignment.operator}' in expression or statement.", "UnexpectedToken", "ParserError")
            value = operators.arithmetic(sign, self.value(assignment.target), value)
        self._store(assignment.target, value)
        return value

    def _assigned(self, statement: s.Statement) -> object:
        if isinstance(statement, s.Assignment):
            return self._assign(statement)
        if isinstance(statement, s.Pipeline) and len(statement.elements) == 1:
            only = statement.elements[0]
            if not isinstance(only, s.CommandCall | s.RedirectedExpression):
                return self.value(only)
        return self._statement_value(statement)

    def _store(self, target: s.Expression, value: object) -> None:
        match target:
            case s.Variable():
                self._store_variable(target, value)
            case s.Cast(operand=s.Variable() as variable) if variable.scope in ("", "local", "script", "global", "private"):
                self._store_variable(variable, types.convert(self, target.type_name, value))
                self.scopes.constrain(variable.name, target.type_name, variable.scope)
            case s.Cast():
                self._store(target.operand, types.convert(self, target.type_name, value))
            case s.ArrayLiteral():
                values = as_list(value)
                for place, one in enumerate(target.items):
                    final = place == len(target.items) - 1
                    held: object = values[place] if place < len(values) else None
                    if final and len(values) > len(target.items):
                        held = values[place:]
                    self._store(one, held)
            case s.Member(static=False):
                members.set_member(self, self.value(target.target), to_text(self.value(target.name)), value)
            case s.Index():
                members.set_index(self.value(target.target), self.value(target.index), value)
            case s.Parenthesis(body=s.Pipeline(elements=(inner,))) if not isinstance(inner, s.CommandCall | s.RedirectedExpression):
                self._store(inner, value)
            case _:
                raise fail("The assignment expression is not valid.", "InvalidLeftHandSide", "ParserError")

    def _store_variable(self, target: s.Variable, value: object) -> None:
        low = target.name.lower()
        match target.scope:
            case "env":
                key = find_key(self.environment, target.name) or target.name
                if value is None or to_text(value) == "":
                    self.environment.pop(key, None)
                else:
                    self.environment[key] = to_text(value)
                return
            case "function":
                if not isinstance(value, ScriptBlock):
                    raise refuse("a function that is not a script block")
                self.scopes.define(target.name, value.body)
                return
            case "alias":
                self.aliases[low] = to_text(value)
                return
            case "" | "global" | "script" | "local" | "private" | "variable":
                pass
            case other:
                raise refuse(f"the drive '{shown(other)}:' in a variable")
        if low == "null":
            return
        if low in _READ_ONLY:
            raise fail(
                f"Cannot overwrite variable {target.name} because it is read-only or constant.", "VariableNotWritable", "WriteError", low
            )
        if low == "lastexitcode":
            self.exit_code = to_int(value)
            return
        scope = "" if target.scope == "variable" else target.scope
        kind = self.scopes.constraint(target.name, scope)
        self.scopes.set(target.name, types.convert(self, kind, value) if kind else value, scope)

    def _increment(self, expression: s.Increment) -> object:
        old = to_number(self.value(expression.target))
        new = operators.arithmetic("+", old, expression.step)
        self._store(expression.target, new)
        return new if expression.before else old


class Nothing:
    """The value of a statement that writes nothing."""


NOTHING = Nothing()
