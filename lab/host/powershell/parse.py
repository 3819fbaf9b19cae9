"""From script text to `syntax`, over the tree-sitter-pwsh grammar.

The grammar's concrete tree is read here and nowhere else. A text that the grammar does not take is a `ParseFault`; a construct that it
takes and the emulated host has no meaning for is a `Refused`: a script is refused whole, before a statement of it runs.

The grammar wants a line end after some closing brackets where PowerShell wants none, and takes `1..3` and `7/2` for commands. Both are
mended by inserting blanks and parsing again; `_Source` remembers them, so that every text handed on is the one that was received.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

import tree_sitter_pwsh
from tree_sitter import Language, Node, Parser

from lab.host.powershell import syntax as s

MAX_SCRIPT = 256 * 1024
"""Characters of a script: far above a scenario's, below what the grammar's error recovery takes long for."""

_LANGUAGE = Language(tree_sitter_pwsh.language())
_MENDS = 12
_ESCAPES = {"0": "\0", "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_UNITS = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "pb": 1 << 50}
_BINARY = frozenset({"logical", "bitwise", "comparison", "additive", "multiplicative", "format", "range"})
_BARE_ARITHMETIC = re.compile(rb"^-?\d+(?:\.\d+)?(?:[kmgtp]b)?(\.\.|[-+*/%])(?=$|[\d$(-])", re.IGNORECASE)
_BARE_LABEL = re.compile(rb"(?i)\b((?:break|continue)[ \t]+)(?=[A-Za-z_])")
"""`break outer`: the grammar wants a colon before the label."""
_BARE_DOLLAR = re.compile(rb"(?<=\w)\$(?=[\s;|)}\\]|$)")
"""A dollar sign that begins no variable, as in an administrative share's name."""
_STREAM_TOKEN = re.compile(r"([1-6*]?)(>>?)(.+)", re.DOTALL)


class ParseFault(Exception):
    """The text is no PowerShell 5.1, as far as the grammar knows: `near` is what it stumbled over, `line` from 1.

    `message` and `error_id` where PowerShell has words of its own for it.
    """

    def __init__(self, near: str, line: int, *, message: str = "", error_id: str = "UnexpectedToken") -> None:
        super().__init__(near)
        self.near = near
        self.line = line
        self.message = message or f"Unexpected token '{near[:80]}' in expression or statement."
        self.error_id = error_id


class Refused(Exception):
    """The text is PowerShell, of a kind that is not emulated: `construct` names it."""

    def __init__(self, construct: str) -> None:
        super().__init__(construct)
        self.construct = construct


def parse(text: str) -> s.Body:
    """Parse a whole script. Raises `ParseFault`, `Refused`."""
    if len(text) > MAX_SCRIPT:
        raise Refused(f"a script of more than {MAX_SCRIPT} characters")
    if "\0" in text:
        raise ParseFault("\0", text.count("\n", 0, text.index("\0")) + 1)
    source = _Source(text)
    root = source.parse()
    if _begins_with_block(root, source):
        # The grammar knows begin, process and end in a script block alone, and takes them for commands in a script.
        root = source.parse_as_block()
    try:
        return _Reader(source).script(root)
    except RecursionError:
        raise Refused("a script nested this deeply") from None


