"""Does an event satisfy a predicate tree? Compiles a tree to a closure, with Sigma's semantics to the letter.

This module is the only one that uses the `regex` engine, because that engine can be given a time limit: rules are written by
others, and a pattern that backtracks for ever must not take the rule engine with it. It must never know a rule language, a log
format or a file.

The semantics (https://sigmahq.io/sigma-specification, "Sigma Rules" and "Modifiers"):

- equality is equality of text without regard to case, so that 5985 and "5985", True and "true" are the same;
- order (`<` and its kin) holds between numbers only: a value that is not a decimal number satisfies none of them;
- a missing field satisfies nothing but `IS_NULL`, and `EXISTS` with value False.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network
from math import isfinite
from re import fullmatch

import regex

from harness.errors import RuleTooSlow
from harness.events.ecs import ecs_fields, made
from harness.logic.formula import compile_term
from harness.logic.regex_size import too_large
from harness.model.facts import Event, FlatValue
from harness.model.tree import And, Call, FieldName, Formula, Function, Node, Not, Op, Or, Test, Value, ViewName

REGEX_SECONDS = 1.0
"""What one regular expression may take on one event. An honest one takes microseconds."""

Scalar = str | int | float | bool


class BadValue(ValueError):
    """A test's value is not of the kind that its operation takes: no regular expression, no network, no number."""


class View:
    """One event's fields as tests ask for them; every text is made and folded at most once, however many rules ask.

    The fields given are those of the flat view; `ecs` is the same event's ECS view, made when it is first asked for: of the event, or,
    where there is none (a situation that is known in part), of what the flat fields alone tell.

    Names are compared without blanks, because Windows has fields with blanks (Defender's "Threat Name") and rules write them without.
    """

    __slots__ = ("_ecs", "_event", "_everything", "_flat", "_folded", "_names", "_text")

    def __init__(self, flat: Mapping[str, FlatValue], event: Event | None = None) -> None:
        self._flat = flat
        self._event = event
        self._ecs: View | None = None
        self._text: dict[str, tuple[str, ...]] = {}
        self._folded: dict[str, tuple[str, ...]] = {}
        self._everything: dict[bool, tuple[str, ...]] = {}
        self._names: dict[str, str] | None = None

    @property
    def ecs(self) -> View:
        """The ECS view's fields."""
        if self._ecs is None:
            if self._event is not None:
                self._ecs = View(ecs_fields(self._event))
            else:
                number = self._flat.get("eventid")
                self._ecs = View(made(str(self._flat.get("channel")), number if isinstance(number, int) else 0, self._flat))
        return self._ecs

    def values(self, field: str) -> tuple[Scalar, ...]:
        """The field's values; none where the event lacks it."""
        value = self._flat.get(field)
        if value is None and field not in self._flat:
            if self._names is None:
                self._names = {name.replace(" ", ""): name for name in self._flat if " " in name}
            value = self._flat.get(self._names.get(field, field))
        if value is None:
            return ()
        if isinstance(value, list):
            return tuple(value)
        return (value,)

    def text(self, field: str) -> tuple[str, ...]:
        """The field's values as text."""
        found = self._text.get(field)
        if found is None:
            found = self._text[field] = tuple(text_of(value) for value in self.values(field))
        return found

    def folded(self, field: str) -> tuple[str, ...]:
        """The field's values as text, their case folded."""
        found = self._folded.get(field)
        if found is None:
            found = self._folded[field] = tuple(fold(text) for text in self.text(field))
        return found

    def everything(self, *, cased: bool) -> tuple[str, ...]:
        """All fields' values as text, their case folded unless `cased`."""
        found = self._everything.get(cased)
        if found is None:
            read = self.text if cased else self.folded
            found = self._everything[cased] = tuple(text for field in self._flat for text in read(field))
        return found


Predicate = Callable[[View], bool]
"""A compiled tree."""

Fits = Callable[[str], bool]
"""What a compiled test asks of one text."""


