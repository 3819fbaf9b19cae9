"""The grammar of cmd.exe's own statements: `if`, `for`, `set /a`, and the lines of a batch file. Pure; `cmd` runs what is read here."""

from __future__ import annotations

import ntpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.host.programs.cmd_line import LineFault

MAX_BATCH_LINES = 5_000
_SYNTAX = "The syntax of the command is incorrect."


@dataclass(frozen=True, slots=True, kw_only=True)
class If:
    """`if`: a test, what it is about, and the two lines. `kind` is exist, errorlevel, defined, == or a comparison word."""

    kind: str
    left: str
    right: str
    negated: bool
    fold: bool
    then: str
    otherwise: str


@dataclass(frozen=True, slots=True, kw_only=True)
class For:
    """`for`: `kind` is "", d, r, l or f; `options` those of /f; `place` the directory of /r; `within` the text in parentheses."""

    kind: str
    options: str
    place: str
    variable: str
    within: str
    body: str


def closing(text: str, start: int) -> int:
    """Where the parenthesis that opens at `start` is closed. Raises `LineFault`."""
    depth, quoted, at = 0, False, start
    while at < len(text):
        char = text[at]
        if char == "^" and not quoted:
            at += 1
        elif char == '"':
            quoted = not quoted
        elif char == "(" and not quoted:
            depth += 1
        elif char == ")" and not quoted:
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise LineFault(_SYNTAX)


def parse_if(text: str) -> If:
    """The statement from its keyword on. Raises `LineFault`."""
    rest = text.lstrip()[2:].lstrip()
    fold = negated = False
    while True:
        word = re.match(r"(?i)(/i|not)\s+", rest)
        if word is None:
            break
        fold, negated = fold or word[1].lower() == "/i", negated or word[1].lower() == "not"
        rest = rest[word.end() :]
    unary = re.match(r"(?i)(exist|errorlevel|defined|cmdextversion)\s+(\"[^\"]*\"|\S+)\s*", rest)
    binary = re.match(r"(?i)(\"[^\"]*\"|[^\s=]+)\s*(==|\bequ\b|\bneq\b|\blss\b|\bleq\b|\bgtr\b|\bgeq\b)\s*(\"[^\"]*\"|[^\s(]+)\s*", rest)
    if unary:
        kind, left, right, rest = unary[1].lower(), unary[2], "", rest[unary.end() :]
    elif binary:
        kind, left, right, rest = binary[2].lower(), binary[1], binary[3], rest[binary.end() :]
    else:
        raise LineFault(_SYNTAX)
    then, otherwise = rest, ""
    if rest.startswith("("):
        end = closing(rest, 0)
        then, after = rest[1:end], rest[end + 1 :].lstrip()
        found = re.match(r"(?i)else\b\s*", after)
        if found:
            otherwise = _unwrapped(after[found.end() :])
        elif after.strip():
            raise LineFault(f"{after.split()[0]} was unexpected at this time.")
    if not then.strip():
        raise LineFault(_SYNTAX)
    return If(kind=kind, left=left, right=right, negated=negated, fold=fold, then=then.strip(), otherwise=otherwise)


def _unwrapped(text: str) -> str:
    text = text.strip()
    return text[1 : closing(text, 0)].strip() if text.startswith("(") else text


def parse_for(text: str) -> For:
    """The statement from its keyword on. Raises `LineFault`."""
    head = re.match(
        r"(?is)\s*for\s+(?:/([dlrf])\s+)?(?:(\"[^\"]*\"|(?!%)[^\s(]+)\s+)?(?:(\"[^\"]*\"|(?!%)\S+)\s+)?%%?([A-Za-z?#$])\s+in\s*(?=\()", text
    )
    if head is None:
        raise LineFault(_SYNTAX)
    start = head.end()
    end = closing(text, start)
    body = re.match(r"(?is)\s*do\b\s*(.+)$", text[end + 1 :], re.DOTALL)
    if body is None:
        raise LineFault(_SYNTAX)
    kind = (head[1] or "").lower()
    given = (head[2] or "").strip('"')
    return For(
        kind=kind,
        options=given if kind == "f" else "",
        place=given if kind == "r" else "",
        variable=head[4],
        within=text[start + 1 : end].strip(),
        body=_unwrapped(body[1]),
    )