class _Source:
    """A text, mended where the grammar needs it."""

    def __init__(self, text: str) -> None:
        self._bytes = text.encode("utf-8", "replace")
        self._inserted: list[int] = []
        self._lines: dict[int, str] = {}

    def parse(self) -> Node:
        parser = Parser(_LANGUAGE)
        for _ in range(_MENDS):
            root = parser.parse(self._bytes).root_node
            mends = self._mends(root)
            if not mends:
                break
            self._insert(mends)
        if root.has_error:
            culprit = _first_error(root)
            near = self.text(culprit).strip().splitlines()
            raise ParseFault(near[0][:80] if near else "", culprit.start_point[0] + 1)
        return root

    def parse_as_block(self) -> Node:
        """The same text between braces: the script block that it is the inside of. Raises `ParseFault`."""
        self._insert([(0, b"{")])
        for last in (b"\n", b"}"):  # on a line of its own: the text may end in a comment
            self._insert([(len(self._bytes), last)])
        node: Node | None = self.parse()
        while node is not None and node.type != "script_block_expression":
            node = next((child for child in node.children if child.is_named and child.type != "comment"), None)
        if node is None:
            raise ParseFault("", 1)
        return node

    def text(self, node: Node) -> str:
        """The node's text as it was received."""
        return self.slice(node.start_byte, node.end_byte)

    def line(self, node: Node) -> str:
        """The line in which the node begins, without its end. One string for all nodes of a line, however long it is."""
        start = node.start_byte - node.start_point[1]
        if start not in self._lines:
            end = self._bytes.find(b"\n", start)
            self._lines[start] = self.slice(start, end if end >= 0 else len(self._bytes)).removesuffix("\r")
        return self._lines[start]

    def slice(self, start: int, end: int) -> str:
        """The received text between two places of the mended one."""
        piece = bytearray()
        last = start
        for at in self._inserted:
            if start <= at < end:
                piece += self._bytes[last:at]
                last = at + 1
        piece += self._bytes[last:end]
        return piece.decode("utf-8", "replace")

    def _mends(self, root: Node) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        pending = [root]
        while pending:
            node = pending.pop()
            if node.type == "ERROR":
                piece = self._bytes[node.start_byte : node.end_byte]
                found += [(node.start_byte + one.end(1), b":") for one in _BARE_LABEL.finditer(piece)]
                found += [(node.start_byte + one.start(), b"`") for one in _BARE_DOLLAR.finditer(piece)]
                closed = [child for child in node.children if child.type in ("param_block", "statement_block", "switch_clause")]
                found += [(child.end_byte, b"\n") for child in closed[:64]]
            elif node.type == "switch_clause" and root.has_error:
                block = _child(node, "statement_block")
                if block is not None:
                    found.append((block.end_byte, b"\n"))
            elif node.type == "command_name":
                bare = _BARE_ARITHMETIC.match(self._bytes[node.start_byte : node.end_byte])
                if bare:
                    found += [(node.start_byte + bare.start(1), b" "), (node.start_byte + bare.end(1), b" ")]
            pending += node.children
        return [mend for mend in found if not self._is_mended(mend[0])]

    def _is_mended(self, at: int) -> bool:
        return at in self._inserted or at - 1 in self._inserted

    def _insert(self, mends: list[tuple[int, bytes]]) -> None:
        for at, blank in sorted(mends, reverse=True):
            self._bytes = self._bytes[:at] + blank + self._bytes[at:]
            self._inserted = sorted([place + 1 if place >= at else place for place in self._inserted] + [at])


def _begins_with_block(root: Node, source: _Source) -> bool:
    """Whether a script's first statement is one of the blocks that run before, for each of, and after its input."""
    statements = next((child for child in root.children if child.type == "statement_list"), None)
    node = statements.children[0] if statements is not None and statements.children else None
    while node is not None and node.type in ("pipeline", "pipeline_chain"):
        node = node.children[0] if node.children else None
    if node is None or node.type != "command":
        return False
    return bool(re.match(r"(?i)(begin|process|end|dynamicparam)\s*\{", source.text(node).lstrip()))


def _first_error(root: Node) -> Node:
    node = root
    while True:
        for child in node.children:
            if child.is_error or child.is_missing or child.has_error:
                node = child
                break
        else:
            return node
        if node.is_error or node.is_missing:
            return node


def _parameter(expression: s.Expression) -> s.ScriptParameter:
    """A parameter without a default, from the expression that it looks like: a variable behind casts."""
    types: list[str] = []
    while isinstance(expression, s.Cast):
        types.append(expression.type_name)
        expression = expression.operand
    if not isinstance(expression, s.Variable):
        raise Refused("an array as the default of a parameter")
    return s.ScriptParameter(expression.name, tuple(types), None)