def text_of(value: Scalar) -> str:
    """A value as a log would write it: true and false in lower case, whole numbers without a fraction."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def fold(text: str) -> str:
    """Case folding that keeps one character one character, so that `?` in a pattern still stands for one."""
    return text.lower()


def key_of(field: str) -> str:
    """A field's name as the flat view has it: lower case, without blanks."""
    return fold(field).replace(" ", "")


def matcher(node: Node) -> Callable[[Event], bool]:
    """Compile a tree to a function of an event. Raises `BadValue`; the function raises `RuleTooSlow`."""
    predicate = compile_node(node)
    return lambda event: predicate(View(event.flat, event))


def compile_node(node: Node) -> Predicate:
    """Compile a tree to a function of a view, for callers that ask many trees about one event. Raises `BadValue`."""
    match node:
        case Test():
            return _in_view(node.view, _compile_test(node))
        case Formula():
            return _in_view(node.view, _compile_formula(node))
        case Not(item=item):
            inner = compile_node(item)
            return lambda view: not inner(view)
        case And(items=items):
            return _all_of(tuple(compile_node(item) for item in items))
        case Or(items=items):
            return _any_of(tuple(_compile_alternatives(items)))


def check_node(node: Node) -> None:
    """Raises `BadValue` where `compile_node` does: most tests are of kinds that take any text, and need no compiling to know."""
    if isinstance(node, And | Or):
        for item in node.items:
            check_node(item)
    elif isinstance(node, Not):
        check_node(node.item)
    elif isinstance(node, Formula) or node.op not in _ANY_TEXT or node.value is None or isinstance(node.value, FieldName):
        compile_node(node)


def _in_view(name: ViewName, predicate: Predicate) -> Predicate:
    """A predicate of the flat view's fields as one of that view's."""
    return predicate if name is ViewName.FLAT else lambda view: predicate(view.ecs)


def _compile_formula(formula: Formula) -> Predicate:
    holds = compile_term(formula.term, _text_test)
    return lambda view: holds(lambda field: view.values(key_of(field)))


def _text_test(call: Call) -> Fits:
    """What a call asks of a text with literal patterns, any of which will do. Raises `BadValue`."""
    patterns = [text_of(pattern) for pattern in call.arguments[1:] if isinstance(pattern, str)]
    match call.function:
        case Function.REGEX:
            tests = [_regex(pattern, cased=call.cased) for pattern in patterns]
        case Function.LIKE:
            tests = [like(pattern if call.cased else fold(pattern)) for pattern in patterns]
        case _:
            tests = [_network(pattern) for pattern in patterns]
    if call.function is Function.LIKE and not call.cased:
        return lambda text: any(fits(fold(text)) for fits in tests)
    return lambda text: any(fits(text) for fits in tests)


def _all_of(parts: tuple[Predicate, ...]) -> Predicate:
    if len(parts) == 1:
        return parts[0]

    def every(view: View) -> bool:
        for part in parts:  # noqa: SIM110 - a generator costs more than most parts do
            if not part(view):
                return False
        return True

    return every


def _any_of(parts: tuple[Predicate, ...]) -> Predicate:
    if len(parts) == 1:
        return parts[0]

    def some(view: View) -> bool:
        for part in parts:  # noqa: SIM110 - as above
            if part(view):
                return True
        return False

    return some


_ANY_TEXT = (Op.EQUALS, Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH, Op.LIKE)
_GROUPED = (Op.EQUALS, Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH)


def _compile_alternatives(items: tuple[Node, ...]) -> Iterable[Predicate]:
    """Value lists are the bulk of most rules: tests of one field in one manner become one look-up instead of many."""
    groups: dict[tuple[str | None, Op, bool, ViewName], list[str]] = {}
    for item in items:
        if isinstance(item, Test) and item.op in _GROUPED and not isinstance(item.value, FieldName | None):
            wanted = text_of(item.value)
            field = item.field and key_of(item.field)
            groups.setdefault((field, item.op, item.cased, item.view), []).append(wanted if item.cased else fold(wanted))
        else:
            yield compile_node(item)
    for (field, op, cased, name), values in groups.items():
        fits = _fits_any(op, tuple(values))
        yield _in_view(name, _on_any_field(cased, fits) if field is None else _on_field(field, cased, fits))


