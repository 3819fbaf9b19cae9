"""cmd.exe and powershell.exe: programs that run other programs, each a child process of the shell.

cmd.exe understands `/c` with echo, dir, set, ver, cd, exit, programs, `&`, `&&`, `||` and quotes. What else it can do is refused by name.
"""

from __future__ import annotations

import base64
import binascii
import ntpath
import re

from lab.host.files import Directory, File, FileFault, absolute
from lab.host.model import NotExecutable
from lab.host.programs.base import Run, Unmodelled, find_program, program, split_arguments

MAX_COMMANDS = 200
_BUILT_IN = """
assoc break call cd chdir cls color copy date del dir echo endlocal erase exit for ftype goto if md mkdir mklink move path pause popd
prompt pushd rd rem ren rename rmdir set setlocal shift start time title type ver verify vol
"""
_BUILT_INS = frozenset(_BUILT_IN.split())


@program("Cmd.Exe")
def cmd(run: Run) -> int:
    """/c COMMAND, also /d, /q and /s before it."""
    tail = run.tail
    found = re.match(r"(?i)\s*((?:/[dqs]\s+)*)/([ck])\s*(.*)$", tail, re.DOTALL)
    if found is None:
        raise Unmodelled(f"cmd.exe without /c: {tail[:120]}")
    if found[2].lower() == "k":
        raise Unmodelled("cmd.exe /k, which waits for input")
    return _line(run, _unquoted(found[3].strip()), {})


def _unquoted(text: str) -> str:
    """Without the outer quotes, as cmd strips them: where the line begins with a quote and is not just one quoted program."""
    if not text.startswith('"') or '"' not in text[1:]:
        return text
    inner, _, rest = text[1:].rpartition('"')
    if text.count('"') == 2 and not re.search(r"[&<>()@^|]", inner) and " " in inner and ntpath.splitext(inner)[1] and not rest:
        return text
    return inner + rest


def _split(line: str) -> list[tuple[str, str]]:
    """A line as (operator before, command): the operators `&`, `&&` and `||` outside quotes."""
    parts: list[tuple[str, str]] = []
    operator, current, quoted = "", [], False
    at = 0
    while at < len(line):
        char = line[at]
        if char == '"':
            quoted = not quoted
        if char == "^" and not quoted and at + 1 < len(line):
            current.append(line[at + 1])
            at += 2
            continue
        if not quoted and char in "&|":
            double = line[at : at + 2] in ("&&", "||")
            if char == "|" and not double:
                raise Unmodelled("a pipe in cmd.exe")
            parts.append((operator, "".join(current)))
            operator, current = (char * 2 if double else char), []
            at += 2 if double else 1
            continue
        if not quoted and char in "<>":
            raise Unmodelled("a redirection in cmd.exe")
        if not quoted and char in "()" and not "".join(current).strip():
            raise Unmodelled("a group in cmd.exe")
        current.append(char)
        at += 1
    parts.append((operator, "".join(current)))
    return parts


