"""What a PowerShell text may set going beside itself: nothing, a child process, or anything.

A conservative reading, not a parser: only what is certain counts as harmless. A cmdlet that is known to work inside the session's own
process starts nothing; a few programs are known to start nothing further and to connect nowhere; whatever else stands in the text may
do anything. This module must never know a rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Reach(IntEnum):
    """What a text may set going. The greater takes in the lesser."""

    ITSELF = 0  # all of it happens in the session's host process
    CHILD = 1  # a child of the session's host process, which starts nothing and connects nowhere
    ANYTHING = 2


# Cmdlets (and their usual aliases) of the modules Microsoft.PowerShell.Core, .Management, .Utility, .Security and .Diagnostics that
# neither start a process nor open a connection. Left out on purpose: Add-Type (the C# compiler), Start-Service and its kind (the service
# control manager starts processes), everything CIM and WMI (its provider host), everything that fetches, tests or sends.
_LOCAL = """
    add-content add-member clear-content clear-host clear-item clear-itemproperty clear-variable compare-object convert-path
    convertfrom-csv convertfrom-json convertfrom-stringdata convertto-csv convertto-html convertto-json convertto-xml copy-item
    copy-itemproperty export-clixml export-csv foreach-object format-custom format-hex format-list format-table format-wide get-acl
    get-alias get-childitem get-command get-content get-culture get-date get-error get-eventlog get-executionpolicy get-filehash
    get-formatdata get-help get-history get-host get-item get-itemproperty get-itempropertyvalue get-location get-member get-module
    get-process get-psdrive get-psprovider get-random get-service get-timezone get-typedata get-uiculture get-unique get-uptime
    get-variable get-verb get-winevent group-object import-clixml import-csv join-path join-string measure-command measure-object
    move-item move-itemproperty new-guid new-item new-itemproperty new-timespan new-variable out-default out-file out-host out-null
    out-string pop-location push-location remove-item remove-itemproperty remove-variable rename-item rename-itemproperty resolve-path
    select-object select-string set-content set-date set-item set-itemproperty set-location set-strictmode set-timezone set-variable
    sort-object split-path start-sleep tee-object test-path where-object write-debug write-error write-host write-information
    write-output write-progress write-verbose write-warning % ? cat cd clc cls copy cp del dir echo fl foreach ft fw gal gc gci gcm
    get-clipboard gi gl gm gp gps group gsv gu gv h history ls measure mi move mp mv ni popd ps pushd pwd rd rm rmdir rni rvpa select
    set si sl sleep sls sort sp tee type where write
