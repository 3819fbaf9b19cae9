"""A regular expression as a tree: one reading of the matcher's dialect, for all who say it in another.

What is read is what the engine `regex` takes for a text that is searched (close to PCRE's and Sigma's `|re`): groups, alternatives,
repetitions, places and flags. Which characters a class, an escape or a dot stands for is not decided here but by the `Alphabet` that is
handed in, because engines differ in that and in little else: one asks the matcher's own engine, another keeps to ASCII. What no language
beside the matcher's has (back-references, looks behind, atomic groups, fuzzy matches) is refused by name.

This module must never know an engine, a rule, or the language in which the tree is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NoReturn

from harness.logic.regex_size import DEPTH

REPEATS = 1000
"""The most repetitions that are counted out: the limit of Lucene's engine and of RE2."""

LAST_CHARACTER = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]
"""Code points, as closed ranges in order, none touching another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chars:
    """One character of a set; where not `cased`, a letter stands for its other case as well, as the target folds it."""

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
    """A place: the start of the text (`^`), its end (`Z`), its end or before a last line feed (`$`), the edge of a word (`b`), or no such
    edge (`B`)."""

    kind: Literal["^", "$", "Z", "b", "B"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What must, or must not, follow."""

    item: Regex
    negative: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One after the other, no part a chain itself."""

    items: tuple[Regex, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Any one of them."""

    items: tuple[Regex, ...]


Regex = Chars | Repeat | Edge | Ahead | Chain | Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A whole expression. Its flags are in force in the tree already; they are kept for those to whom it matters where they stood."""

    tree: Regex
    flags: str
    """The letters of the flags set at its very start."""

    switches: tuple[str, ...]
    """Every other part that sets flags, as it is written: `(?i:`, `(?-s)`."""

    depth: int
    """The most groups inside each other."""


class Unread(ValueError):
    """The expression has what is not read. The text says what, as a noun: "a back-reference"."""


Alphabet = Callable[[str, frozenset[str]], Chars]
"""What a part that stands for one character (`a`, `.`, `\\\\d`, `[^a-c]`) stands for under these flags. Raises `Unread`."""


def read_regex(pattern: str, *, cased: bool, alphabet: Alphabet) -> Expression:
    """The expression read. Raises `Unread`, also for what the matcher's engine would not compile."""
    return _Reader(pattern, cased, alphabet).read()


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Any ranges, in order and none touching another."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def complement(ranges: Ranges) -> Ranges:
    """All other characters."""
    found, at = [], 0
    for low, high in ranges:
        if low > at:
            found.append((at, low - 1))
        at = high + 1
    if at <= LAST_CHARACTER:
        found.append((at, LAST_CHARACTER))
    return tuple(found)


# --- reading --------------------------------------------------------------------------------------------------------------

_NAMED = re.compile(r"\(\?P?<(?![=!])\w+>")
_FLAGS = re.compile(r"\(\?([aimsu]*)(?:-([ims]+))?([:)])")
_COUNT = re.compile(r"\{(?=[0-9,])([0-9]*)(,?)([0-9]*)\}")
_FUZZY = re.compile(r"\{(?:[deis]|[0-9]+(?:<|[dis]))")
"""How the engine's own way to allow errors begins; any other brace that counts nothing is a character."""

_HEX = "[0-9a-fA-F]"
_ESCAPED = re.compile(
    rf"\\(?:x{_HEX}{{2}}|u{_HEX}{{4}}|[xu]\{{{_HEX}{{1,6}}\}}|U{_HEX}{{8}}|[pPN]\{{[^}}]{{1,100}}\}}|0[0-7]{{0,2}}|.)", re.DOTALL
)
_CLASS_NAME = re.compile(r"\[:\^?\w+:\]")

_EDGES: dict[str, Edge] = {
    "A": Edge(kind="^"),
    "Z": Edge(kind="Z"),
    "z": Edge(kind="Z"),
    "b": Edge(kind="b"),
    "B": Edge(kind="B"),
}

_REFUSED_GROUPS = (
    (re.compile(r"\(\?<[=!]"), "a look-around, a group of the kind"),
    (re.compile(r"\(\?>"), "an atomic group of the kind"),
    (re.compile(r"\(\?[-aimsuxbefprwLV01]+[:)]"), "flags within a regular expression, a group of the kind"),
    (re.compile(r"\(\?.?.?", re.DOTALL), "an extended group of the kind"),
)