def _fits_any(op: Op, values: tuple[str, ...]) -> Fits:
    if len(values) == 1:
        return _fits(op, values[0])
    match op:
        case Op.EQUALS:
            return frozenset(values).__contains__
        case Op.STARTS_WITH:
            return lambda text: text.startswith(values)
        case Op.ENDS_WITH:
            return lambda text: text.endswith(values)
        case _:

            def contains(text: str) -> bool:
                for value in values:  # noqa: SIM110 - as above
                    if value in text:
                        return True
                return False

            return contains


def _fits(op: Op, value: str) -> Fits:
    match op:
        case Op.EQUALS:
            return value.__eq__
        case Op.STARTS_WITH:
            return lambda text: text.startswith(value)
        case Op.ENDS_WITH:
            return lambda text: text.endswith(value)
        case _:
            return lambda text: value in text


def _on_field(field: str, cased: bool, fits: Fits) -> Predicate:
    if cased:

        def plain(view: View) -> bool:
            for text in view.text(field):  # noqa: SIM110 - as above
                if fits(text):
                    return True
            return False

        return plain

    def folded(view: View) -> bool:
        for text in view.folded(field):  # noqa: SIM110 - as above
            if fits(text):
                return True
        return False

    return folded


def _on_any_field(cased: bool, fits: Fits) -> Predicate:
    """A Sigma keyword: any value of the event."""

    def anywhere(view: View) -> bool:
        for text in view.everything(cased=cased):  # noqa: SIM110 - as above
            if fits(text):
                return True
        return False

    return anywhere


def _compile_test(test: Test) -> Predicate:
    if test.op is Op.EXISTS or test.op is Op.IS_NULL:
        return _compile_presence(test)
    if isinstance(test.value, FieldName):
        return _compile_comparison(test, test.value)
    match test.op:
        case Op.EQUALS | Op.CONTAINS | Op.STARTS_WITH | Op.ENDS_WITH:
            wanted = _wanted_text(test)
            fits, cased = _fits(test.op, wanted if test.cased else fold(wanted)), test.cased
        case Op.LIKE:
            wanted = _wanted_text(test)
            fits, cased = like(wanted if test.cased else fold(wanted)), test.cased
        case Op.REGEX:
            # The engine folds by itself: folding a pattern would turn \S into \s.
            fits, cased = _regex(_wanted_text(test), cased=test.cased), True
        case Op.CIDR:
            fits, cased = _network(_wanted_text(test)), True
        case Op.LESS | Op.LESS_OR_EQUAL | Op.GREATER | Op.GREATER_OR_EQUAL:
            fits, cased = _order(test.op, test.value), True
    if test.field is None:
        return _on_any_field(cased, fits)
    return _on_field(key_of(test.field), cased, fits)


def _wanted_text(test: Test) -> str:
    if test.value is None or isinstance(test.value, FieldName):
        raise BadValue(f"'{test.op}' takes a value to compare with")
    return text_of(test.value)


def _compile_presence(test: Test) -> Predicate:
    if test.field is None:
        raise BadValue(f"'{test.op}' asks about a field, and none is named")
    field = key_of(test.field)
    if test.op is Op.EXISTS and test.value is not False:
        return lambda view: bool(view.values(field))
    return lambda view: not view.values(field)


def _compile_comparison(test: Test, other: FieldName) -> Predicate:
    if test.field is None:
        raise BadValue("a field is compared with another field, and none is named")
    if test.op not in _GROUPED:
        raise BadValue(f"'{test.op}' does not take another field as its value")
    field, second, op = key_of(test.field), key_of(other.name), test.op

    def compare(view: View) -> bool:
        read = view.text if test.cased else view.folded
        return any(_fits(op, wanted)(text) for wanted in read(second) for text in read(field))

    return compare