class _Left(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _line(run: Run, line: str, own: dict[str, str]) -> int:
    code = 0
    parts = _split(line)
    if len(parts) > MAX_COMMANDS:
        raise Unmodelled(f"more than {MAX_COMMANDS} commands in one line of cmd.exe")
    try:
        for operator, text in parts:
            if (operator == "&&" and code != 0) or (operator == "||" and code == 0):
                continue
            code = _command(run, _expanded(run, text.lstrip().removeprefix("@"), own), own, code)
    except _Left as left:
        return left.code
    return code


def _expanded(run: Run, text: str, own: dict[str, str]) -> str:
    values = {name.lower(): value for name, value in {**run.world.environment, **own, "CD": run.world.directory}.items()}
    return re.sub(r"%([^%\s]{1,255})%", lambda found: values.get(found[1].lower(), found[0]), text)


def _command(run: Run, text: str, own: dict[str, str], code: int) -> int:
    if not text.strip():
        return code
    head = re.match(r'"[^"]*"|[^\s/,;=(]+|\S+', text)
    name = head[0] if head else text
    rest = text[len(name) :]
    low = name.lower().rstrip(".") if name.lower().startswith("echo") else name.lower()
    match low:
        case "echo":
            said = rest[1:] if rest[:1] in " .,;:" else rest
            run.write("ECHO is on." if not rest.strip() else said)
            return 0
        case "rem":
            return 0
        case "exit":
            given = re.fullmatch(r"\s*(?:/b\s*)?(-?\d{1,10})?\s*", rest, re.IGNORECASE)
            if given is None:
                raise Unmodelled(f"cmd.exe: {text[:120]}")
            raise _Left(int(given[1]) if given[1] else code)
        case "ver":
            run.write("", f"Microsoft Windows [Version {run.host.system_info()['Version']}.3803]")
            return 0
        case "set":
            return _set(run, rest.lstrip(), own)
        case "cd" | "chdir" if not rest.strip():
            run.write(run.world.directory)
            return 0
        case "dir":
            return _dir(run, rest.strip())
        case "type":
            return _type(run, rest.strip())
        case _ if low in _BUILT_INS:
            raise Unmodelled(f"the command {low} of cmd.exe")
    return _external(run, name.strip('"'), text.rstrip())


def _set(run: Run, rest: str, own: dict[str, str]) -> int:
    held = {**run.world.environment, **own}
    if "=" in rest and not rest.lower().startswith(("/a", "/p")):
        name, _, value = rest.strip('"').partition("=")
        own[name] = value
        return 0
    if rest.startswith("/"):
        raise Unmodelled(f"set {rest[:20]} of cmd.exe")
    rest = rest.rstrip()
    shown = {name: value for name, value in held.items() if name.lower().startswith(rest.lower())}
    if not shown:
        run.complain(f"Environment variable {rest} not defined")
        return 1
    run.write(*(f"{name}={shown[name]}" for name in sorted(shown, key=str.lower)))
    return 0


def _dir(run: Run, rest: str) -> int:
    given = split_arguments(rest)
    flags = [one.lower() for one in given if one.startswith("/")]
    paths = [one for one in given if not one.startswith("/")]
    if set(flags) - {"/b", "/a"} or len(paths) > 1 or any(char in path for path in paths for char in "*?"):
        raise Unmodelled(f"dir {rest[:120]} of cmd.exe")
    files = run.host.files
    try:
        full = absolute(paths[0] if paths else ".", run.world.directory)
        node = files.get(full)
        children = files.children(full) if isinstance(node, Directory) else [node]
    except FileFault:
        run.complain("File Not Found")
        return 1
    if "/b" in flags:
        run.write(*(child.name for child in children))
        return 0
    shown = full if isinstance(node, Directory) else ntpath.dirname(full)
    run.write(" Volume in drive C has no label.", " Volume Serial Number is 5AC1-7B0E", "", f" Directory of {shown}", "")
    size = 0
    for child in sorted(children, key=lambda one: one.name.lower()):
        moment = child.modified
        clock = f"{(moment.hour + 11) % 12 + 1:02d}:{moment.minute:02d} {'AM' if moment.hour < 12 else 'PM'}"
        length = "<DIR>         " if isinstance(child, Directory) else f"{len(child.content):>14,}"
        size += len(child.content) if isinstance(child, File) else 0
        run.write(f"{moment:%m/%d/%Y}  {clock}    {length} {child.name}")
    count = sum(isinstance(child, File) for child in children)
    run.write(f"{count:>16} File(s) {size:>14,} bytes", f"{len(children) - count:>16} Dir(s)  34,359,738,368 bytes free")
    return 0


def _type(run: Run, rest: str) -> int:
    given = split_arguments(rest)
    if len(given) != 1:
        raise Unmodelled(f"type {rest[:120]} of cmd.exe")
    try:
        file = run.host.files.read(absolute(given[0], run.world.directory))
    except FileFault:
        run.complain("The system cannot find the file specified.")
        return 1
    if file.image is not None:
        raise Unmodelled(f"the content of the program {file.name}")
    run.write(*file.content.decode("utf-8", "replace").splitlines())
    return 0


def _external(run: Run, name: str, text: str) -> int:
    path = find_program(run.host, run.world.environment, run.world.directory, name, here=True)
    if path is None:
        run.complain(f"'{name}' is not recognized as an internal or external command,", "operable program or batch file.")
        return 1
    try:
        # cmd.exe gives its child the line as it was typed, with the name as it was typed.
        outcome = run.start(path, text, stdin=run.stdin)
    except NotExecutable:
        run.complain("This version of the file is not compatible with the version of Windows you're running.")
        return 1
    run.write(*outcome.output)
    run.complain(*outcome.errors)
    return outcome.exit_code


# --- powershell.exe -------------------------------------------------------------------------------------------------------

_SWITCHES = ("noprofile", "noninteractive", "nologo", "sta", "mta", "noexit")
_VALUES = ("executionpolicy", "windowstyle", "inputformat", "outputformat", "version")


def _option(given: str) -> str:
    """The option that a beginning of its name means, as powershell.exe takes them."""
    low = given.lstrip("-/").lower()
    if low in ("ec", "e", "en", "enc"):
        return "encodedcommand"
    if low in ("ex", "ep", "exec"):
        return "executionpolicy"
    if low in ("nop", "noni", "nol", "noe", "w", "c"):
        return {"nop": "noprofile", "noni": "noninteractive", "nol": "nologo", "noe": "noexit", "w": "windowstyle", "c": "command"}[low]
    known = (*_SWITCHES, *_VALUES, "command", "encodedcommand", "file")
    return next((name for name in known if low and name.startswith(low)), "")


@program("PowerShell.EXE")
def powershell(run: Run) -> int:
    """-Command and -EncodedCommand, and a bare command; -File and reading from standard input are not modelled."""
    given = list(run.arguments)
    text: str | None = None
    while given and text is None:
        one = given.pop(0)
        option = _option(one) if one[:1] in "-/" else ""
        if option == "noexit":
            raise Unmodelled("powershell.exe -NoExit, which waits for input")
        if option in _SWITCHES:
            continue
        if option in _VALUES:
            if not given:
                run.complain(f"Cannot process the command because of a missing parameter. A value must follow -{option}.")
                return 1
            given.pop(0)
        elif option == "encodedcommand":
            text = _decoded(given.pop(0) if given else "")
            if text is None:
                run.complain("Cannot process the command because the value specified with -EncodedCommand is not properly encoded.")
                return 1
        elif option == "command":
            text = " ".join(given)
            given = []
        elif option or one[:1] in "-/":
            raise Unmodelled(f"powershell.exe {one}")
        else:
            text = " ".join([one, *given])
            given = []
    if not text or text == "-":
        raise Unmodelled("powershell.exe without a command, which waits for input")
    output, errors, code = run.world.powershell(run.world, run.process, text, run.stdin)
    run.write(*output)
    run.complain(*errors)
    return code


def _decoded(text: str) -> str | None:
    try:
        raw = base64.b64decode(text, validate=True)
        return raw.decode("utf-16-le") if raw else None
    except (binascii.Error, ValueError, UnicodeDecodeError):
        return None
