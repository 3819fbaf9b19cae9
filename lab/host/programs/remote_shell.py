"""winrs.exe: a command line on another host, over WinRM's remote shell."""

from __future__ import annotations

import re

from lab.host.programs.base import Run, Unmodelled, program
from lab.host.remote_client import ChainTooLong, NotThere, Way, failed, passage
from lab.machine import Credential, RemoteFault

_OPTION = re.compile(r"[-/]([A-Za-z]+)(?::(.*))?", re.DOTALL)
_SWITCHES = ("usessl", "ssl", "noecho", "noe", "noprofile", "nop")
_FAULTS = {"AccessDenied": 5, "LogonFailure": 1326}
"""Win32 codes that winrs.exe ends with; any other failure ends with WSMan's own: it cannot connect."""
_OTHER = 0x8033_8012 - (1 << 32)


class _Lines:
    """The remote command's streams as lines of this program's."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._open = ["", ""]

    def stdout(self, text: str) -> None:
        self._take(0, text)

    def stderr(self, text: str) -> None:
        self._take(1, text)

    def read_line(self) -> str | None:
        return self._run.stdin.read_line()

    def wait(self, seconds: float) -> None:
        self._run.world.io.wait(seconds)

    def flush(self) -> None:
        """What stands without an end of line."""
        for place, text in enumerate(self._open):
            if text:
                (self._run.write, self._run.complain)[place](text)
        self._open = ["", ""]

    def _take(self, place: int, text: str) -> None:
        *lines, self._open[place] = (self._open[place] + text).replace("\r\n", "\n").split("\n")
        (self._run.write, self._run.complain)[place](*lines)


@program("winrs.exe")
def winrs(run: Run) -> int:
    """-r[emote], -u[sername], -p[assword], -[use]ssl and a command; other options are not modelled. Raises `Unmodelled`."""
    given = list(run.arguments)
    options: dict[str, str] = {}
    while given and (found := _OPTION.fullmatch(given[0])) is not None:
        name, value = found[1].lower(), found[2] or ""
        long = next((word for word in ("remote", "username", "password") if word.startswith(name)), "")
        if not long and name not in _SWITCHES:
            raise Unmodelled(f"winrs.exe {given[0].partition(':')[0]}")
        options[long or name] = value
        given.pop(0)
    if not given:
        raise run.unmodelled() if not options else Unmodelled("winrs.exe without a command, which waits for input")
    credential = None
    if "username" in options:
        if "password" not in options:
            raise Unmodelled("winrs.exe that asks for a password")
        credential = Credential(user=options["username"], password=options["password"])
    computer = re.sub(r"^https?://|[:/].*$", "", options.get("remote", "localhost"))
    way = Way(credential=credential, secure="usessl" in options or "ssl" in options)
    lines = _Lines(run)
    try:
        asked = passage(run.host, run.process, computer, way)
        assert run.host.network is not None
        try:
            code = run.host.network.run_line(asked, " ".join(given), lines)
        except RemoteFault as fault:
            raise failed(computer, fault, asked) from None
    except ChainTooLong as error:
        raise Unmodelled(str(error)) from None
    except NotThere as fault:
        run.complain(f"Winrs error:{fault.text} ", "")
        return _FAULTS.get(fault.name, _OTHER)
    lines.flush()
    return code