def _is_set(held: dict[str, s.Expression | None], name: str) -> bool:
    """Whether a property of an attribute is true: `Mandatory` alone says so, and `Mandatory=$true`."""
    if name not in held:
        return False
    value = held[name]
    return value is None or (isinstance(value, s.Variable) and value.name.lower() == "true")


def _named(node: Node) -> list[Node]:
    return [child for child in node.children if child.is_named and child.type != "comment"]


def _child(node: Node, kind: str) -> Node | None:
    return next((child for child in node.children if child.type == kind), None)


class _Reader:
    """One reading of a concrete tree."""

    def __init__(self, source: _Source) -> None:
        self._source = source

    def _text(self, node: Node) -> str:
        return self._source.text(node)

    # --- bodies and statements --------------------------------------------------------------------------------------------

    def script(self, root: Node) -> s.Body:
        return self._body(root, self._text(root))

    def _body(self, node: Node, text: str, parameters: tuple[s.ScriptParameter, ...] = ()) -> s.Body:
        """A body from a program, a script block or a function: whatever holds a param block and statements."""
        advanced = any(one.mandatory or one.position is not None or one.by_value or one.by_name for one in parameters)
        begin: tuple[s.Statement, ...] = ()
        process: tuple[s.Statement, ...] = ()
        end: tuple[s.Statement, ...] = ()
        for child in _named(node):
            match child.type:
                case "param_block":
                    parameters = self._parameters(child)
                    advanced = bool(re.search(r"(?i)\[\s*(?:CmdletBinding|Parameter)\s*\(", self._text(child)))
                case "statement_list":
                    end += self._statements(child)
                case "script_block" | "script_block_body":
                    inner = self._body(child, text, parameters)
                    parameters, begin, process, end = inner.parameters, inner.begin, inner.process, end + inner.end
                    advanced = advanced or inner.advanced
                case "named_block_list":
                    for block in _named(child):
                        name = self._text(block.children[0]).strip().lower()
                        held = self._block(block)
                        if name == "begin":
                            begin = held
                        elif name == "process":
                            process = held
                        elif name == "end":
                            end = held
                        else:
                            raise Refused(f"the block '{name}'")
                case "function_name" | "function_parameter_declaration":
                    pass
                case other:
                    raise Refused(f"the construct '{other}'")
        return s.Body(text, parameters, begin, process, end, advanced)

    def _parameters(self, node: Node) -> tuple[s.ScriptParameter, ...]:
        listed = _child(node, "parameter_list")
        found: list[s.ScriptParameter] = []
        for one in _named(listed) if listed is not None else ():
            variable = _child(one, "variable")
            if variable is None:
                raise Refused("a parameter without a variable")
            default = _child(one, "script_parameter_default")
            value = self._expression(_named(default)[0]) if default is not None else None
            swallowed: tuple[s.Expression, ...] = ()
            if isinstance(value, s.ArrayLiteral):
                # A default is one value: what the grammar takes for more items of an array are the next parameters.
                swallowed, value = value.items[1:], value.items[0]
            found.append(self._parameter(self._variable(variable).name, value, _child(one, "attribute_list")))
            found += [_parameter(one) for one in swallowed]
        return tuple(found)

    def _parameter(self, name: str, default: s.Expression | None, attributes: Node | None) -> s.ScriptParameter:
        types: list[str] = []
        aliases: list[str] = []
        checks: list[s.Check] = []
        held: dict[str, s.Expression | None] = {}
        for attribute in _named(attributes) if attributes is not None else ():
            literal = _child(attribute, "type_literal")
            if literal is not None:
                types.append(self._type(literal))
                continue
            head, given = _child(attribute, "attribute_name"), _child(attribute, "attribute_arguments")
            kind = self._text(head).strip().lower().removesuffix("attribute") if head is not None else ""
            listed = _named(given) if given is not None else []
            if kind == "parameter":
                for one in listed:
                    parts = _named(one)
                    held[self._text(parts[0]).strip().lower()] = self._expression(parts[1]) if len(parts) > 1 else None
            elif kind == "alias":
                aliases += [part.strip().strip("'\"") for one in listed for part in self._text(one).split(",")]
            elif kind.startswith("validate") or kind.startswith("allow"):
                inner = [self._expression(_named(one)[0]) for one in listed]
                flat = [item for one in inner for item in (one.items if isinstance(one, s.ArrayLiteral) else (one,))]
                checks.append(s.Check(kind.removeprefix("validate"), tuple(flat)))
            else:
                raise Refused(f"the attribute [{kind}]")
        position = held.get("position")
        return s.ScriptParameter(
            name,
            tuple(types),
            default,
            mandatory=_is_set(held, "mandatory"),
            position=position.value if isinstance(position, s.Literal) and isinstance(position.value, int) else None,
            aliases=tuple(aliases),
            by_value=_is_set(held, "valuefrompipeline"),
            by_name=_is_set(held, "valuefrompipelinebypropertyname"),
            rest=_is_set(held, "valuefromremainingarguments"),
            checks=tuple(checks),
        )

    def _statements(self, node: Node | None) -> tuple[s.Statement, ...]:
        if node is None:
            return ()
        found: list[s.Statement] = []
        label = ""
        for child in _named(node):
            if child.type == "label":
                label = self._text(child).strip().lstrip(":")
            elif child.type != "empty_statement":
                found.append(self._statement(child, label))
                label = ""
        return tuple(found)

    def _block(self, node: Node) -> tuple[s.Statement, ...]:
        """The statements of a `{ }` below the node, or of the node itself."""
        block = node if node.type == "statement_block" else _child(node, "statement_block")
        return self._statements(_child(block, "statement_list")) if block is not None else ()

    def _statement(self, node: Node, label: str = "") -> s.Statement:
        match node.type:
            case "pipeline":
                tail = _child(node, "pipeline_chain_tail")
                if tail is not None:
                    sign = self._text(tail).strip()
                    said = f"The token '{sign}' is not a valid statement separator in this version."
                    raise ParseFault(sign, tail.start_point[0] + 1, message=said, error_id="InvalidEndOfLine")
                return self._statement(_named(node)[0])
            case "pipeline_chain":
                return s.Pipeline(self._stages(node), self._text(node).strip())
            case "assignment_value":
                return self._statement(_named(node)[0])
            case "assignment_expression":
                target, operator, value = _named(node)
                return s.Assignment(self._expression(target), self._text(operator).strip(), self._statement(value))
            case "if_statement":
                return self._if(node)
            case "while_statement":
                return s.While(self._condition(node), self._block(node), body_first=False, until=False, label=label)
            case "do_statement":
                until = any(child.type.lower() == "until" for child in node.children)
                return s.While(self._condition(node), self._block(node), body_first=True, until=until, label=label)
            case "for_statement":
                parts = {child.type: self._statement(_named(child)[0]) for child in _named(node) if child.type.startswith("for_")}
                return s.For(parts.get("for_initializer"), parts.get("for_condition"), parts.get("for_iterator"), self._block(node), label)
            case "foreach_statement":
                if _child(node, "foreach_parameter") is not None:
                    raise Refused("foreach -parallel")
                variable, values = (child for child in _named(node) if child.type != "statement_block")
                return s.Foreach(self._variable(variable), self._statement(values), self._block(node), label)
            case "switch_statement":
                return self._switch(node, label)
            case "try_statement":
                return self._try(node)
            case "trap_statement":
                caught = _child(node, "type_literal")
                return s.Trap(self._type(caught) if caught is not None else "", self._block(node))
            case "function_statement":
                return self._function(node)
            case "flow_control_statement":
                kind = self._text(node.children[0]).strip().lower()
                inner = _named(node)
                if kind in ("break", "continue") and inner:
                    return s.Flow(kind, None, self._text(inner[0]).strip().lstrip(":"))
                return s.Flow(kind, self._statement(inner[0]) if inner else None)
            case other:
                raise Refused(f"the statement '{other}'")

    def _condition(self, node: Node) -> s.Statement:
        held = node.child_by_field_name("condition")
        if held is None:
            raise Refused(f"'{node.type}' without a condition")
        return self._statement(_named(held)[0] if held.type == "while_condition" else held)

    def _if(self, node: Node) -> s.If:
        branches = [(self._condition(node), self._block(node))]
        clauses = _child(node, "elseif_clauses")
        branches += [(self._condition(one), self._block(one)) for one in (_named(clauses) if clauses is not None else ())]
        last = _child(node, "else_clause")
        return s.If(tuple(branches), self._block(last) if last is not None else ())

    def _switch(self, node: Node, label: str) -> s.Switch:
        mode, sensitive = "", False
        held = _child(node, "switch_parameters")
        for one in _named(held) if held is not None else ():
            name = self._text(one).strip().lower().lstrip("-")
            if name == "casesensitive":
                sensitive = True
            elif name in ("wildcard", "regex", "exact"):
                mode = name
            else:
                raise Refused(f"switch -{name}")
        condition = _child(node, "switch_condition")
        body = _child(node, "switch_body")
        held_condition = _named(condition)[0] if condition is not None and _named(condition) else None
        if held_condition is None or body is None:
            raise Refused("this form of switch")
        values: s.Statement
        of_file = held_condition.type == "switch_filename"
        if of_file:
            inner = _named(held_condition)
            path = self._expression(inner[0]) if inner else self._bareword(held_condition)
            values = s.Pipeline((path,), self._text(held_condition).strip())
        else:
            values = self._statement(held_condition)
        clauses: list[tuple[s.Expression | None, tuple[s.Statement, ...]]] = []
        listed = _child(body, "switch_clauses")
        for clause in _named(listed) if listed is not None else ():
            test = _named(clause)[0]
            operand = _named(test)
            value = self._expression(operand[0]) if operand else None
            if value is None and self._text(test).strip().lower() != "default":
                value = s.Literal(self._text(test).strip(), self._text(test).strip())
            clauses.append((value, self._block(clause)))
        return s.Switch(mode, sensitive, values, tuple(clauses), of_file, label)

    def _try(self, node: Node) -> s.Try:
        catches: list[tuple[tuple[str, ...], tuple[s.Statement, ...]]] = []
        held = _child(node, "catch_clauses")
        for clause in _named(held) if held is not None else ():
            listed = _child(clause, "catch_type_list")
            types = tuple(self._type(one) for one in _named(listed)) if listed is not None else ()
            catches.append((types, self._block(clause)))
        last = _child(node, "finally_clause")
        return s.Try(self._block(node), tuple(catches), self._block(last) if last is not None else ())

    def _function(self, node: Node) -> s.Function:
        kind = self._text(node.children[0]).strip().lower()
        name = _child(node, "function_name")
        if kind not in ("function", "filter") or name is None:
            raise Refused(f"'{kind}'")
        declared = _child(node, "function_parameter_declaration")
        parameters = self._parameters(declared) if declared is not None else ()
        braces = [child for child in node.children if child.type in ("{", "}")]
        text = self._source.slice(braces[0].end_byte, braces[-1].start_byte)
        body = self._body(node, text, parameters)
        if kind == "filter":
            body = s.Body(text, body.parameters, process=body.end, is_filter=True)
        return s.Function(self._text(name).strip(), body)

    # --- commands ---------------------------------------------------------------------------------------------------------

    def _stages(self, node: Node) -> tuple[s.CommandCall | s.RedirectedExpression | s.Expression, ...]:
        found: list[s.CommandCall | s.RedirectedExpression | s.Expression] = []
        for child in _named(node):
            if child.type == "redirections":
                value = found.pop()
                if isinstance(value, s.CommandCall | s.RedirectedExpression):
                    raise Refused("this place of a redirection")
                found.append(s.RedirectedExpression(value, tuple(self._redirection(one) for one in _named(child))))
            else:
                found.append(self._element(child))
        return tuple(found)

    def _element(self, node: Node) -> s.CommandCall | s.Expression:
        if node.type != "command":
            return self._expression(node)
        operator = ""
        name: s.Expression | None = None
        arguments: list[s.Argument | s.ParameterArgument | s.Verbatim] = []
        redirections: list[s.Redirection] = []
        for child in _named(node):
            match child.type:
                case "command_invocation_operator":
                    operator = self._text(child).strip()
                case "command_name":
                    name = self._bareword(child)
                case "command_name_expr" | "path_command_name":
                    name = self._command_name(child)
                case "command_elements":
                    self._elements(child, arguments, redirections)
                case other:
                    raise Refused(f"the command element '{other}'")
        if name is None:
            raise Refused("a command without a name")
        return s.CommandCall(operator, name, tuple(arguments), tuple(redirections), self._source.line(node))

    def _command_name(self, node: Node) -> s.Expression:
        inner = _named(node)
        if node.type == "path_command_name":
            if len(inner) == 1 and inner[0].type == "variable":
                return self._variable(inner[0])
            return self._expandable(node, node.start_byte, node.end_byte, bare=True)
        if inner[0].type in ("command_name", "path_command_name"):
            return self._bareword(inner[0]) if inner[0].type == "command_name" else self._command_name(inner[0])
        return self._expression(inner[0])

    def _elements(
        self, node: Node, arguments: list[s.Argument | s.ParameterArgument | s.Verbatim], redirections: list[s.Redirection]
    ) -> None:
        attach = False
        for child in _named(node):
            if child.type == "command_argument_sep":
                attach = self._text(child).strip() == ":"
                continue
            if child.type == "command_parameter":
                raw = self._text(child).strip()
                arguments.append(s.ParameterArgument(raw.lstrip("-–—"), raw, None))
            elif child.type == "redirection":
                redirections.append(self._redirection(child))
            elif child.type == "redirections":
                redirections += [self._redirection(one) for one in _named(child)]
            elif child.type == "generic_token" and (stream := _STREAM_TOKEN.fullmatch(self._text(child).strip())):
                # `2>>file`, which the grammar takes for a word
                arrow = s.Redirection(stream[1] or "1", s.Literal(stream[3], stream[3]), append=stream[2] == ">>")
                redirections.append(arrow)
            elif child.type == "stop_parsing":
                arguments.append(s.Verbatim(self._text(child).strip()[3:].lstrip()))
            else:
                value = self._expression(child)
                last = arguments[-1] if arguments else None
                if attach and isinstance(last, s.ParameterArgument) and last.value is None:
                    arguments[-1] = s.ParameterArgument(last.name, last.raw + ":", value)
                else:
                    arguments.append(s.Argument(value))
            attach = False

    def _redirection(self, node: Node) -> s.Redirection:
        operator = self._text(node.children[0]).strip()
        stream = operator[0] if operator[0] in "123456*" else "1"
        if "&" in operator:
            if not operator.endswith("&1"):
                raise Refused(f"the redirection {operator}")
            return s.Redirection(stream, None, append=False)
        name = _child(node, "redirected_file_name")
        value = [child for child in _named(name) if child.type != "command_argument_sep"] if name is not None else []
        if len(value) != 1:
            raise Refused(f"the redirection {operator} to this target")
        return s.Redirection(stream, self._expression(value[0]), append=">>" in operator)

    def _bareword(self, node: Node) -> s.Expression:
        text = self._text(node)
        if "$" in text or "`" in text:
            return self._expandable(node, node.start_byte, node.end_byte, bare=True)
        return s.Literal(text.strip(), text.strip())

    # --- expressions ------------------------------------------------------------------------------------------------------

    def _expression(self, node: Node) -> s.Expression:
        kind = node.type
        if kind.endswith("_expression"):
            base = kind.removesuffix("_expression").removesuffix("_argument")
            if base in _BINARY and node.child_count == 3:
                left, operator, right = node.children
                return s.Binary(self._text(operator).strip().lower(), self._expression(left), self._expression(right))
            if base in ("ternary", "null_coalesce") and node.child_count > 1:
                # Windows PowerShell 5.1 has no such operators: it stumbles over them as over any other stray token.
                sign = node.children[1]
                raise ParseFault(self._text(sign).strip(), sign.start_point[0] + 1)
        inner = _named(node)
        match kind:
            case "expression_with_unary_operator":
                if len(inner) == node.child_count == 1:
                    return self._expression(inner[0])
                return s.Unary(self._text(node.children[0]).strip().lower(), self._expression(inner[-1]))
            case "integer_literal" | "real_literal" | "decimal_integer_literal" | "hexadecimal_integer_literal":
                return self._number(self._text(node).strip())
            case "string_literal":
                return self._string(node)
            case "expandable_string_literal":
                return self._expandable(node, node.start_byte + self._blank(node) + 1, node.end_byte - 1, bare=False)
            case "verbatim_string_characters":
                text = self._text(node).strip()
                return s.Literal(text[1:-1].replace("''", "'"), text)
            case "variable":
                return self._variable(node)
            case "array_literal_expression" | "bareword_argument_list" if len(inner) > 1:
                return s.ArrayLiteral(tuple(self._expression(child) for child in inner))
            case "array_expression":
                return s.ArrayExpression(self._statements(_child(node, "statement_list")))
            case "sub_expression":
                return s.SubExpression(self._statements(_child(node, "statement_list")))
            case "parenthesized_expression":
                return s.Parenthesis(self._statement(inner[0]))
            case "hash_literal_expression":
                return self._hash(node)
            case "script_block_expression":
                return self._script_block(node)
            case "cast_expression":
                return s.Cast(self._type(inner[0]), self._expression(inner[1]))
            case "type_literal":
                return s.TypeLiteral(self._type(node))
            case "member_access":
                return s.Member(self._expression(inner[0]), self._member(inner[1]), static=_child(node, "::") is not None)
            case "invocation_expression":
                return self._invocation(node)
            case "element_access":
                return s.Index(self._expression(inner[0]), self._expression(inner[1]))
            case "post_increment_expression" | "pre_increment_expression" | "post_decrement_expression" | "pre_decrement_expression":
                step = 1 if "increment" in kind else -1
                return s.Increment(self._expression(inner[-1]), step, before=kind.startswith("pre"))
            case "generic_token" | "command_name" | "simple_name":
                return self._bareword(node)
            case "command_parameter":
                return s.Literal(self._text(node).strip(), self._text(node).strip())
            case "concatenated_command_argument" | "expandable_bareword":
                return self._concatenated(node)
            case _ if len(inner) == 1 and (kind.endswith("_expression") or kind in ("bareword_argument_list",)):
                return self._expression(inner[0])
            case _:
                raise Refused(f"the expression '{kind}'")

    def _blank(self, node: Node) -> int:
        raw = node.text or b""
        return len(raw) - len(raw.lstrip())

    def _string(self, node: Node) -> s.Expression:
        inner = _named(node)[0]
        if inner.type not in ("expandable_here_string_literal", "verbatim_here_string_characters"):
            return self._expression(inner)
        head = re.match(rb"\s*@['\"][ \t]*\r?\n", inner.text or b"")
        tail = re.search(rb"\r?\n['\"]@\s*$", inner.text or b"")
        start = inner.start_byte + (head.end() if head else 2)
        end = max(start, inner.start_byte + (tail.start() if tail else len(inner.text or b"") - 2))
        if inner.type == "expandable_here_string_literal":
            return self._expandable(inner, start, end, bare=False, here=True)
        text = self._source.slice(start, end)
        return s.Literal(text, text)

    def _expandable(self, node: Node, start: int, end: int, *, bare: bool, here: bool = False) -> s.Expression:
        parts: list[str | s.Expression] = []
        at = start
        for child in node.children:
            if child.type not in ("variable", "sub_expression") or child.start_byte < start or child.end_byte > end:
                continue
            first = child.start_byte + self._blank(child)
            if first < at:
                continue
            self._literal(parts, self._source.slice(at, first), bare=bare, here=here)
            parts.append(self._expression(child))
            at = child.end_byte
        self._literal(parts, self._source.slice(at, end), bare=bare, here=here)
        if not parts:
            return s.Literal("", "")
        if len(parts) == 1 and isinstance(parts[0], str):
            return s.Literal(parts[0], parts[0])
        return s.Expandable(tuple(parts))

    def _literal(self, parts: list[str | s.Expression], text: str, *, bare: bool, here: bool) -> None:
        if not bare and not here:
            text = text.replace('""', '"')
        if "`" in text:
            text = re.sub(r"`(\r\n|.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)
        if bare and re.search(r"(?<!`)\$[A-Za-z_{(]", text):
            raise Refused(f"the bareword '{text[:80]}'")
        if text:
            parts.append(text)

    def _concatenated(self, node: Node) -> s.Expression:
        parts: list[str | s.Expression] = []
        for child in _named(node):
            one = self._expression(child)
            if isinstance(one, s.Literal):
                parts.append(str(one.value) if child.type != "generic_token" else one.raw)
            else:
                parts.append(one)
        return s.Expandable(tuple(parts))

    def _number(self, text: str) -> s.Literal:
        raw = text
        low = text.lower()
        factor = 1
        if low[-2:] in _UNITS and not low.startswith("0x"):
            factor, low = _UNITS[low[-2:]], low[:-2]
        suffix = low[-1] if low[-1] in "ld" and not low.startswith("0x") else ""
        low = low.removesuffix(suffix) if suffix else low
        value: int | float | Decimal
        try:
            if low.startswith("0x"):
                value = int(low.rstrip("l"), 16)
                value = value - (1 << 32) if 0x80000000 <= value <= 0xFFFFFFFF and len(low) == 10 else value
            elif suffix == "d":
                value = Decimal(low)
            else:
                value = int(low) if re.fullmatch(r"\d+", low) else float(low)
            value *= factor
            return s.Literal(float(value) if isinstance(value, int) and value.bit_length() > 63 else value, raw)
        except (ValueError, InvalidOperation, OverflowError):
            raise Refused(f"the number '{raw[:80]}'") from None

    def _variable(self, node: Node) -> s.Variable:
        text = self._text(node).strip()
        splatted = text.startswith("@")
        name = text[1:]
        if name.startswith("{") and name.endswith("}"):
            name = name[1:-1]
        scope, colon, rest = name.partition(":")
        if colon and rest:
            return s.Variable(scope.lower(), rest, splatted)
        return s.Variable("", name, splatted)

    def _hash(self, node: Node) -> s.Hash:
        entries: list[tuple[s.Expression, s.Statement]] = []
        body = _child(node, "hash_literal_body")
        for entry in _named(body) if body is not None else ():
            key, value = _named(entry)
            named = _named(key)[0]
            where = s.Literal(self._text(named).strip(), "") if named.type == "simple_name" else self._expression(named)
            entries.append((where, self._statement(value)))
        return s.Hash(tuple(entries))

    def _script_block(self, node: Node) -> s.Block:
        text = self._source.slice(node.children[0].end_byte, node.children[-1].start_byte)
        return s.Block(self._body(node, text))

    def _member(self, node: Node) -> s.Expression:
        inner = _named(node)
        one = inner[0] if inner else node
        if one.type == "simple_name":
            return s.Literal(self._text(one).strip(), "")
        return self._expression(one)

    def _invocation(self, node: Node) -> s.Invoke:
        inner = _named(node)
        if inner[0].type in ("invocation_where_expression", "invocation_foreach_expression"):
            name = "Where" if "where" in inner[0].type else "ForEach"
            held = _named(inner[0])
            arguments = next((child for child in held if child.type == "argument_list"), None)
            return s.Invoke(self._expression(held[0]), s.Literal(name, name), self._arguments(arguments), static=False)
        arguments = next((child for child in inner if child.type == "argument_list"), None)
        static = _child(node, "::") is not None
        return s.Invoke(self._expression(inner[0]), self._member(inner[1]), self._arguments(arguments), static=static)

    def _arguments(self, node: Node | None) -> tuple[s.Expression, ...]:
        listed = _child(node, "argument_expression_list") if node is not None else None
        return tuple(self._expression(child) for child in _named(listed)) if listed is not None else ()

    def _type(self, node: Node) -> str:
        return re.sub(r"\s+", "", self._text(node))[1:-1]
