"""How a line typed into an interactive session travels: as a command list where it converts, else as script.

PowerShell's own client parses the line and converts it (`ScriptBlock.GetPowerShell`) to commands with constant arguments; what does
not convert is sent as text. This is the careful part of that conversion: one command, literal arguments. In doubt a line is a script,
which every target runs alike. Pure: knows no protocol and no library.

https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_parsing
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Literal = str | int

# A bare argument ends at a blank. These begin something that is not a literal wherever they stand in it: a variable, a list, an
# operator, an escape, a quoted part. `@` and `#` do so only at the start of a token.
_NOT_LITERAL = frozenset("$`|&;<>(){},'\"")
_SPECIAL_AT_START = frozenset("@#")
_COMMAND = re.compile(r"(?:[^\W\d]|[\\/.~](?=[\w\\/.]))[\w\-.\\/:~]*\Z")
_PARAMETER = re.compile(r"-(?P<name>[^\W\d][\w?-]*)(?P<colon>:?)(?P<value>.*)\Z", re.DOTALL)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,9})\Z")
_LIKE_A_NUMBER = re.compile(r"[+-]?\.?[0-9]")
_INT32 = range(-(2**31), 2**31)

# Keywords that begin a statement (about_Language_Keywords) and so no command.
_KEYWORD = re.compile(
    r"(?:begin|break|catch|class|clean|configuration|continue|data|define|do|dynamicparam|else|elseif|end|enum|exit|"
    r"filter|finally|for|foreach|from|function|if|in|inlinescript|parallel|param|process|return|sequence|switch|"
    r"throw|trap|try|until|using|var|while|workflow)\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedArgument:
    """One argument as PSRP carries it [MS-PSRP 2.2.3.13].

    `name` with its dash, and with its colon where the line had one: the client cannot know whether `-Name value` is a switch and a
    positional value or a parameter and its value, so they travel apart and the target's binder decides.
    """

    name: str | None = None
    value: Literal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedCommand:
    """A line that is one command with literal arguments."""

    name: str
    arguments: tuple[TypedArgument, ...] = ()


def as_command(line: str) -> TypedCommand | None:
    """The line as a command, or None where it has to travel as script."""
    if not all(character.isalnum() or 0x20 <= ord(character) < 0x7F or character == "\t" for character in line):
        return None  # other blanks, dashes and quotation marks mean something to PowerShell's tokeniser
    tokens = _tokens(line)
    if not tokens or tokens[0].quoted:
        return None
    name = tokens[0].text
    if not _COMMAND.match(name) or _KEYWORD.match(name):
        return None
    arguments: list[TypedArgument] = []
    for token in tokens[1:]:
        argument = _argument(token)
        if argument is None:
            return None
        arguments.append(argument)
    return TypedCommand(name=name, arguments=tuple(arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str
    quoted: bool


def _tokens(line: str) -> list[_Token]:
    """The line's tokens; none where one of them is not a literal."""
    tokens: list[_Token] = []
    at = 0
    while True:
        while at < len(line) and line[at] in " \t":
            at += 1
        if at == len(line):
            return tokens
        if line[at] in "'\"":
            text, at = _quoted(line, at)
            if text is None or (at < len(line) and line[at] not in " \t"):
                return []
            tokens.append(_Token(text=text, quoted=True))
            continue
        start = at
        while at < len(line) and line[at] not in " \t":
            at += 1
        text = line[start:at]
        if text[0] in _SPECIAL_AT_START or not _NOT_LITERAL.isdisjoint(text):
            return []
        tokens.append(_Token(text=text, quoted=False))


def _quoted(line: str, at: int) -> tuple[str | None, int]:
    """The string that begins at `at`, where it is constant, and where it ends."""
    quote = line[at]
    text = ""
    at += 1
    while at < len(line):
        character = line[at]
        at += 1
        if character == quote:
            if at < len(line) and line[at] == quote:  # a doubled quotation mark stands for one
                at += 1
            else:
                return text, at
        elif quote == '"' and character in "$`":
            return None, at
        text += character
    return None, at


def _argument(token: _Token) -> TypedArgument | None:
    if token.quoted:
        return TypedArgument(value=token.text)
    text = token.text
    if _INTEGER.match(text) and text != "-0" and int(text) in _INT32:
        return TypedArgument(value=int(text))
    if text.startswith("-"):
        parameter = _PARAMETER.match(text)
        if parameter is None:
            return None
        value = parameter["value"]
        if not parameter["colon"]:
            return None if value else TypedArgument(name=text)
        if not value or value[0] in "-@#" or _LIKE_A_NUMBER.match(value):
            return None
        return TypedArgument(name=f"-{parameter['name']}:", value=value)
    if _LIKE_A_NUMBER.match(text):
        # 0x1F, 1kb and 1.5 are numbers, 127.0.0.1 is none: PowerShell's own tokeniser shall say.
        return None
    return TypedArgument(value=text)