def like(pattern: str) -> Fits:
    """A wildcard pattern as a function of a text: `*` any run, `?` one character, a backslash escapes those three.

    Works from star to star, leftmost fit first, which is right for such patterns and never backtracks: a pattern of many stars
    costs at most its length times the text's.
    """
    pieces = pieces_of(pattern)
    if len(pieces) == 1:
        only = pieces[0]
        return lambda text: len(text) == len(only) and _fits_at(only, text, 0)
    first, *middle, last = pieces

    def fits(text: str) -> bool:
        if len(text) < len(first) + len(last) or not _fits_at(first, text, 0) or not _fits_at(last, text, len(text) - len(last)):
            return False
        at, end = len(first), len(text) - len(last)
        for piece in middle:
            at = _find(piece, text, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return fits


def longest_literal(pattern: str) -> str:
    """The longest text without a wildcard that whatever fits the pattern holds; empty where there is none."""
    runs: list[str] = [""]
    for piece in pieces_of(pattern):
        for character in (*piece, None):
            if character is None:
                runs.append("")
            else:
                runs[-1] += character
    return max(runs, key=len)


Piece = tuple[str | None, ...]
"""The stretch between two stars, a character each; None stands for any one character."""


def pieces_of(pattern: str) -> list[Piece]:
    """What stands between the stars of a wildcard pattern, those at its ends included: one piece more than stars."""
    pieces: list[Piece] = []
    piece: list[str | None] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            after = next(characters, "")
            if after in ("*", "?", "\\"):
                piece.append(after)
            else:
                piece.extend((character, *after))
        elif character == "*":
            pieces.append(tuple(piece))
            piece = []
        else:
            piece.append(None if character == "?" else character)
    pieces.append(tuple(piece))
    return pieces


def _fits_at(piece: Piece, text: str, at: int) -> bool:
    return all(wanted is None or wanted == text[at + offset] for offset, wanted in enumerate(piece))


def _find(piece: Piece, text: str, start: int, end: int) -> int:
    if None not in piece:
        return text.find("".join(filter(None, piece)), start, end)
    return next((at for at in range(start, end - len(piece) + 1) if _fits_at(piece, text, at)), -1)


def _regex(pattern: str, *, cased: bool) -> Fits:
    if reason := too_large(pattern):
        raise BadValue(f"not a regular expression that is compiled: {reason}")
    try:
        compiled = regex.compile(pattern, 0 if cased else regex.IGNORECASE)
    except regex.error as error:
        raise BadValue(f"not a regular expression: {error}") from error

    def fits(text: str) -> bool:
        try:
            return compiled.search(text, timeout=REGEX_SECONDS) is not None
        except TimeoutError as error:
            raise RuleTooSlow(
                f"the regular expression {pattern!r} did not end within {REGEX_SECONDS:g} s on {len(text)} characters"
            ) from error

    return fits


def characters_matched(part: str, among: str) -> frozenset[str]:
    """Those of these characters that a part of a regular expression which stands for one character matches. Raises `BadValue`."""
    try:
        return frozenset("".join(regex.findall(part, among)))
    except regex.error as error:
        raise BadValue(f"not a regular expression: {error}") from error


def _network(cidr: str) -> Fits:
    try:
        network = ip_network(cidr)
    except ValueError as error:
        raise BadValue(f"not a network: {error}") from error

    def fits(text: str) -> bool:
        try:
            address = ip_address(text.strip())
        except ValueError:
            return False
        if address.version == 6 and network.version == 4 and address.ipv4_mapped is not None:
            # Windows logs IPv4 clients of a dual-stack socket as ::ffff:a.b.c.d.
            return address.ipv4_mapped in network
        return address in network

    return fits


def _order(op: Op, value: Value) -> Fits:
    limit = number_of(text_of(value)) if isinstance(value, str | int | float) else None
    if limit is None:
        raise BadValue(f"'{op}' takes a number")
    bound = limit

    def fits(text: str) -> bool:
        number = number_of(text)
        if number is None:
            return False
        match op:
            case Op.LESS:
                return number < bound
            case Op.LESS_OR_EQUAL:
                return number <= bound
            case Op.GREATER:
                return number > bound
            case _:
                return number >= bound

    return fits


def number_of(text: str) -> int | float | None:
    """A decimal number. Hexadecimal is not one: which base a log writes is the author's business."""
    if fullmatch(r"[+-]?[0-9]{1,1000}", text.strip()):
        return int(text)
    if fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?", text.strip()):
        number = float(text)
        return number if isfinite(number) else None
    return None
