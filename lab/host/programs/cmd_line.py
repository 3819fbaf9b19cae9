"""The grammar of a line of cmd.exe: operators, groups, redirections, carets and quotes to a tree, and variables before that.

Pure: text in, tree out. What a command does, and which there are, is `cmd`'s affair.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MAX_LINE = 8191
"""Characters of a line, before and after its variables: cmd.exe's own limit."""
MAX_GROUPS = 40

_DIGIT_BEFORE = re.compile(r"(?:^|[\s,;=])([0-9])$")
_OPERATORS = ("&", "||", "&&", "|")  # the one that binds least comes first
_STATEMENT = re.compile(r"(?i)(?:if|for)(?=[\s/(])")
_VARIABLE = re.compile(r"([^%:]{1,255})(?::([^%]{1,255}))?%")
_SLICE = re.compile(r"~(-?\d{1,6})(?:,(-?\d{1,6}))?\Z")


class LineFault(Exception):
    """The line is none. `text` is what cmd.exe says to it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirection:
    """`handle` 0 to 9 goes to (or comes from) a file, or to where handle `target` goes where `to_handle`."""

    handle: int
    target: str
    reads: bool = False
    appends: bool = False
    to_handle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Simple:
    """A command with its arguments as they were written, carets resolved."""

    text: str
    redirections: tuple[Redirection, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Commands in parentheses."""

    body: Node
    redirections: tuple[Redirection, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """`if` and `for` with all that follows them: a statement takes the rest of its line, or of the parentheses that it stands in."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Two or more with one operator between: `&`, `||`, `&&` or `|`."""

    operator: str
    parts: tuple[Node, ...]


Node = Simple | Group | Statement | Chain

Token = tuple[str, str] | Redirection
"""An operator or parenthesis and "", the text of a command, or a redirection."""


def expanded(line: str, value_of: Callable[[str], str | None]) -> str:
    """The line with its %variables% replaced, as cmd.exe does before it reads anything else; unknown ones stay as they are.

    Also `%NAME:~from,length%` and `%NAME:this=that%`. Raises `LineFault` where it becomes too long.
    """
    parts: list[str] = []
    size = at = 0
    while at <= len(line):
        mark = line.find("%", at)
        found = _VARIABLE.match(line, mark + 1) if mark >= 0 else None
        value = value_of(found[1]) if found else None
        if mark < 0:
            parts.append(line[at:])
            size += len(line) - at
            at = len(line) + 1
        elif found is None or value is None:
            parts.append(line[at : mark + 1])
            size += mark + 1 - at
            at = mark + 1
        else:
            shown = _modified(value, found[2])
            parts += [line[at:mark], shown]
            size += mark - at + len(shown)
            at = found.end()
        if size > MAX_LINE:
            raise LineFault("The input line is too long.")
    return "".join(parts)


def _modified(value: str, modifier: str | None) -> str:
    if modifier is None:
        return value
    cut = _SLICE.match(modifier)
    if cut:
        start = int(cut[1])
        rest = value[max(len(value) + start, 0) :] if start < 0 else value[start:]
        return rest if cut[2] is None else rest[: int(cut[2])]
    old, equals, new = modifier.partition("=")
    if not equals or not old:
        return value
    if old.startswith("*") and len(old) > 1:
        at = value.lower().find(old[1:].lower())
        return new + value[at + len(old) - 1 :] if at >= 0 else value
    return re.sub(re.escape(old), lambda _: new, value, flags=re.IGNORECASE)


def parse(line: str) -> Node | None:
    """The tree of a line, None for one without a command. Raises `LineFault`."""
    if len(line) > MAX_LINE:
        raise LineFault("The input line is too long.")
    tokens = _tokens(line)
    reader = _Reader(tokens)
    node = reader.chain(0)
    if reader.at < len(tokens):
        raise _unexpected(tokens[reader.at])
    return node


def _unexpected(token: Token) -> LineFault:
    shown = token.target if isinstance(token, Redirection) else token[1] or token[0]
    return LineFault(f"{shown} was unexpected at this time.")


def _tokens(line: str) -> list[Token]:
    found: list[Token] = []
    current: list[str] = []
    quoted = False
    groups = 0
    at = 0

    def end() -> None:
        text = "".join(current)
        if text.strip():
            found.append(("text", text))
        current.clear()

    while at < len(line):
        char = line[at]
        if not quoted and not "".join(current).strip(" @") and not _in_command(found) and _STATEMENT.match(line, at):
            stop = _statement_end(line, at, groups)
            current.clear()
            found.append(("statement", line[at:stop]))
            at = stop
            continue
        if char == "^" and not quoted:
            current.append(line[at + 1 : at + 2])
            at += 2
            continue
        if char == '"':
            quoted = not quoted
        elif not quoted and char in "&|":
            end()
            operator = char * 2 if line[at : at + 2] == char * 2 else char
            found.append((operator, ""))
            at += len(operator)
            continue
        elif not quoted and char in "<>":
            at = _redirection(line, at, current, found)
            continue
        elif not quoted and char == "(" and not "".join(current).strip(" @") and not _in_command(found):
            current.clear()
            found.append(("(", ""))
            groups += 1
            at += 1
            continue
        elif not quoted and char == ")" and groups:
            end()
            found.append((")", ""))
            groups -= 1
            at += 1
            continue
        current.append(char)
        at += 1
    end()
    return found


def _statement_end(line: str, at: int, groups: int) -> int:
    """Where a statement ends: at the parenthesis that closes the group that it stands in, else with the line."""
    depth, quoted = 0, False
    while at < len(line):
        char = line[at]
        if char == "^" and not quoted:
            at += 1
        elif char == '"':
            quoted = not quoted
        elif not quoted and char in "()":
            depth += 1 if char == "(" else -1
            if depth < 0 and groups:
                return at
        at += 1
    return len(line)


def _in_command(found: list[Token]) -> bool:
    """Whether what comes next belongs to a command that has begun."""
    return bool(found) and (isinstance(found[-1], Redirection) or found[-1][0] in ("text", ")"))


def _redirection(line: str, at: int, current: list[str], found: list[Token]) -> int:
    """Read `2>>name`, `<name`, `2>&1`; the command's text goes on after it. Where to read on."""
    reads = line[at] == "<"
    before = _DIGIT_BEFORE.search("".join(current))
    handle = int(before[1]) if before else 0 if reads else 1
    if before:
        current.pop()
    at += 1
    appends = not reads and line[at : at + 1] == ">"
    at += appends
    if line[at : at + 1] == "&" and line[at + 1 : at + 2].isdigit():
        target, to_handle, at = line[at + 1], True, at + 2
    else:
        while line[at : at + 1].isspace():
            at += 1
        start, quoted = at, False
        while at < len(line) and (quoted or (not line[at].isspace() and line[at] not in "&|<>()")):
            quoted ^= line[at] == '"'
            at += 1
        target, to_handle = line[start:at].replace('"', ""), False
    if not target:
        raise LineFault("The syntax of the command is incorrect.")
    text = "".join(current)
    if text.strip():
        # A redirection in the middle of a command: the text before and after it is one.
        found.append(("text", text))
    current.clear()
    found.append(Redirection(handle=handle, target=target, reads=reads, appends=appends, to_handle=to_handle))
    return at


class _Reader:
    """Tokens to a tree, operators by how much they bind."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._groups = 0
        self.at = 0

    def _next(self) -> str:
        """The operator that comes next, "redirection" for one, "" at the end."""
        if self.at >= len(self._tokens):
            return ""
        token = self._tokens[self.at]
        return "redirection" if isinstance(token, Redirection) else token[0]

    def chain(self, level: int) -> Node | None:
        """Commands with operators that bind at least as much as `level` says; None where there is nothing."""
        if level == len(_OPERATORS):
            return self._command()
        operator = _OPERATORS[level]
        first = self.chain(level + 1)
        parts = [first] if first is not None else []
        while self._next() == operator:
            token = self._tokens[self.at]
            self.at += 1
            if len(parts) == 0:
                raise _unexpected(token)
            part = self.chain(level + 1)
            if part is not None:
                parts.append(part)
            elif operator != "&" or self._next() not in ("", ")"):  # a line may end in &, and in nothing else
                raise _unexpected(self._tokens[self.at] if self.at < len(self._tokens) else token)
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else Chain(operator=operator, parts=tuple(parts))

    def _command(self) -> Node | None:
        body: Node | None = None
        if self._next() == "statement":
            token = self._tokens[self.at]
            self.at += 1
            return Statement(text=token[1]) if not isinstance(token, Redirection) else None
        if self._next() == "(":
            token = self._tokens[self.at]
            self._groups += 1
            if self._groups > MAX_GROUPS:
                raise LineFault("The input line has too many groups.")
            self.at += 1
            body = self.chain(0)
            if body is None or self._next() != ")":
                raise _unexpected(token)
            self.at += 1
            self._groups -= 1
        texts: list[str] = []
        redirections: list[Redirection] = []
        while self.at < len(self._tokens):
            token = self._tokens[self.at]
            if isinstance(token, Redirection):
                redirections.append(token)
            elif token[0] == "text":
                texts.append(token[1])
            else:
                break
            self.at += 1
        if body is not None:
            if texts:
                raise LineFault(f"{texts[0].split()[0]} was unexpected at this time.")
            return Group(body=body, redirections=tuple(redirections))
        if not texts and not redirections:
            return None
        return Simple(text=_joined(texts), redirections=tuple(redirections))


def _joined(texts: list[str]) -> str:
    """What stood around redirections: `echo a>f b` echoes `a b`. An at sign in front only hides the line."""
    return "".join(texts).lstrip().lstrip("@").lstrip()
