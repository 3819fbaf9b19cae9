"""A regular expression's tree in other dialects: for Lucene, or for grep over a JSON line's escaped text.

What a dialect cannot say (most look-arounds, places in the middle) is refused by name. This module must never know a rule or a field.

Lucene's dialect: https://www.elastic.co/docs/reference/query-languages/query-dsl/regexp-syntax.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.logic.regex_tree import LAST_CHARACTER, Ahead, Chain, Chars, Choice, Edge, Ranges, Regex, Repeat, complement, union
from harness.translate.ascii_regex import ANYTHING, NOT_LINE_END, folded
from harness.translate.refusal import NotExpressible

# --- Lucene ---------------------------------------------------------------------------------------------------------------


def lucene(regex: Regex) -> str:
    """The regex in Lucene's dialect, which fits whole values and knows no case: both are written out. Raises `NotExpressible`."""
    return "|".join(_lucene_branch(list(branch)) for branch in _branches(regex))


def _branches(regex: Regex) -> Iterable[tuple[Regex, ...]]:
    """The regex's outermost alternatives, each of which has its own anchors: (^a$)|b, also in a group."""
    match regex:
        case Choice(items=items):
            for item in items:
                yield from _branches(item)
        case Chain(items=(Choice() as only,)):
            yield from _branches(only)
        case Chain(items=items):
            yield items
        case _:
            yield (regex,)


def _lucene_branch(items: list[Regex]) -> str:
    """A branch that may be found anywhere in a value, but for its own anchors at its ends."""
    front, back = ".*", ".*"
    while items and isinstance(items[0], Edge) and items[0].kind in "^b":
        front = "" if items.pop(0) == Edge(kind="^") else "(.*[^0-9A-Z_a-z])?"
    while items and isinstance(items[-1], Edge) and items[-1].kind in "$Zb":
        back = "([^0-9A-Z_a-z].*)?" if items.pop() == Edge(kind="b") else ""
    return front + "".join(_lucene(item) for item in items) + back


def _lucene(regex: Regex) -> str:
    match regex:
        case Chars():
            return _lucene_set(regex.ranges if regex.cased else folded(regex.ranges))
        case Repeat(item=item, least=least, most=most):
            return f"({_lucene(item)}){_count(least, most)}" if not isinstance(item, Chars) else _lucene(item) + _count(least, most)
        case Chain(items=items):
            return "".join(_lucene(item) for item in items) or "()"
        case Choice(items=items):
            return "(" + "|".join(_lucene(item) for item in items) + ")"
        case Edge(kind=kind):
            raise NotExpressible(f"Lucene's regular expressions have no {'edge of a word' if kind in 'bB' else 'anchor'} inside them")
        case Ahead():
            raise NotExpressible("Lucene's regular expressions have no look-ahead")


def _count(least: int, most: int | None) -> str:
    short = {(0, None): "*", (1, None): "+", (0, 1): "?", (1, 1): ""}.get((least, most))
    if short is not None:
        return short
    if most is None:
        return f"{{{least},}}"
    return f"{{{least}}}" if least == most else f"{{{least},{most}}}"


def _lucene_set(ranges: Ranges) -> str:
    if ranges == ANYTHING:
        return "."  # which fits a line end as well
    if ranges == NOT_LINE_END:
        return "[^\n]"
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        character = chr(ranges[0][0])
        return f"\\{character}" if character in '.?+*|{}[]()"\\#@&<>~^$-' else character
    if ranges and ranges[-1][1] == LAST_CHARACTER:
        return f"[^{_members(complement(ranges))}]"
    return f"[{_members(ranges)}]"


def _members(ranges: Ranges) -> str:
    def one(code: int) -> str:
        return f"\\{chr(code)}" if chr(code) in '\\]["^-' else chr(code)

    return "".join(
        one(low) if low == high else f"{one(low)}-{one(high)}" if high > low + 1 else one(low) + one(high) for low, high in ranges
    )


# --- grep -P over JSON --------------------------------------------------------------------------------------------------------

UNIT = r'(?:[^"\\]|\\(?:[^u]|u....))'
"""One character of a JSON text as it stands in the line."""

