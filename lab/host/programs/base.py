"""How a native program is declared, found on the emulated disk, started as a process and given its arguments.

A program is found by its file's `Image.original_name`, so that a copy under another name behaves and looks the same. It knows the host
and the process it runs in, nothing of PowerShell: what runs PowerShell is handed in.
"""

from __future__ import annotations

import ntpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from lab.host.files import File, FileFault, absolute
from lab.host.happenings import Process
from lab.host.model import KILLED, Host

MAX_DEPTH = 12
"""Programs that start programs: a bound against a received chain without end."""
MAX_STARTED = 1_000
"""Programs that one program starts, itself or by what it started: lines that unfold into lines would never end."""
MAX_LINES = 200_000
MAX_INPUT = 16_000_000
"""Characters of standard input that one program reads."""


class Unmodelled(Exception):
    """A program, or a use of one, that Windows has and this host has not. `what` names it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a program left: its lines on standard output and error, and its exit code."""

    output: list[str]
    errors: list[str]
    exit_code: int
    process: Process


class Patience(Protocol):
    """The client as far as a program needs it: who waits, and may have had enough."""

    def wait(self, seconds: float) -> None:
        """Let time pass on the machine. Raises `lab.machine.PipelineStopped`."""


class Console(Protocol):
    """Where lines go at once instead of when their program has ended."""

    def show(self, output: Sequence[str], errors: Sequence[str]) -> None:
        """Lines of standard output and standard error."""


class Input:
    """Standard input: lines that are asked for when they are wanted, shared by all that a program starts."""

    def __init__(self, read_line: Callable[[], str | None]) -> None:
        self._read_line = read_line
        self._left = MAX_INPUT

    @classmethod
    def of(cls, lines: Sequence[str]) -> Input:
        """Lines that are there already."""
        given = iter(lines)
        return cls(lambda: next(given, None))

    def read_line(self) -> str | None:
        """The next line, None after the last. May wait for the client."""
        line = self._read_line()
        if line is not None:
            self._left -= len(line) + 1
            if self._left < 0:
                raise Unmodelled(f"a program that reads more than {MAX_INPUT} characters")
        return line

    def rest(self) -> list[str]:
        """All lines that are still to come."""
        return list(iter(self.read_line, None))


class PowerShell(Protocol):
    """What runs a script in the process of a powershell.exe."""

    def __call__(self, world: World, process: Process, text: str, stdin: Input) -> tuple[list[str], list[str], int]:
        """The lines of output, the lines of errors and the exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a program is started in: the host, the client's patience, the environment, the directory, the depth.

    `started` counts the programs of all that was started from here.
    """

    host: Host
    io: Patience
    powershell: PowerShell
    environment: Mapping[str, str]
    directory: str
    depth: int = 0
    started: Iterator[int] = field(default_factory=count)


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a program, as the program sees it."""

    world: World
    process: Process
    arguments: list[str]
    stdin: Input
    console: Console | None = None
    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def host(self) -> Host:
        """The machine."""
        return self.world.host

    @property
    def tail(self) -> str:
        """The command line after the program's own name, as it was written."""
        return after_program(self.process.command_line)

    def write(self, *lines: str) -> None:
        """Lines on standard output."""
        self.output += lines
        if len(self.output) > MAX_LINES:
            raise Unmodelled(f"a program with more than {MAX_LINES} lines of output")

    def complain(self, *lines: str) -> None:
        """Lines on standard error."""
        self.errors += lines

    def flush(self) -> None:
        """Show what was written so far, where somebody watches."""
        if self.console is not None:
            self.console.show(self.output, self.errors)
            self.output, self.errors = [], []

    def start(self, path: str, command_line: str, *, stdin: Input | None = None, console: Console | None = None) -> Outcome:
        """Run a child program to its end, in this program's logon, environment and directory."""
        return launch(self.world, self.process, path, command_line, stdin=stdin, console=console)

    def unmodelled(self) -> Unmodelled:
        """This use of the program is not emulated."""
        return Unmodelled(f"{ntpath.basename(self.process.path)} {' '.join(self.arguments)}".strip())


Program = Callable[[Run], int]
PROGRAMS: dict[str, Program] = {}
"""Programs by original file name in lower case. Filled by the modules beside this one."""


def program(original_name: str) -> Callable[[Program], Program]:
    """Register what the executable with this original file name does. It returns the exit code."""

    def register(body: Program) -> Program:
        PROGRAMS[original_name.lower()] = body
        return body

    return register