"""
_LOCAL_CMDLETS = frozenset(_LOCAL.split())

# Programs that only look, and only at this machine.
_LOOKING = frozenset(["whoami", "hostname", "ipconfig", "systeminfo", "tasklist", "arp", "quser", "net", "net1"])
# cmd.exe's own words that start no program and read no file that could hold lines.
_INTERNAL = frozenset(["cd", "chdir", "date", "dir", "echo", "md", "mkdir", "path", "rem", "set", "time", "title", "ver", "verify", "vol"])
_SYSTEM_FOLDERS = ("c:\\windows\\system32\\", "$env:systemroot\\system32\\", "$env:windir\\system32\\")

# Parameters that turn a local cmdlet outwards or into a job, in full: PowerShell takes any unambiguous beginning.
_OUTWARD = ("computername", "cimsession", "connectionuri", "session", "hostname", "vmname", "vmid", "containerid", "asjob")

_CAST = re.compile(
    r"^\[(int|int32|int64|long|string|bool|switch|double|datetime|timespan|guid|char|byte|object|array|hashtable)(\[\])?\]", re.I
)
_KEYWORD = re.compile(
    r"^(param|if|elseif|else|for|while|do|until|switch|try|catch|finally|begin|process|end|return|exit|throw|break|continue)(?![\w-])", re.I
)
_ASSIGNMENT = re.compile(r"^(?:\[[\w.]+\]\s*)?\$[\w:.]+(?:\s*,\s*\$[\w:.]+)*\s*[+*/-]?=(?!=)", re.S)
_LOOP = re.compile(r"^\$\w+\s+in\s", re.I)
_HASH_KEY = re.compile(r"^[\w']+\s*=")
_NUMBER = re.compile(r"^[0-9][0-9.]*(\.\.\$?\w+)?(?=$|[\s+*/%,-])")
_METHOD = re.compile(r"[\w\])}'\"]\.\w+\(")


def reach(texts: Iterable[str]) -> Reach:
    """What these texts may set going together."""
    return max((_reach_of(text) for text in texts), default=Reach.ITSELF)


def looking_program(line: str) -> str | None:
    """The program that a line for cmd.exe starts, by its name without .exe, where it only looks at this machine; "" where the line starts
    none at all; None where either is not certain."""
    word, _, rest = line.strip().partition(" ")
    if set(rest) & set('&|<>^%!()"') or "\\\\" in rest or "://" in rest:
        return None
    name = word.lower()
    if name in _INTERNAL:
        return ""
    for folder in ("c:\\windows\\system32\\", "%systemroot%\\system32\\", "%windir%\\system32\\"):
        name = name.removeprefix(folder)
    name = name.removesuffix(".exe")
    return name if name in _LOOKING else None


def _reach_of(text: str) -> Reach:
    code = _without_literals(text)
    if code is None or "::" in code or _METHOD.search(code):
        return Reach.ANYTHING  # static and instance methods can do whatever .NET can
    if "\\\\" in text or "://" in text:
        return Reach.ANYTHING  # a path or an address of another machine
    return max((_reach_of_command(command) for command in _commands(code)), default=Reach.ITSELF)


def _without_literals(text: str) -> str | None:
    """The text with strings in single quotes, all but plain ones emptied, and no comments; None where that is not certain."""
    kept: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character == "`" or text.startswith(("@'", '@"', "<#"), at):
            return None
        if character in "'\"":
            end = text.find(character, at + 1)
            if end < 0:
                return None
            inside = text[at + 1 : end]
            if character == '"' and ("$(" in inside or "`" in inside):
                return None
            kept.append(f"'{inside}'" if re.fullmatch(r"[\w\\:.-]*", inside) else "''")
            at = end + 1
        elif character == "#" and (at == 0 or text[at - 1] in " \t\r\n;|(){}"):
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            kept.append(character)
            at += 1
    return "".join(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """A stretch of code between separators: what stands before and after it, and whether it is an entry of a hash literal."""

    text: str
    before: str
    after: str
    in_hash: bool


def _commands(code: str) -> Iterable[_Command]:
    piece: list[str] = []
    hashes: list[bool] = []
    before = ""
    quoted = False
    for character in [*code, ""]:
        if character == "'":
            quoted = not quoted
        if quoted or (character and character not in "({)}|;\n\r"):
            piece.append(character)
            continue
        text = "".join(piece).strip()
        yield _Command(text=text, before=before, after=character, in_hash=bool(hashes) and hashes[-1])
        if character in ("(", "{"):
            hashes.append(character == "{" and text.endswith("@"))
        elif character in (")", "}") and hashes:
            hashes.pop()
        piece, before = [], character


def _reach_of_command(command: _Command) -> Reach:
    text = command.text
    if command.before in (")", "}") and re.match(r"\.\w|\[", text):
        return Reach.ITSELF  # a property or an element of what the brackets held
    if command.in_hash:
        text = _HASH_KEY.sub("", text).strip()
    while prefix := next((found for pattern in (_ASSIGNMENT, _LOOP, _KEYWORD, _CAST) if (found := pattern.match(text))), None):
        text = text[prefix.end() :].strip()
    if text in ("&", ".") and command.after == "{":
        return Reach.ITSELF  # the block's own commands follow
    if not text or text[0] in "$'-!+@" or _NUMBER.match(text):
        return Reach.ITSELF
    words = text.split()
    if words[0] == "&":
        words = words[1:]
    return _reach_of_words(words) if words else Reach.ANYTHING


def _reach_of_words(words: list[str]) -> Reach:
    name, arguments = words[0].strip("'").lower(), [word.strip("'").lower() for word in words[1:]]
    if name in _LOCAL_CMDLETS:
        return Reach.ANYTHING if any(_is_outward(argument) for argument in arguments) else Reach.ITSELF
    for folder in _SYSTEM_FOLDERS:
        name = name.removeprefix(folder)
    name = name.removesuffix(".exe")
    return Reach.CHILD if name in _LOOKING and _only_looks(name, arguments) else Reach.ANYTHING


def _only_looks(name: str, arguments: list[str]) -> bool:
    if name in ("net", "net1"):
        return arguments[:1] in (["user"], ["localgroup"], ["accounts"]) and "/domain" not in arguments
    if name == "ipconfig":
        return set(arguments) <= {"/all", "/displaydns"}
    return "/s" not in arguments  # systeminfo and tasklist: of another machine


def _is_outward(argument: str) -> bool:
    if argument.startswith("@"):
        return len(argument) > 1  # splatted: whatever parameters the variable holds
    parameter = argument.removeprefix("-").partition(":")[0]
    return argument.startswith("-") and len(parameter) > 1 and (parameter == "cn" or any(each.startswith(parameter) for each in _OUTWARD))
