r"""Lucene's regular expressions in Python's words, and back: EQL and Lucene's query language both have them.

They fit whole values, have no anchors, and a dot fits every character. What Python cannot say (complement, intersection, numeric intervals)
is refused. Whatever `python_regex` makes, `lucene_regex` says in Lucene's words again, so that the one made of that is the same. This
module must never know a field or a rule.

Source: https://www.elastic.co/docs/reference/query-languages/query-dsl/regexp-syntax
"""

from __future__ import annotations

import re

from harness.logic.match import BadValue

_DEPTH = 60
_BEFORE, _BEHIND = r"(?s)\A(?:", r")\Z"


def python_regex(pattern: str) -> str:
    """Lucene's regular expression as one of Python's that is searched for. Raises `BadValue` where it uses what Python cannot say."""
    made: list[str] = []
    at = 0
    after_quantifier = False
    depth = 0
    while at < len(pattern):
        character = pattern[at]
        quantifier = False
        if character == "\\":
            following = pattern[at + 1 : at + 2]
            if not following:
                raise BadValue("a regular expression ends in a lone backslash")
            made.append("\\" + following if following in "dDwWsS" else re.escape(following))
            at += 1
        elif character == '"':
            end = pattern.find('"', at + 1)
            if end < 0:
                raise BadValue("a quoted part of the regular expression does not end")
            made.append(f"(?:{re.escape(pattern[at + 1 : end])})")
            at = end
        elif character == "[":
            end = _class_end(pattern, at)
            made.append(_class(pattern[at + 1 : end]))
            at = end
        elif character in "~&<#":
            raise BadValue(
                f"the operator {character} of Lucene's regular expressions is not read here; put a backslash before the character"
            )
        elif character == "@":
            made.append(_ANYTHING)
        elif character in "^$":
            made.append("\\" + character)
        elif character in "*+?{":
            quantifier = True
            end = pattern.find("}", at) if character == "{" else at
            if end < 0 or (character == "{" and not re.fullmatch(r"\{[0-9]{1,4}(,[0-9]{0,4})?\}", pattern[at : end + 1])):
                raise BadValue("a repetition is { with one or two numbers }")
            if after_quantifier and character != "?":
                raise BadValue(f"a repetition is repeated by {pattern[at : end + 1]}; put brackets around the first")
            if pattern[at - 1 : at] == "(" or at == 0:
                raise BadValue(f"nothing stands before {character}")
            made.append(pattern[at : end + 1])
            at = end
        else:
            depth += (character == "(") - (character == ")")
            if depth > _DEPTH:
                raise BadValue(f"a regular expression is nested more than {_DEPTH} deep")
            made.append(character)
        after_quantifier = quantifier
        at += 1
    return f"{_BEFORE}{''.join(made)}{_BEHIND}"


_ANYTHING = "(?:.*)"


def _class_end(pattern: str, start: int) -> int:
    at = start + 1 + (pattern[start + 1 : start + 2] == "^")
    at += pattern[at : at + 1] == "]"
    while at < len(pattern) and pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    if at >= len(pattern):
        raise BadValue("a character class [ does not end")
    return at


def _class(inside: str) -> str:
    escaped = re.sub(r"\\(.)|([\[&|~])", lambda m: f"\\{m[1] or m[2]}" if m[2] or not m[1].isalpha() or m[1] in "dDwWsS" else m[1], inside)
    return f"[{escaped}]"


def lucene_regex(pattern: str) -> str:
    """What `python_regex` made of it, or of something that means the same. Raises `BadValue` where it did not make it."""
    if not (pattern.startswith(_BEFORE) and pattern.endswith(_BEHIND)):
        raise BadValue("a regular expression that is searched for is none of Lucene's, which fit whole values")
    inner = pattern[len(_BEFORE) : -len(_BEHIND)]
    made: list[str] = []
    at = 0
    while at < len(inner):
        character = inner[at]
        if character == "\\":
            made.append(inner[at : at + 2])
            at += 1
        elif inner.startswith(_ANYTHING, at):
            made.append("@")
            at += len(_ANYTHING) - 1
        elif inner.startswith("(?:", at):
            quoted = re.match(r"(?:[^\\()]|\\.)*", inner[at + 3 :], re.DOTALL)
            assert quoted is not None
            made.append('"' + re.sub(r"\\(.)", r"\1", quoted[0], flags=re.DOTALL) + '"')
            at += 3 + len(quoted[0])
        elif character == "[":
            end = _class_end(inner, at)
            made.append(inner[at : end + 1])
            at = end
        else:
            made.append(f"\\{character}" if character in '"<@&~#' else character)
        at += 1
    found = "".join(made)
    if python_regex(found) != pattern:
        raise BadValue("a regular expression uses what Lucene's cannot say")
    return found
