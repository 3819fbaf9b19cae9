"""The operators of the emulated PowerShell over values. Pure; `-match` answers its groups besides."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal, DecimalException, DivisionByZero, InvalidOperation
from functools import partial

from lab.host.powershell.errors import fail, refuse, shown
from lab.host.powershell.values import (
    INT64,
    MAX_ITEMS,
    MAX_TEXT,
    as_list,
    bounded,
    checked,
    compare,
    each,
    equal,
    fold,
    format_datetime,
    like,
    number_text,
    regex,
    subject,
    to_bool,
    to_int,
    to_number,
    to_text,
    type_names,
)
from lab.machine import PSObject

_FAILED = "The operation '[{left}] {sign} [{right}]' is not defined."


def arithmetic(sign: str, left: object, right: object) -> object:
    """`+ - * / %`. Raises `Terminating`."""
    if sign == "+":
        return _add(left, right)
    if sign == "*" and isinstance(left, str | list):
        times = to_int(right)
        if times < 0 or times * max(1, len(left)) > (MAX_TEXT if isinstance(left, str) else MAX_ITEMS):
            raise refuse("a repetition this long")
        return left * times
    if isinstance(left, datetime) and sign == "-":
        if isinstance(right, datetime):
            # A moment of kind Unspecified is taken as it is, as .NET does.
            same = (left.tzinfo is None) == (right.tzinfo is None)
            return time_span(left - right if same else left.replace(tzinfo=None) - right.replace(tzinfo=None))
        if isinstance(right, PSObject) and "Ticks" in right.properties:
            return left - timedelta(microseconds=to_int(right.properties["Ticks"], INT64) // 10)
    if isinstance(left, list | dict | datetime | PSObject):
        raise _undefined(sign, left, right)
    a, b = _matched(to_number(left), to_number(right))
    try:
        match sign:
            case "-":
                return fold(a - b)  # type: ignore[operator]
            case "*":
                return fold(a * b)  # type: ignore[operator]
            case "/":
                return _divide(a, b)
            case _:
                result = abs(a) % abs(b)  # type: ignore[operator]
                return -result if a < 0 else result
    except (ZeroDivisionError, DivisionByZero, InvalidOperation):
        raise fail("Attempted to divide by zero.", "RuntimeException", "NotSpecified") from None
    except DecimalException:
        raise fail("Value was either too large or too small for a Decimal.", "RuntimeException", "InvalidArgument") from None
    except OverflowError:
        return float("inf")


def _matched(a: int | float | Decimal, b: int | float | Decimal) -> tuple[int | float | Decimal, int | float | Decimal]:
    if isinstance(a, float) != isinstance(b, float):
        return float(a), float(b)
    return a, b


def _divide(a: int | float | Decimal, b: int | float | Decimal) -> int | float | Decimal:
    if isinstance(a, float) and b == 0:
        return float("nan") if a == 0 else float("inf") if a > 0 else float("-inf")
    if isinstance(a, int) and isinstance(b, int):
        return a // b if a % b == 0 else a / b
    return a / b  # type: ignore[operator]


def _add(left: object, right: object) -> object:
    match left:
        case None:
            return right
        case str():
            return bounded(left + to_text(right))
        case list():
            joined = left + (right if isinstance(right, list) else [right])
            if len(joined) > MAX_ITEMS:
                raise refuse(f"an array of more than {MAX_ITEMS} items")
            return joined
        case dict():
            if not isinstance(right, dict):
                raise fail("A hash table can only be added to another hash table.", "AddHashTableToNonHashTable")
            return {**left, **right}
        case datetime():
            if isinstance(right, PSObject) and "Ticks" in right.properties:
                try:
                    return left + timedelta(microseconds=to_int(right.properties["Ticks"], INT64) // 10)
                except OverflowError:
                    raise fail("The added or subtracted value results in an un-representable DateTime.") from None
            raise _undefined("+", left, right)
        case PSObject():
            raise _undefined("+", left, right)
    a, b = _matched(to_number(left), to_number(right))
    return fold(a + b)  # type: ignore[operator]


def _undefined(sign: str, left: object, right: object) -> Exception:
    text = _FAILED.format(left=type_names(left)[0], sign=sign, right=type_names(right)[0])
    return fail(text, "RuntimeException", "InvalidOperation")


def time_span(span: timedelta) -> PSObject:
    """A [timespan]."""
    seconds = span.total_seconds()
    whole, micro = divmod(abs(span), timedelta(seconds=1))
    days, rest = divmod(whole, 86_400)
    text = ("-" if seconds < 0 else "") + (f"{days}." if days else "") + f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    if micro:
        text += f".{micro.microseconds * 10:07d}"
    return PSObject(
        type_names=("System.TimeSpan", "System.ValueType", "System.Object"),
        properties={
            "Ticks": span // timedelta(microseconds=1) * 10,
            "Days": days,
            "Hours": rest // 3600,
            "Minutes": rest // 60 % 60,
            "Seconds": rest % 60,
            "Milliseconds": micro.microseconds // 1000,
            "TotalDays": seconds / 86_400,
            "TotalHours": seconds / 3600,
            "TotalMinutes": seconds / 60,
            "TotalSeconds": seconds,
            "TotalMilliseconds": seconds * 1000,
        },
        text=text,
    )


def _order(keep: Callable[[int], bool], case: bool) -> Callable[[object, object], bool]:
    return lambda left, right: keep(compare(left, right, case=case))


def _like(left: object, right: object, *, case: bool) -> bool:
    return like(to_text(left), to_text(right), case=case)


def _relations(case: bool) -> dict[str, Callable[[object, object], bool]]:
    return {
        "eq": partial(equal, case=case),
        "ne": lambda left, right: not equal(left, right, case=case),
        "gt": _order(lambda sign: sign > 0, case),
        "ge": _order(lambda sign: sign >= 0, case),
        "lt": _order(lambda sign: sign < 0, case),
        "le": _order(lambda sign: sign <= 0, case),
        "like": partial(_like, case=case),
        "notlike": lambda left, right: not _like(left, right, case=case),
    }


_FOLDED, _EXACT = _relations(False), _relations(True)


def relation(operator: str, left: object, right: object) -> object:
    """A comparison: a Boolean, or of an array the items for which it holds. `operator` without its dash. Raises `Terminating`."""
    name, case = _cased(operator)
    test = (_EXACT if case else _FOLDED).get(name)
    if test is not None:
        if isinstance(left, list):
            return [one for one in left if test(one, right)]
        return test(left, right)
    match name:
        case "contains":
            return any(equal(one, right, case=case) for one in as_list(left))
        case "notcontains":
            return not any(equal(one, right, case=case) for one in as_list(left))
        case "in":
            return any(equal(one, left, case=case) for one in as_list(right))
        case "notin":
            return not any(equal(one, left, case=case) for one in as_list(right))
        case "replace":
            return _each_text(left, lambda text: _replace(text, right, case))
        case "split":
            return [part for one in each(left) for part in split(to_text(one), right, case=case)]
        case "join":
            return bounded(to_text(right).join(to_text(one) for one in as_list(left)))
        case _:
            raise refuse(f"the operator '-{operator}'")


def _cased(operator: str) -> tuple[str, bool]:
    low = operator.lower().lstrip("-")
    known = {"eq", "ne", "gt", "ge", "lt", "le", "like", "notlike", "contains", "notcontains", "in", "notin", "replace", "split", "join"}
    known |= {"match", "notmatch"}
    if low not in known and low[:1] in ("c", "i") and low[1:] in known:
        return low[1:], low[0] == "c"
    return low, False


def match(operator: str, left: object, right: object) -> tuple[object, dict[str, str] | None]:
    """`-match` and its kin: the answer, and the groups for `$Matches` where a single string matched. Raises `Terminating`."""
    name, case = _cased(operator)
    pattern = regex(to_text(right), case)
    wanted = name == "match"
    if isinstance(left, list):
        return [one for one in left if (pattern.search(subject(to_text(one), pattern)) is not None) == wanted], None
    found = pattern.search(subject(to_text(left), pattern))
    groups: dict[str, str] | None = None
    if found is not None and wanted:
        groups = match_groups(found, pattern)
    return (found is not None) == wanted, groups


def match_groups(found: re.Match[str], pattern: re.Pattern[str]) -> dict[str, str]:
    """What `$Matches` holds of a match: the whole under 0, groups by number or name."""
    names = {index: name for name, index in pattern.groupindex.items()}
    held = [found[0], *found.groups()]
    return {names.get(at, str(at)): text for at, text in enumerate(held) if text is not None}


def _each_text(value: object, change: Callable[[str], object]) -> object:
    if isinstance(value, list):
        return [change(to_text(one)) for one in value]
    return change(to_text(value))


def _replace(text: str, right: object, case: bool) -> str:
    given = as_list(right)
    pattern = regex(to_text(given[0]) if given else "", case)
    by = to_text(given[1]) if len(given) > 1 else ""

    def group(found: re.Match[str]) -> str:
        return re.sub(r"\$(?:(\$)|(&|0)|(\d{1,2})|\{(\w+)\})", partial(_substitute, found), by)

    out = pattern.sub(group, subject(text, pattern))
    return bounded(out)


def _substitute(found: re.Match[str], token: re.Match[str]) -> str:
    if token[1]:
        return "$"
    if token[2]:
        return found[0]
    name = token[3] or token[4]
    try:
        return (found[int(name)] if name.isdigit() else found[name]) or ""
    except IndexError:
        return token[0]


def split(text: str, right: object, *, case: bool = False) -> list[object]:
    """`-split` with a pattern, or with pattern and maximum."""
    given = as_list(right)
    pattern = regex(to_text(given[0]) if given else r"\s+", case)
    limit = to_int(given[1]) if len(given) > 1 else 0
    if len(given) > 2:
        raise refuse("the options of -split")
    return list(pattern.split(subject(text, pattern), maxsplit=max(0, limit - 1) if limit else 0)) if limit != 1 else [text]


def unary_split(value: object) -> list[object]:
    """`-split` before its operand: at blanks."""
    return [part for one in each(value) for part in to_text(one).split()]


def bitwise(operator: str, left: object, right: object) -> int:
    """`-band -bor -bxor -shl -shr`."""
    a, b = to_int(left, INT64, "System.Int64"), to_int(right, INT64, "System.Int64")
    match operator:
        case "-band":
            return a & b
        case "-bor":
            return a | b
        case "-bxor":
            return a ^ b
        case "-shl":
            return to_int(fold(a << (b & 63)), INT64, "System.Int64") if abs(a) < 1 << 31 and (b & 63) < 32 else 0
        case "-shr":
            return a >> (b & 63)
        case _:
            raise refuse(f"the operator '{operator}'")


def logical(operator: str, left: bool, right: object) -> bool:
    """`-xor`; `-and` and `-or` are short-circuited by the evaluator and come here with their right value."""
    flag = to_bool(right)
    if operator == "-xor":
        return left != flag
    return flag


_HOLE = re.compile(r"\{\{|\}\}|\{(\d{1,4})(?:,(-?\d{1,4}))?(?::([^{}]*))?\}|[{}]")


def format_text(form: str, values: list[object]) -> str:
    """`-f`: composite formatting in the invariant culture. Raises `Terminating` (FormatError)."""

    def hole(found: re.Match[str]) -> str:
        if found[0] == "{{":
            return "{"
        if found[0] == "}}":
            return "}"
        if found[1] is None or int(found[1]) >= len(values):
            raise fail(
                "Error formatting a string: Index (zero based) must be greater than or equal to zero and less than the size of the "
                "argument list..",
                "FormatError",
            )
        text = format_value(values[int(found[1])], found[3] or "")
        width = int(found[2] or 0)
        return text.rjust(width) if width >= 0 else text.ljust(-width)

    return bounded(_HOLE.sub(hole, form))


def format_value(value: object, form: str) -> str:
    """One value with a .NET format string. Raises `Terminating` for a form that it has not."""
    if not form:
        return to_text(value)
    if isinstance(value, datetime):
        return format_datetime(value, form)
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        return to_text(value)
    if isinstance(value, Decimal):
        checked(value)
    kind, digits = form[0], form[1:]
    if digits.isdigit() or not digits:
        places = min(int(digits), 99) if digits else None
        match kind.upper():
            case "X" if isinstance(value, int):
                text = f"{value & 0xFFFFFFFF if -(1 << 31) <= value < 0 else value & 0xFFFFFFFFFFFFFFFF:X}".zfill(places or 0)
                return text if kind == "X" else text.lower()
            case "D" if isinstance(value, int):
                return ("-" if value < 0 else "") + str(abs(value)).zfill(places or 0)
            case "N":
                return f"{value:,.{2 if places is None else places}f}"
            case "F":
                return f"{value:.{2 if places is None else places}f}"
            case "P":
                return f"{value * 100:,.{2 if places is None else places}f} %"
            case "G":
                return number_text(float(value)) if isinstance(value, float) else str(value)
    if re.fullmatch(r"0+(\.0+)?", form):
        whole, _, part = form.partition(".")
        return f"{value:0{len(whole) + (len(part) + 1 if part else 0)}.{len(part)}f}"
    if re.fullmatch(r"#*,?#*0?(\.[0#]+)?", form):
        places = len(form.partition(".")[2])
        text = f"{value:,.{places}f}" if "," in form else f"{value:.{places}f}"
        return text.rstrip("0").rstrip(".") if form.endswith("#") and places else text
    raise refuse(f"the number format '{shown(form)}'")