_SHORT = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r"}


def json_value(regex: Regex) -> str:
    """The regex over a JSON text's inside, from behind its opening quote, where the pattern around folds case. Raises `NotExpressible`."""
    return _json(regex, search=True)


def json_anywhere(regex: Regex) -> str:
    """The same over a whole line, without a search before it."""
    return _json(regex, search=False)


def _json(regex: Regex, *, search: bool) -> str:
    cased = cased_only(regex)
    written = _explicit(regex) if cased else regex
    found = "|".join(_json_branch(branch) if search else json_text(Chain(items=branch)) for branch in _branches(written))
    return f"(?-i:{found})" if cased else f"(?:{found})"


def size(regex: Regex) -> int:
    """Its characters, and sets as 25 of them, each counted as often as it is repeated: as much as an engine that writes that out has to."""
    match regex:
        case Repeat(item=item, least=least, most=most):
            return size(item) * max(least, most or 1, 1)
        case Chain(items=items) | Choice(items=items):
            return sum(size(item) for item in items)
        case Ahead(item=item):
            return size(item)
        case Chars(ranges=ranges):
            return 1 if len(ranges) == 1 and ranges[0][0] == ranges[0][1] else 25
        case Edge():
            return 1


def _json_branch(items: tuple[Regex, ...]) -> str:
    anchored = bool(items) and items[0] == Edge(kind="^")
    return ("" if anchored else f"{UNIT}*?") + "".join(json_text(item) for item in items[anchored:])


def json_text(regex: Regex) -> str:
    """The same without a search before it."""
    match regex:
        case Chars():
            return _json_set(regex)
        case Repeat(item=item, least=least, most=most, lazy=lazy):
            return f"(?:{json_text(item)}){_count(least, most)}" + ("?" if lazy and (least, most) != (1, 1) else "")
        case Chain(items=items):
            return "".join(json_text(item) for item in items)
        case Choice(items=items):
            return "(?:" + "|".join(json_text(item) for item in items) + ")"
        case Edge(kind="$" | "Z"):
            return '(?=")'
        case Edge(kind="b"):
            return r"(?:\b|(?<=\\[bfnrt])(?=\w))"
        case Ahead(item=item, negative=negative):
            return f"(?{'!' if negative else '='}{json_text(item)})"
        case Edge(kind=kind):
            raise NotExpressible(
                f"a regular expression over JSON text has no {'anchor' if kind == '^' else 'negated edge of a word'} inside it"
            )


def _json_set(chars: Chars) -> str:
    ranges = chars.ranges
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return json_character(chr(ranges[0][0]))
    if ranges == ANYTHING:
        return UNIT
    if ranges[-1:] and ranges[-1][1] == LAST_CHARACTER:
        return f"(?!{_json_set(replace(chars, ranges=complement(ranges)))}){UNIT}"
    plain = _within(ranges, ((32, 33), (35, 91), (93, 127)))
    parts = [f"[{_class_members(plain)}]"] if plain else []
    parts += [json_character(chr(code)) for code in (*range(32), 34, 92) if _holds(ranges, code)]
    beyond = _within(ranges, ((128, LAST_CHARACTER),))
    parts += [f"[{_class_members(beyond)}]"] if beyond else []
    return parts[0] if len(parts) == 1 else "(?:" + ("|".join(parts) or "(?!)") + ")"


def _class_members(ranges: Ranges) -> str:
    def one(code: int) -> str:
        return f"\\x{code:02x}" if code < 128 and not chr(code).isalnum() else chr(code)

    return "".join(one(low) if low == high else f"{one(low)}-{one(high)}" for low, high in ranges)


def _within(ranges: Ranges, others: Ranges) -> Ranges:
    both = ((max(low, first), min(high, last)) for low, high in ranges for first, last in others)
    return union((low, high) for low, high in both if low <= high)


def _holds(ranges: Ranges, code: int) -> bool:
    return any(low <= code <= high for low, high in ranges)