def substituted(text: str, values: Mapping[str, str]) -> str:
    """The text with `%i` and `%~nxi` replaced by what the loop's variables are."""

    def one(found: re.Match[str]) -> str:
        value = values.get(found[2])
        if value is None:
            return found[0]
        return value if found[1] is None else modified(value, found[1])

    return re.sub(r"%%?(?:~([fdpnxsatz]*))?([A-Za-z?#$])", one, text)


def modified(value: str, marks: str) -> str:
    """`%~marks` of a value: without its quotes, and of a path the parts that are named."""
    value = value.strip('"')
    if not marks or set(marks) & set("satz"):
        return value
    drive, rest = ntpath.splitdrive(value)
    directory, name = ntpath.split(rest)
    stem, ending = ntpath.splitext(name)
    if "f" in marks:
        return value
    parts = [("d", drive), ("p", directory.rstrip("\\") + "\\"), ("n", stem), ("x", ending)]
    return "".join(part for mark, part in parts if mark in marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The options of `for /f`: which words of a line are taken, and what parts them."""

    tokens: tuple[int, ...] = (1,)
    rest: bool = False
    delimiters: str = " \t"
    skip: int = 0
    comment: str = ";"
    use_back: bool = False


def fields_of(options: str) -> Fields:
    """Read the options of `for /f`. Raises `LineFault`."""
    delimiters = " \t"
    found = re.search(r"(?i)delims=(.*)$", options)
    if found:
        # delims= goes to the end of the text, so that a blank can be one; anything else stands before it.
        delimiters, options = found[1], options[: found.start()]
    tokens: list[int] = []
    rest = False
    skip, comment, use_back = 0, ";", False
    for word in options.split():
        name, _, value = word.partition("=")
        match name.lower():
            case "usebackq":
                use_back = True
            case "skip" if value.isdigit():
                skip = int(value)
            case "eol":
                comment = value[:1]
            case "tokens":
                rest = value.endswith("*")
                for part in value.rstrip("*").strip(",").split(","):
                    first, dash, last = part.partition("-")
                    if first.isdigit():
                        tokens += range(int(first), min(int(last) if dash and last.isdigit() else int(first), 31) + 1)
            case _:
                raise LineFault(f"{word} was unexpected at this time.")
    return Fields(
        tokens=tuple(tokens) if tokens or rest else (1,), rest=rest, delimiters=delimiters, skip=skip, comment=comment, use_back=use_back
    )


def split_fields(line: str, how: Fields) -> list[str] | None:
    """The words that `for /f` takes of a line, None for one that it passes over."""
    if not line.strip() or (how.comment and line.startswith(how.comment)):
        return None
    if not how.delimiters:
        return [line]
    words: list[tuple[int, str]] = [(found.start(), found[0]) for found in re.finditer("[^" + re.escape(how.delimiters) + "]+", line)]
    if not words:
        return None
    chosen = [words[at - 1][1] if at <= len(words) else "" for at in how.tokens]
    if how.rest:
        last = max(how.tokens, default=0)
        chosen.append(line[words[last][0] :] if last < len(words) else "")
    return chosen if any(chosen[:1]) else None


_TOKEN = re.compile(r"\s*(0x[0-9A-Fa-f]+|\d+|<<=?|>>=?|[-+*/%&|^]=|=|[-+*/%()&|^~!,]|[A-Za-z_][\w.]*)")


class Arithmetic:
    """`set /a`: 32-bit expressions over variables. `assign` is told of every assignment."""

    def __init__(self, text: str, read: Callable[[str], str | None], assign: Callable[[str, str], None]) -> None:
        self._tokens: list[str] = []
        self._at = 0
        self._read = read
        self._assign = assign
        self._depth = 0
        end = 0
        while text[end:].strip():
            found = _TOKEN.match(text, end)
            if found is None:
                raise LineFault("Missing operator.")
            self._tokens.append(found[1])
            end = found.end()

    def value(self) -> int:
        """The last expression's value. Raises `LineFault`."""
        found = self._assignment()
        while self._peek() == ",":
            self._at += 1
            found = self._assignment()
        if self._at < len(self._tokens):
            raise LineFault("Missing operator.")
        return found

    def _peek(self, ahead: int = 0) -> str:
        return self._tokens[self._at + ahead] if self._at + ahead < len(self._tokens) else ""

    def _assignment(self) -> int:
        sign = self._peek(1)
        if re.fullmatch(r"[A-Za-z_][\w.]*", self._peek()) and (sign == "=" or (sign.endswith("=") and len(sign) > 1)):
            name = self._peek()
            self._at += 2
            right = self._assignment()
            found = right if sign == "=" else _combined(sign[:-1], self._variable(name), right)
            self._assign(name, str(found))
            return found
        return self._level(0)

    def _level(self, level: int) -> int:
        levels = (("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-"), ("*", "/", "%"))
        if level == len(levels):
            return self._unary()
        left = self._level(level + 1)
        while self._peek() in levels[level]:
            sign = self._peek()
            self._at += 1
            left = _combined(sign, left, self._level(level + 1))
        return left

    def _unary(self) -> int:
        self._depth += 1
        if self._depth > 50:
            raise LineFault("Missing operand.")
        token = self._peek()
        self._at += 1
        try:
            if token == "(":  # noqa: S105  a parenthesis, no secret
                found = self._assignment()
                if self._peek() != ")":
                    raise LineFault("Unbalanced parenthesis.")
                self._at += 1
                return found
            if token in ("-", "+", "~", "!"):
                inner = self._unary()
                return {"-": _wrapped(-inner), "+": inner, "~": ~inner, "!": int(not inner)}[token]
            if token[:1].isdigit():
                try:
                    return _wrapped(
                        int(token, 16 if token.lower().startswith("0x") else 8 if token.startswith("0") and len(token) > 1 else 10)
                    )
                except ValueError:
                    raise LineFault(
                        "Invalid number.  Numeric constants are either decimal (17),\nhexadecimal (0x11), or octal (021)."
                    ) from None
            if re.fullmatch(r"[A-Za-z_][\w.]*", token):
                return self._variable(token)
        finally:
            self._depth -= 1
        raise LineFault("Missing operand.")

    def _variable(self, name: str) -> int:
        text = (self._read(name) or "0").strip()
        found = re.match(r"-?(?:0x[0-9A-Fa-f]+|\d+)", text)
        return _wrapped(int(found[0], 0 if "x" in found[0].lower() else 10)) if found and len(found[0]) < 20 else 0


def _wrapped(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31


def _combined(sign: str, left: int, right: int) -> int:
    match sign:
        case "+":
            return _wrapped(left + right)
        case "-":
            return _wrapped(left - right)
        case "*":
            return _wrapped(left * right)
        case "/" | "%":
            if right == 0:
                raise LineFault("Divide by zero error.")
            whole = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
            return _wrapped(whole if sign == "/" else left - whole * right)
        case "&":
            return left & right
        case "|":
            return left | right
        case "^":
            return left ^ right
        case "<<":
            return _wrapped(left << (right & 31))
        case _:
            return left >> (right & 31)


def logical_lines(text: str) -> list[str]:
    """The lines of a batch file, with those that a caret or an open parenthesis joins made one. Raises `LineFault`."""
    found: list[str] = []
    pending = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        held = pending + line
        if held.endswith("^"):
            pending = held[:-1]
            continue
        if _opened(held) and not held.lstrip().startswith((":", "rem ", "REM ")):
            pending = held.rstrip() + ("" if held.rstrip().endswith("(") else " & ")
            continue
        found.append(re.sub(r"&\s*\)", ")", held))
        pending = ""
    if pending:
        found.append(pending)
    if len(found) > MAX_BATCH_LINES:
        raise LineFault("The batch file is too long.")
    return found


def _opened(text: str) -> int:
    quoted, depth = False, 0
    for char in text:
        quoted ^= char == '"'
        if not quoted:
            depth += (char == "(") - (char == ")")
    return max(0, depth)