def launch(
    world: World, parent: Process, path: str, command_line: str, *, stdin: Input | None = None, console: Console | None = None
) -> Outcome:
    """Start the program at an absolute path as a child process and run it to its end.

    Without `stdin` there is nothing to read. A `console` is shown what a shell's commands write while it still runs, and the rest is in
    the outcome.

    Raises `Unmodelled` before anything starts where nothing is known of the program, `FileFault`, `NotExecutable` and `ProcessLimit` as
    `Host.start_process` does.
    """
    image = world.host.executable(path)
    body = PROGRAMS.get(image.original_name.lower())
    if body is None:
        raise Unmodelled(f"the program {image.original_name}")
    if world.depth >= MAX_DEPTH:
        raise Unmodelled(f"a chain of more than {MAX_DEPTH} programs")
    if next(world.started) >= MAX_STARTED:
        raise Unmodelled(f"more than {MAX_STARTED} programs that one has started")
    world.io.wait(0)
    process = world.host.start_process(parent=parent, path=path, command_line=command_line, logon=parent.logon, directory=world.directory)
    inner = World(
        host=world.host,
        io=world.io,
        powershell=world.powershell,
        environment=world.environment,
        directory=world.directory,
        depth=world.depth + 1,
        started=world.started,
    )
    run = Run(
        world=inner,
        process=process,
        arguments=split_arguments(after_program(command_line)),
        stdin=stdin if stdin is not None else Input.of(()),
        console=console,
    )
    code = KILLED
    try:
        with world.host.acting(process):
            code = body(run)
    finally:
        world.host.end_process(process, code)
    return Outcome(output=run.output, errors=run.errors, exit_code=code, process=process)


def find_program(host: Host, environment: Mapping[str, str], directory: str, name: str, *, here: bool) -> str | None:
    """The full path of the program that a name means: as a path, or in PATH with the endings of PATHEXT; `here` first where cmd asks.

    The spelling is the one that Windows shows: the PATH entry's and the file's own.
    """
    endings = ["", *(one for one in _variable(environment, "PATHEXT").split(";") if one)]
    if not ntpath.splitext(name)[1]:
        endings = endings[1:]
    if "\\" in name or "/" in name or re.match(r"^[A-Za-z]:", name):
        places = [(directory, name)]
    else:
        places = [(directory, name)] if here else []
        places += [(place, name) for place in _variable(environment, "Path").split(";") if place]
    for place, wanted in places:
        for ending in endings:
            try:
                full = absolute(wanted + ending, place)
                if isinstance(host.files.find(full), File):
                    actual = host.files.actual(full)
                    return ntpath.join(ntpath.dirname(full), ntpath.basename(actual))
            except FileFault:
                continue
    return None


def _variable(environment: Mapping[str, str], name: str) -> str:
    low = name.lower()
    return next((value for key, value in environment.items() if key.lower() == low), "")


def after_program(command_line: str) -> str:
    """A command line without its first token."""
    text = command_line.lstrip()
    if text.startswith('"'):
        end = text.find('"', 1)
        return text[end + 1 :].lstrip() if end >= 0 else ""
    head = re.match(r"\S*\s*", text)
    return text[head.end() :] if head else ""


def split_arguments(text: str) -> list[str]:
    """Arguments as the C runtime splits a command line: blanks, quotes, and backslashes before quotes."""
    found: list[str] = []
    current: list[str] = []
    quoted = started = False
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            run = len(text) - at - len(text[at:].lstrip("\\"))
            at += run
            if at < len(text) and text[at] == '"':
                current.append("\\" * (run // 2))
                if run % 2:
                    current.append('"')
                    at += 1
            else:
                current.append("\\" * run)
            started = True
            continue
        if char == '"':
            quoted = not quoted
            started = True
        elif char in " \t" and not quoted:
            if started:
                found.append("".join(current))
                current, started = [], False
        else:
            current.append(char)
            started = True
        at += 1
    if started:
        found.append("".join(current))
    return found


def quote_argument(text: str) -> str:
    """An argument as Windows PowerShell 5.1 puts it into a command line: in quotes where it has a blank, inner quotes left alone."""
    if re.search(r"\s", text) and not (text.startswith('"') and text.endswith('"') and len(text) > 1):
        return f'"{text}\\"' if text.endswith("\\") and not text.endswith("\\\\") else f'"{text}"'
    return text


def command_line(path: str, arguments: Sequence[str]) -> str:
    """The command line that Windows PowerShell 5.1 builds: the full path in quotes, then the arguments as `quote_argument` made them.

    Empty arguments vanish.
    """
    return " ".join([f'"{path}"', *(one for one in arguments if one)])