class _Reader:
    """Recursive descent over one expression."""

    def __init__(self, pattern: str, cased: bool, alphabet: Alphabet) -> None:
        self._pattern = pattern
        self._alphabet = alphabet
        self._at = 0
        self._flags: frozenset[str] = frozenset() if cased else frozenset("i")
        self._switches: list[str] = []
        self._depth = self._deepest = 0

    def read(self) -> Expression:
        head = ""
        while (found := _FLAGS.match(self._pattern, self._at)) is not None and found[3] == ")" and not found[2]:
            head += found[1]
            self._flags |= frozenset(found[1])
            self._at = found.end()
        tree = self._choice()
        if self._at < len(self._pattern):
            raise Unread("the end of a group that was never opened")
        return Expression(tree=tree, flags=head, switches=tuple(self._switches), depth=self._deepest)

    def _take(self, text: str) -> bool:
        taken = self._pattern.startswith(text, self._at)
        self._at += len(text) * taken
        return taken

    def _choice(self) -> Regex:
        branches = [self._chain()]
        while self._take("|"):
            branches.append(self._chain())
        return branches[0] if len(branches) == 1 else Choice(items=tuple(branches))

    def _chain(self) -> Chain:
        items: list[Regex] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            item = self._item()
            if item is not None:
                found = self._repeated(item)
                items.extend(found.items if isinstance(found, Chain) else (found,))
        return Chain(items=tuple(items))

    def _item(self) -> Regex | None:
        """What a repetition would be about; None for flags, which are nothing of their own."""
        pattern, at = self._pattern, self._at
        match pattern[at]:
            case "(":
                return self._group()
            case "^" | "$" as kind:
                if "m" in self._flags:
                    raise Unread("flags within a regular expression, which looks for the start or end of a line")
                self._at += 1
                return Edge(kind="^" if kind == "^" else "$")
            case "\\":
                return self._escape()
            case "[":
                return self._one(self._class_end())
            case "*" | "+" | "?":
                raise Unread("a repetition that repeats nothing")
            case "{" if _COUNT.match(pattern, at) or _FUZZY.match(pattern, at):
                raise Unread("a bracket of repetition that repeats nothing")
        return self._one(at + 1)

    def _one(self, end: int) -> Chars:
        part = self._pattern[self._at : end]
        self._at = end
        return self._alphabet(part, self._flags)

    def _escape(self) -> Regex:
        found = _ESCAPED.match(self._pattern, self._at)
        if found is None:
            raise Unread("a backslash that ends too early")
        letter = found[0][1]
        if letter in _EDGES:
            self._at = found.end()
            return _EDGES[letter]
        if letter in "123456789gk":
            raise Unread("a back-reference")
        return self._one(found.end())

    def _class_end(self) -> int:
        pattern, at = self._pattern, self._at + 1
        at += pattern.startswith("^", at)
        at += pattern.startswith("]", at)
        while at < len(pattern) and pattern[at] != "]":
            named = _CLASS_NAME.match(pattern, at)
            at = named.end() if named else at + (2 if pattern[at] == "\\" else 1)
        if at >= len(pattern):
            raise Unread("a class that ends too early")
        return at + 1

    def _group(self) -> Regex | None:
        pattern, at = self._pattern, self._at
        if not pattern.startswith("(?", at):
            return self._inside(at + 1, self._flags)
        if pattern.startswith(("(?=", "(?!"), at):
            return Ahead(item=self._inside(at + 3, self._flags), negative=pattern[at + 2] == "!")
        if (named := _NAMED.match(pattern, at)) is not None:
            return self._inside(named.end(), self._flags)
        found = _FLAGS.match(pattern, at)
        if found is None:
            self._refuse_group()
        flags = (self._flags | frozenset(found[1])) - frozenset(found[2] or "")
        if found[0] != "(?:":
            self._switches.append(found[0])
        if found[3] == ":":
            return self._inside(found.end(), flags)
        self._flags = flags  # from here to the end of the group around
        self._at = found.end()
        return None

    def _inside(self, start: int, flags: frozenset[str]) -> Regex:
        outer = self._flags
        self._at, self._flags = start, flags
        self._depth += 1
        self._deepest = max(self._deepest, self._depth)
        if self._depth > DEPTH:
            raise Unread(f"groups nested more than {DEPTH} deep")
        inner = self._choice()
        if not self._take(")"):
            raise Unread("a group that it never closes")
        self._depth -= 1
        self._flags = outer
        return inner

    def _refuse_group(self) -> NoReturn:
        shapes = ((shape.match(self._pattern, self._at), what) for shape, what in _REFUSED_GROUPS)
        raise Unread(next(f"{what} {found[0]!r}" for found, what in shapes if found is not None))

    def _repeated(self, item: Regex) -> Regex:
        least = 0
        most: int | None = None
        if (counted := _COUNT.match(self._pattern, self._at)) is not None:
            # Lengths first: a number of thousands of digits is none that Python would read.
            if any(len(each.lstrip("0")) > len(str(REPEATS)) for each in (counted[1], counted[3])):
                self._refuse_count(counted[0])
            least = int(counted[1] or 0)
            most = int(counted[3]) if counted[3] else None if counted[2] else least
            if max(least, most or 0) > REPEATS or (most is not None and most < least):
                self._refuse_count(counted[0])
            self._at = counted.end()
        elif self._take("+"):
            least = 1
        elif self._take("?"):
            most = 1
        elif _FUZZY.match(self._pattern, self._at):
            raise Unread("a fuzzy match")
        elif not self._take("*"):
            return item
        if isinstance(item, Edge | Ahead):
            raise Unread("the repetition of a place between characters")
        lazy = self._take("?")
        if self._take("+"):
            raise Unread("a possessive repetition")
        return Repeat(item=item, least=least, most=most, lazy=lazy)

    def _refuse_count(self, count: str) -> NoReturn:
        raise Unread(f"a repetition that counts {count[:20]}, where it may count up to {REPEATS} repetitions")
