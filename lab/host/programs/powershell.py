"""powershell.exe as a program: its options, and how it writes errors for whoever reads them. The language is handed in."""

from __future__ import annotations

import base64
import binascii
import re
from xml.sax.saxutils import escape

from lab.host.files import FileFault, absolute
from lab.host.programs.base import Run, Unmodelled, program

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
    """-Command and -EncodedCommand, a bare command, and `-` for standard input; -File; a session of typed lines is not modelled."""
    given = list(run.arguments)
    text: str | None = None
    encoded = False
    as_text = False
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
            value = given.pop(0)
            as_text = as_text or (option == "outputformat" and value.lower() == "text")
        elif option == "encodedcommand":
            encoded = True
            text = _decoded(given.pop(0) if given else "")
            if text is None:
                run.complain("Cannot process the command because the value specified with -EncodedCommand is not properly encoded.")
                return 1
        elif option == "command":
            text = " ".join(given)
            given = []
        elif option == "file":
            text = _call_of(run, given)
            if text is None:
                return -196608
            given = []
        elif option or one[:1] in "-/":
            raise Unmodelled(f"powershell.exe {one}")
        else:
            text = " ".join([one, *given])
            given = []
    if text == "-":
        text = "\n".join(run.stdin.rest())
    if not text:
        raise Unmodelled("powershell.exe without a command, which waits for input")
    output, errors, code = run.world.powershell(run.world, run.process, text, run.stdin)
    run.write(*output)
    run.complain(*(_clixml(errors) if errors and encoded and not as_text and not _reads_clixml(run) else errors))
    return code


def _call_of(run: Run, given: list[str]) -> str | None:
    """The call of the script that -File names, with the arguments after it; None where there is no such file."""
    name = given[0] if given else ""
    try:
        full = absolute(name, run.world.directory)
        run.host.files.read(full)
    except FileFault:
        run.complain(
            f"The argument '{name}' to the -File parameter does not exist. Provide the path to an existing '.ps1' file as an argument to "
            "the -File parameter."
        )
        return None
    quoted = (one if re.fullmatch(r"-[A-Za-z]\w*", one) else "'" + one.replace("'", "''") + "'" for one in given[1:])
    return " ".join(["&", "'" + full.replace("'", "''") + "'", *quoted])


def _reads_clixml(run: Run) -> bool:
    """Whether the parent is a PowerShell, which turns the objects on its child's error stream back into errors by itself."""
    parent = run.process.parent
    return parent is not None and parent.image.original_name.lower() in ("powershell.exe", "wsmprovhost.exe")


def _clixml(errors: list[str]) -> list[str]:
    """Lines of errors as powershell.exe writes them to a redirected stream after -EncodedCommand [MS-PSRP 2.2.5]."""
    objects = "".join(f'<S S="Error">{_escaped(line)}_x000D__x000A_</S>' for line in errors)
    return ["#< CLIXML", f'<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">{objects}</Objs>']


def _escaped(text: str) -> str:
    # Units of UTF-16 that XML has no place for, and what would read as such an escape [MS-PSRP 2.2.5.3.2].
    text = re.sub(r"_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", text)
    return escape(re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", lambda found: f"_x{ord(found[0]):04X}_", text))


def _decoded(text: str) -> str | None:
    try:
        raw = base64.b64decode(text, validate=True)
        return raw.decode("utf-16-le") if raw else None
    except (binascii.Error, ValueError, UnicodeDecodeError):
        return None
