"""Regular expressions from one dialect to another: parsed once, then written for Lucene, or for grep over a JSON line's escaped text.

The dialect read is Sigma's `|re` (PCRE without the exotic parts), searched, not anchored. What a dialect cannot say (back-references, for
most look-arounds) is refused by name, because a pattern that is passed on unread means something else elsewhere. This module must never
know a rule or a field.

Lucene's dialect: https://www.elastic.co/docs/reference/query-languages/query-dsl/regexp-syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.translate.refusal import NotExpressible

_DEPTH = 50
"""Groups inside each other: far above any rule's, far below Python's limit on calls."""

_MOST = 1000
"""The most repetitions that are counted out, Lucene's own limit."""

_LAST = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]
"""Code points, as closed ranges in order, none touching another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chars:
    """One character of a set."""

    ranges: Ranges
    cased: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """An item again and again; `most` None is without end."""

    item: Regex
    least: int
    most: int | None
    lazy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A place: the start of the value (`^`), its end (`$`), the edge of a word (`b`), or none such (`B`)."""

    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What must, or must not, follow."""

    item: Regex
    negative: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One after the other."""

    items: tuple[Regex, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Any one of them."""

    items: tuple[Regex, ...]


Regex = Chars | Repeat | Edge | Ahead | Chain | Choice

_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_BLANK: Ranges = ((9, 13), (32, 32))
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7, "e": 27, "0": 0}
_POSIX: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "digit": _DIGIT,
    "lower": ((97, 122),),
    "upper": ((65, 90),),
    "space": _BLANK,
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "xdigit": ((48, 57), (65, 70), (97, 102)),
    "word": _WORD,
}


def parse_regex(pattern: str, *, cased: bool) -> Regex:
    """The pattern read. Raises `NotExpressible` naming what has no counterpart elsewhere."""
    return _Parser(pattern, cased).parse()


def _union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def _complement(ranges: Ranges) -> Ranges:
    found, at = [], 0
    for low, high in ranges:
        if low > at:
            found.append((at, low - 1))
        at = high + 1
    if at <= _LAST:
        found.append((at, _LAST))
    return tuple(found)


_NOT_LINE_END = _complement(((10, 10),))
_ANYTHING: Ranges = ((0, _LAST),)


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str, cased: bool) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0
        self._cased = cased
        self._dot_all = False
        self._lines = False

    def parse(self) -> Regex:
        found = self._choice()
        if self._at < len(self._pattern):
            raise NotExpressible(f"the regular expression {self._pattern!r} closes a group that it never opened")
        return found

    def _peek(self, text: str) -> bool:
        return self._pattern.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        if self._peek(text):
            self._at += len(text)
            return True
        return False

    def _next(self) -> str:
        if self._at >= len(self._pattern):
            raise NotExpressible(f"the regular expression {self._pattern!r} ends too early")
        self._at += 1
        return self._pattern[self._at - 1]

    def _choice(self) -> Regex:
        branches = [self._chain()]
        while self._take("|"):
            branches.append(self._chain())
        return branches[0] if len(branches) == 1 else Choice(items=tuple(branches))

    def _chain(self) -> Regex:
        items: list[Regex] = []
        while self._at < len(self._pattern) and not self._peek("|") and not self._peek(")"):
            item = self._atom()
            if item is not None:
                found = self._repeated(item)
                items.extend(found.items if isinstance(found, Chain) else (found,))
        return Chain(items=tuple(items))

    def _repeated(self, item: Regex) -> Regex:
        while True:
            found = re.compile(r"\*|\+|\?|\{(\d*)(,?)(\d*)\}").match(self._pattern, self._at)
            if found is None or found[0] in ("{}", "{,}"):
                return item
            self._at = found.end()
            if found[0][0] == "{":
                least = int(found[1] or 0)
                most = int(found[3]) if found[3] else None if found[2] else least
            else:
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[found[0]]
            if max(least, most or 0) > _MOST or (most is not None and most < least):
                raise NotExpressible(f"the regular expression {self._pattern!r} counts {found[0]}")
            if isinstance(item, Edge | Ahead):
                raise NotExpressible(f"the regular expression {self._pattern!r} repeats a place, not a text")
            lazy = self._take("?")
            if self._take("+"):
                raise NotExpressible(f"the regular expression {self._pattern!r} has a possessive quantifier")
            item = Repeat(item=item, least=least, most=most, lazy=lazy)

    def _atom(self) -> Regex | None:
        character = self._next()
        match character:
            case "(":
                return self._group()
            case "[":
                return Chars(ranges=self._set(), cased=self._cased)
            case ".":
                return Chars(ranges=_ANYTHING if self._dot_all else _NOT_LINE_END, cased=True)
            case "^" | "$":
                if self._lines:
                    raise NotExpressible(f"the regular expression {self._pattern!r} looks for the start or end of a line")
                return Edge(kind=character)
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise NotExpressible(f"the regular expression {self._pattern!r} repeats nothing")
        return Chars(ranges=((ord(character), ord(character)),), cased=self._cased)

    def _escape(self) -> Regex:
        character = self._next()
        if character in "bBAZz":
            return Edge(kind={"A": "^", "Z": "$", "z": "$"}.get(character, character))
        if character in "123456789k":
            raise NotExpressible(f"the regular expression {self._pattern!r} has a back-reference")
        self._at -= 1
        return Chars(ranges=self._escaped_set(), cased=self._cased)

    def _escaped_set(self) -> Ranges:
        """What stands behind a backslash, inside a set or outside."""
        character = self._next()
        classes = {"d": _DIGIT, "w": _WORD, "s": _BLANK}
        if character in classes:
            return classes[character]
        if character.lower() in classes:
            return _complement(classes[character.lower()])
        if character in _CONTROLS:
            return ((_CONTROLS[character], _CONTROLS[character]),)
        if character in "xu":
            width = 2 if character == "x" else 4
            found = re.compile(rf"\{{([0-9a-fA-F]{{1,6}})\}}|([0-9a-fA-F]{{{width}}})").match(self._pattern, self._at)
            if found is None or int(found[1] or found[2], 16) > _LAST:
                raise NotExpressible(f"the regular expression {self._pattern!r} names a character by a code that is none")
            self._at = found.end()
            code = int(found[1] or found[2], 16)
            return ((code, code),)
        if character.isascii() and character.isalnum():
            raise NotExpressible(f"the regular expression {self._pattern!r} has the escape \\{character}")
        return ((ord(character), ord(character)),)

    def _set(self) -> Ranges:
        negative = self._take("^")
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self._take("]"):
            first = False
            if found := re.compile(r"\[:(\^?)(\w+):\]").match(self._pattern, self._at):
                if found[2] not in _POSIX:
                    raise NotExpressible(f"the regular expression {self._pattern!r} has the class {found[0]}")
                self._at = found.end()
                ranges.extend(_complement(_POSIX[found[2]]) if found[1] else _POSIX[found[2]])
                continue
            low = self._set_item()
            if len(low) == 1 and low[0][0] == low[0][1] and self._peek("-") and not self._peek("-]"):
                self._at += 1
                high = self._set_item()
                if len(high) != 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
                    raise NotExpressible(f"the regular expression {self._pattern!r} has a range without an end")
                low = ((low[0][0], high[0][0]),)
            ranges.extend(low)
        found_ranges = _folded(_union(ranges)) if not self._cased else _union(ranges)
        return _complement(found_ranges) if negative else found_ranges

    def _set_item(self) -> Ranges:
        character = self._next()
        if character == "\\":
            if self._take("b"):
                return ((8, 8),)
            return self._escaped_set()
        return ((ord(character), ord(character)),)

    def _group(self) -> Regex | None:
        self._depth += 1
        if self._depth > _DEPTH:
            raise NotExpressible(f"a regular expression is nested more than {_DEPTH} deep")
        outer = self._cased, self._dot_all, self._lines
        negative_ahead = self._take("?!")
        if negative_ahead or self._take("?="):
            ahead = Ahead(item=self._choice(), negative=negative_ahead)
            self._close()
            self._cased, self._dot_all, self._lines = outer
            return ahead
        if self._take("?"):
            found = re.compile(r"P?<(?![=!])\w+>|([imsa]*)(?:-([ims]+))?([:)])").match(self._pattern, self._at)
            if found is None:
                kind = self._pattern[self._at : self._at + 2]
                raise NotExpressible(f"the regular expression {self._pattern!r} has a group of the kind (?{kind}")
            self._at = found.end()
            for letters, on in ((found[1] or "", True), (found[2] or "", False)):
                self._cased = (not on) if "i" in letters else self._cased
                self._dot_all = on if "s" in letters else self._dot_all
                self._lines = on if "m" in letters else self._lines
            if found[3] == ")":  # flags from here to the end of the group around
                self._depth -= 1
                return None
        inner = self._choice()
        self._close()
        self._cased, self._dot_all, self._lines = outer
        return inner

    def _close(self) -> None:
        self._depth -= 1
        if not self._take(")"):
            raise NotExpressible(f"the regular expression {self._pattern!r} opens a group that it never closes")


def _folded(ranges: Ranges) -> Ranges:
    """With the other case of every ASCII letter."""
    more = list(ranges)
    for low, high in ranges:
        for first, last, shift in ((65, 90, 32), (97, 122, -32)):
            if max(low, first) <= min(high, last):
                more.append((max(low, first) + shift, min(high, last) + shift))
    return _union(more)


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
    while items and isinstance(items[-1], Edge) and items[-1].kind in "$b":
        back = "" if items.pop() == Edge(kind="$") else "([^0-9A-Z_a-z].*)?"
    return front + "".join(_lucene(item) for item in items) + back


def _lucene(regex: Regex) -> str:
    match regex:
        case Chars():
            return _lucene_set(regex.ranges if regex.cased else _folded(regex.ranges))
        case Repeat(item=item, least=least, most=most):
            return f"({_lucene(item)}){_count(least, most)}" if not isinstance(item, Chars) else _lucene(item) + _count(least, most)
        case Chain(items=items):
            return "".join(_lucene(item) for item in items) or "()"
        case Choice(items=items):
            return "(" + "|".join(_lucene(item) for item in items) + ")"
        case Edge(kind=kind):
            raise NotExpressible(f"Lucene's regular expressions have no {'anchor' if kind in '^$' else 'edge of a word'} inside them")
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
    if ranges == _ANYTHING:
        return "."  # which fits a line end as well
    if ranges == _NOT_LINE_END:
        return "[^\n]"
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        character = chr(ranges[0][0])
        return f"\\{character}" if character in '.?+*|{}[]()"\\#@&<>~^$-' else character
    if ranges and ranges[-1][1] == _LAST:
        return f"[^{_members(_complement(ranges))}]"
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
        case Edge(kind="$"):
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
    if ranges == _ANYTHING:
        return UNIT
    if ranges[-1:] and ranges[-1][1] == _LAST:
        return f"(?!{_json_set(replace(chars, ranges=_complement(ranges)))}){UNIT}"
    plain = _within(ranges, ((32, 33), (35, 91), (93, 127)))
    parts = [f"[{_class_members(plain)}]"] if plain else []
    parts += [json_character(chr(code)) for code in (*range(32), 34, 92) if _holds(ranges, code)]
    beyond = _within(ranges, ((128, _LAST),))
    parts += [f"[{_class_members(beyond)}]"] if beyond else []
    return parts[0] if len(parts) == 1 else "(?:" + ("|".join(parts) or "(?!)") + ")"


def _class_members(ranges: Ranges) -> str:
    def one(code: int) -> str:
        return f"\\x{code:02x}" if code < 128 and not chr(code).isalnum() else chr(code)

    return "".join(one(low) if low == high else f"{one(low)}-{one(high)}" for low, high in ranges)


def _within(ranges: Ranges, others: Ranges) -> Ranges:
    both = ((max(low, first), min(high, last)) for low, high in ranges for first, last in others)
    return _union((low, high) for low, high in both if low <= high)


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
            return cased and ranges != _folded(ranges)
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
            return regex if cased else Chars(ranges=_folded(ranges), cased=True)
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