def json_character(character: str) -> str:
    """One character as JSON writers put it, in whichever way they do; also without a single quote, so that a shell keeps it."""
    code = ord(character)
    if code > 0xFFFF:
        high, low = divmod(code - 0x10000, 0x400)
        return f"(?:{character}|\\\\u{_hex(0xD800 + high)}\\\\u{_hex(0xDC00 + low)})"
    if code in _SHORT:
        return f"\\\\(?:{_SHORT[code]}|u{_hex(code)})"
    if code < 32:
        return f"\\\\u{_hex(code)}"
    if character == "\\":
        return r"(?:\\\\|\\u005[cC])"
    if character == '"':
        return r'(?:\\"|\\u0022)'
    if character == "/":
        return r"\\?/"
    if character in "<>&'" or code > 126:
        itself = f"\\x{code:02x}" if code < 128 else character
        return f"(?:{itself}|\\\\u{_hex(code)})"
    return character if character.isalnum() or character in " _-,:;=%@!~`#" else f"\\{character}"


def _hex(code: int) -> str:
    """Four hexadecimal digits in either case: JSON writers differ, and the pattern around may mind the case."""
    return "".join(digit if digit.isdigit() else f"[{digit}{digit.upper()}]" for digit in f"{code:04x}")


# --- numbers --------------------------------------------------------------------------------------------------------------


def number_range(low: int, high: int, base: int) -> str:
    """A pattern of the whole numbers from `low` to `high` (neither negative) in that base's digits, without leading zeros."""
    found: list[str] = []
    width = 1
    while low <= high and base ** (width - 1) <= max(high, 1):
        first, last = max(low, base ** (width - 1) if width > 1 else 0), min(high, base**width - 1)
        if first <= last:
            found += _fixed(_digits(first, width, base), _digits(last, width, base), base)
        width += 1
    return "(?:" + ("|".join(found) or "(?!)") + ")"


def _digits(number: int, width: int, base: int) -> tuple[int, ...]:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, base)
        digits.append(digit)
    return tuple(reversed(digits))


def _fixed(low: tuple[int, ...], high: tuple[int, ...], base: int) -> list[str]:
    if not low:
        return [""]
    if low[0] == high[0]:
        return [_digit(low[0], low[0]) + rest for rest in _fixed(low[1:], high[1:], base)]
    bottom, top = (0,) * (len(low) - 1), (base - 1,) * (len(low) - 1)
    first, last = low[0], high[0]
    found: list[str] = []
    if low[1:] != bottom:
        found += [_digit(first, first) + rest for rest in _fixed(low[1:], top, base)]
        first += 1
    tail: list[str] = []
    if high[1:] != top:
        tail = [_digit(last, last) + rest for rest in _fixed(bottom, high[1:], base)]
        last -= 1
    if first <= last:
        found.append(_digit(first, last) + _digit(0, base - 1) * (len(low) - 1))
    return found + tail


def _digit(low: int, high: int) -> str:
    digits = "0123456789abcdef"[low : high + 1]
    if len(digits) == 1:
        return digits
    if digits[-1] <= "9" or digits[0] > "9":
        return f"[{digits[0]}-{digits[-1]}]"
    return f"[{digits[0]}-9a-{digits[-1]}]"


def cased_only(regex: Regex) -> bool:
    """Whether the regex minds the case of some letter."""
    match regex:
        case Chars(ranges=ranges, cased=cased):
            return cased and ranges != folded(ranges)
        case Repeat(item=item) | Ahead(item=item):
            return cased_only(item)
        case Chain(items=items) | Choice(items=items):
            return any(cased_only(item) for item in items)
        case Edge():
            return False


def _explicit(regex: Regex) -> Regex:
    """The same with both cases of every letter written out where the case does not matter."""
    match regex:
        case Chars(ranges=ranges, cased=cased):
            return regex if cased else Chars(ranges=folded(ranges), cased=True)
        case Repeat(item=item):
            return replace(regex, item=_explicit(item))
        case Ahead(item=item):
            return replace(regex, item=_explicit(item))
        case Chain(items=items):
            return Chain(items=tuple(_explicit(item) for item in items))
        case Choice(items=items):
            return Choice(items=tuple(_explicit(item) for item in items))
        case Edge():
            return regex
