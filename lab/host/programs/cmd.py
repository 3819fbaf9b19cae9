"""cmd.exe: it runs a line, a batch file, or the lines of its standard input. Programs are its children, and so is the cmd.exe of a
built-in in a pipe.

The line's grammar is `cmd_line`'s, that of statements `cmd_blocks`'. Built-in commands that are not here are refused by name.
"""

from __future__ import annotations

import fnmatch
import ntpath
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from lab.host.files import Directory, DirectoryNotEmpty, File, FileFault, PathExists, absolute
from lab.host.model import NotExecutable
from lab.host.programs import cmd_blocks as blocks
from lab.host.programs.base import Input, Run, Unmodelled, find_program, program, split_arguments
from lab.host.programs.cmd_line import MAX_LINE, Chain, Group, LineFault, Node, Redirection, Simple, Statement, expanded, parse

MAX_COMMANDS = 200
MAX_BATCH_COMMANDS = 5_000
MAX_BATCHES = 8
_BUILT_IN = """
assoc break call cd chdir cls color copy date del dir echo endlocal erase exit for ftype goto if md mkdir mklink move path pause popd
prompt pushd rd rem ren rename rmdir set setlocal shift start time title type ver verify vol
"""
_BUILT_INS: Final = frozenset(_BUILT_IN.split())
_NOT_RECOGNIZED: Final = 9009
_CMD: Final = "C:\\Windows\\system32\\cmd.exe"


@program("Cmd.Exe")
def cmd(run: Run) -> int:
    """/c COMMAND and /k COMMAND, also /d, /q and /s before it; without them the lines of standard input."""
    found = re.match(r"(?i)\s*((?:/(?:[dqsau]|[ef]:on|[ef]:off|v:on|v:off)\s*)*)(?:/([ckr])(.*))?$", run.tail, re.DOTALL)
    if found is None:
        raise Unmodelled(f"cmd.exe {run.tail[:120]}")
    shell = _Shell(run, quiet="/q" in found[1].lower())
    shell.delayed = "/v:on" in found[1].lower() or "/v " in found[1].lower()
    given = (found[2] or "").lower()
    line = _unquoted(run, (found[3] or "").strip())
    try:
        if given in ("c", "r"):
            code = shell.line(line)
            # What cmd.exe calls 9009 inside is 1 to whoever waits for it.
            return 1 if code == _NOT_RECOGNIZED else code
        if not given:
            run.write(_version(run), "(c) Microsoft Corporation. All rights reserved.", "")
        elif line:
            shell.line(line)
        return shell.session()
    except _Left as left:
        return left.code


def _unquoted(run: Run, text: str) -> str:
    """Without the outer quotes, as cmd strips them: where the line begins with one, unless it is just one quoted program that exists."""
    if not text.startswith('"') or '"' not in text[1:]:
        return text
    inner, _, rest = text[1:].rpartition('"')
    one_name = text.count('"') == 2 and not rest and " " in inner and not re.search(r"[&<>()@^|]", inner)
    if one_name and find_program(run.host, run.world.environment, run.world.directory, inner, here=True) is not None:
        return text
    return inner + rest


def _version(run: Run) -> str:
    return f"Microsoft Windows [Version {run.host.system_info()['Version']}.3803]"


class _Left(Exception):
    """`exit`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Jump(Exception):
    """`goto`, or `call` of a label."""

    def __init__(self, label: str, *, calls: bool, arguments: tuple[str, ...]) -> None:
        super().__init__(label)
        self.label = label
        self.calls = calls
        self.arguments = arguments


def _words(text: str) -> list[str]:
    """The arguments of a batch file: quotes stay."""
    return re.findall(r'"[^"]*"|[^\s,;=]+', text)


class _Shell:
    """One cmd.exe: its directory, its variables, the last exit code, and where its handles lead at the moment."""

    def __init__(self, run: Run, *, quiet: bool) -> None:
        self.run = run
        self.environment = dict(run.world.environment)
        self.code = 0
        self._quiet = quiet
        self._commands = 0
        self._batch: list[str] = []
        self._batches = 0
        self._labels: dict[str, int] = {}
        self._silent = False
        self.delayed = False
        self.places: list[str] = []
        self.saved: list[tuple[dict[str, str], str, bool]] = []
        run.world = replace(run.world, environment=self.environment)

    @property
    def directory(self) -> str:
        """Where it is."""
        return self.run.world.directory

    def change_directory(self, directory: str) -> None:
        """Be somewhere else; what it starts from now on is there, too."""
        self.run.world = replace(self.run.world, directory=directory)

    def variable(self, name: str) -> str | None:
        """The value of a variable, whatever the case of its name; some are made when they are asked for."""
        low = name.lower()
        held = next((value for key, value in self.environment.items() if key.lower() == low), None)
        if held is not None:
            return held
        now = self.run.host.now()
        match low:
            case "cd":
                return self.directory
            case "errorlevel":
                return str(self.code)
            case "date":
                return f"{now:%a %m/%d/%Y}"
            case "time":
                return f"{now.hour:2d}:{now:%M:%S}.{now.microsecond // 10_000:02d}"
            case "random":
                return str(self.run.host.random.randrange(32768))
            case "cmdcmdline":
                return self.run.process.command_line
        return None

    # --- lines --------------------------------------------------------------------------------------------------------------

    def line(self, text: str) -> int:
        """Run a line; its exit code. Raises `_Left` where it says exit."""
        try:
            if len(text) > MAX_LINE:
                raise LineFault("The command line is too long.")
            line = self._positional(text) if self._batch else text
            node = parse(expanded(line, self.variable).replace("\x00", "%"))
        except LineFault as fault:
            self.run.complain(fault.text)
            self.code = 1
            return 1
        if not self._batch:
            self._commands = 0
        if node is not None:
            self.code = self._node(node)
        self.run.flush()
        return self.code

    def session(self) -> int:
        """Run the lines of standard input with a prompt before each, as cmd.exe does where it is no console either."""
        while (line := self.run.stdin.read_line()) is not None:
            if not self._quiet:
                self.run.write(f"{self.directory}>{line}")
            self.line(line)
            if not self._quiet:
                self.run.write("")
            self.run.flush()
        if not self._quiet:
            self.run.write(f"{self.directory}>")
        return self.code

    def _node(self, node: Node) -> int:
        match node:
            case Simple():
                return self._redirected(node.redirections, lambda: self._command(node.text))
            case Group():
                return self._redirected(node.redirections, lambda: self._node(node.body))
            case Statement():
                return self._statement(node.text)
            case Chain(operator="|"):
                return self._pipe(node.parts)
        code = 0
        for part in node.parts:
            code = self.code = self._node(part)
            if (node.operator == "||" and code == 0) or (node.operator == "&&" and code != 0):
                break
        return code

    def _pipe(self, parts: tuple[Node, ...]) -> int:
        run = self.run
        before = run.stdin
        code = 0
        try:
            for position, part in enumerate(parts):
                output, console = run.output, run.console
                last = position == len(parts) - 1
                if not last:
                    run.output, run.console = [], None
                try:
                    code = self._node(part) if isinstance(part, Simple) and not part.text else self._piped(part)
                finally:
                    if not last:
                        run.stdin = Input.of(run.output)
                        run.output, run.console = output, console
        finally:
            run.stdin = before
        return code

    def _piped(self, part: Node) -> int:
        """A side of a pipe. A program is started as it is; for anything else cmd.exe starts another cmd.exe."""
        if isinstance(part, Simple) and _name_of(part.text).lower() not in _BUILT_INS:
            return self._node(part)
        text = _written(part).strip()
        redirections = part.redirections if isinstance(part, Simple) else ()
        return self._redirected(redirections, lambda: self._external(_CMD, f'{_CMD}  /S /D /c" {text} "'))

    # --- statements ---------------------------------------------------------------------------------------------------------

    def _statement(self, text: str) -> int:
        self._count()
        try:
            if text.lower().startswith("if"):
                return self._if(blocks.parse_if(text))
            return self._for(blocks.parse_for(text))
        except LineFault as fault:
            self.run.complain(fault.text)
            return 1

    def _block(self, text: str) -> int:
        """The line that a statement holds, read now."""
        node = parse(text)
        return self._node(node) if node is not None else self.code

    def _if(self, statement: blocks.If) -> int:
        left, right = statement.left, statement.right
        match statement.kind:
            case "exist":
                holds = self._exists(left.strip('"'))
            case "errorlevel":
                holds = left.lstrip("-").isdigit() and self.code >= int(left)
            case "defined":
                holds = self.variable(left) is not None
            case "cmdextversion":
                holds = left.isdigit() and int(left) <= 2
            case "==":
                holds = left.lower() == right.lower() if statement.fold else left == right
            case word:
                numbers = left.lstrip("-").isdigit() and right.lstrip("-").isdigit()
                one, two = (left.lower(), right.lower()) if statement.fold else (left, right)
                sign = (int(left) > int(right)) - (int(left) < int(right)) if numbers else (one > two) - (one < two)
                holds = {"equ": sign == 0, "neq": sign != 0, "lss": sign < 0, "leq": sign <= 0, "gtr": sign > 0, "geq": sign >= 0}[word]
        if holds != statement.negated:
            return self._block(statement.then)
        return self._block(statement.otherwise) if statement.otherwise else self.code

    def _exists(self, path: str) -> bool:
        try:
            if "*" in path or "?" in path:
                return bool(self.matching(path))
            return self.run.host.files.find(absolute(path.rstrip("\\"), self.directory)) is not None
        except FileFault:
            return False

    def matching(self, pattern: str) -> list[str]:
        """The full paths in one directory that a pattern means. Raises `FileFault`."""
        head, name = ntpath.split(ntpath.join(self.directory, pattern.replace("/", "\\")))
        base = absolute(head, self.directory)
        found = self.run.host.files.children(base)
        return [ntpath.join(base, one.name) for one in found if fnmatch.fnmatchcase(one.name.lower(), name.lower())]

    def _for(self, statement: blocks.For) -> int:
        code = self.code
        for values in self._rounds(statement):
            self._count()
            code = self.code = self._block(blocks.substituted(statement.body, values))
        return code

    def _rounds(self, statement: blocks.For) -> Iterator[dict[str, str]]:
        """What the variables of a `for` are in each of its rounds. Raises `LineFault`."""
        name, within = statement.variable, statement.within
        match statement.kind:
            case "l":
                numbers = [int(one) for one in re.split(r"[,\s]+", within) if re.fullmatch(r"-?\d{1,9}", one)]
                if len(numbers) != 3:
                    raise LineFault("The syntax of the command is incorrect.")
                start, step, end = numbers
                while step != 0 and (start <= end if step > 0 else start >= end):
                    yield {name: str(start)}
                    start += step
                if step == 0:
                    raise Unmodelled("a for /l without end")
            case "f":
                yield from self._fields(statement)
            case "r":
                base = absolute(statement.place or ".", self.directory)
                for path, node in self.run.host.files.walk(base):
                    if isinstance(node, File) and any(fnmatch.fnmatchcase(node.name.lower(), one.lower()) for one in within.split()):
                        yield {name: path}
            case kind:
                for word in split_arguments(within.replace(",", " ").replace(";", " ")):
                    if "*" not in word and "?" not in word:
                        yield {name: word}
                        continue
                    folder = ntpath.dirname(word)
                    for path in self.matching(word):
                        if isinstance(self.run.host.files.get(path), Directory) == (kind == "d"):
                            yield {name: ntpath.join(folder, ntpath.basename(path))}

    def _fields(self, statement: blocks.For) -> Iterator[dict[str, str]]:
        how, within = blocks.fields_of(statement.options), statement.within
        quote = within[:1]
        if quote == ("`" if how.use_back else "'"):
            lines = self._lines_from(within[1:-1])
        elif quote == ("'" if how.use_back else '"'):
            lines = [within[1:-1]]
        else:
            lines = self._lines_of(within.strip('"'))
        for line in lines[how.skip :]:
            words = blocks.split_fields(line, how)
            if words is not None:
                yield {chr(ord(statement.variable) + place): word for place, word in enumerate(words)}

    def _lines_from(self, command: str) -> list[str]:
        """The output of a command, which another cmd.exe runs."""
        outcome = self.run.start(_CMD, f"{_CMD} /c {command.replace('^|', '|').replace('^&', '&')}")
        self.run.complain(*outcome.errors)
        return outcome.output

    # --- batch files --------------------------------------------------------------------------------------------------------

    def batch(self, path: str, arguments: list[str]) -> int:
        """Run a batch file in this shell. Raises `_Left` where it says exit without /b."""
        self._batches += 1
        if self._batches > MAX_BATCHES:
            raise Unmodelled(f"more than {MAX_BATCHES} batch files within each other")
        before = self._batch
        try:
            lines = blocks.logical_lines(self.run.host.files.read(path).content.decode("utf-8", "replace"))
            self._batch = [path, *arguments]
            return self._batch_lines(lines)
        finally:
            self._batch = before
            self._batches -= 1

    def _batch_lines(self, lines: list[str], at: int = 0) -> int:
        labels = {line.strip()[1:].split()[0].lower(): place for place, line in enumerate(lines) if re.match(r"\s*:[^:\s]", line)}
        self._labels = labels
        while at < len(lines):
            line = lines[at].strip()
            at += 1
            self._count()
            if not line or line.startswith(":"):
                continue
            if not self._quiet and not self._silent and not line.startswith("@"):
                self.run.write("", f"{self.directory}>{line}")
            try:
                self._labels = labels
                self.line(line)
            except _Jump as jump:
                if jump.label == "eof":
                    return self.code
                if jump.label not in labels:
                    self.run.complain(f"The system cannot find the batch label specified - {jump.label}")
                    return 1
                if jump.calls:
                    held, self._batch = self._batch, [self._batch[0], *jump.arguments]
                    self.code = self._batch_lines(lines, labels[jump.label] + 1)
                    self._batch = held
                else:
                    at = labels[jump.label] + 1
        return self.code

    @property
    def in_batch(self) -> bool:
        """Whether a batch file is running."""
        return bool(self._batch)

    def jump(self, label: str, *, calls: bool = False, arguments: tuple[str, ...] = ()) -> None:
        """Go on at a label of the batch file. Raises `_Jump`; nothing outside of a batch file."""
        if self._batch:
            raise _Jump(label.lstrip(":").lower(), calls=calls, arguments=arguments)

    def set_echo(self, on: bool) -> None:
        """Whether a batch file shows its lines."""
        self._silent = not on

    def shift(self) -> None:
        """Move the batch file's arguments by one."""
        del self._batch[1:2]

    def _positional(self, line: str) -> str:
        """`%1`, `%~dp0`, `%*` of a batch file; `%%` is one sign."""
        given = self._batch

        def one(found: re.Match[str]) -> str:
            if found[0] == "%%":
                return "\x00"
            if found[0] == "%*":
                return " ".join(given[1:])
            at = int(found[2])
            value = given[at] if at < len(given) else ""
            return value if found[1] is None else blocks.modified(value, found[1])

        return re.sub(r"%%|%\*|%(?:~([a-z]*))?(\d)", one, line)

    def _count(self) -> None:
        self._commands += 1
        self.run.world.io.wait(0)
        if self._commands > (MAX_BATCH_COMMANDS if self._batch else MAX_COMMANDS):
            raise Unmodelled(f"more than {MAX_COMMANDS} commands in one line of cmd.exe")

    # --- handles ------------------------------------------------------------------------------------------------------------

    def _redirected(self, redirections: tuple[Redirection, ...], body: Callable[[], int]) -> int:
        """Run something with its handles led elsewhere: what goes to files is written when it has ended."""
        if not redirections:
            return body()
        run = self.run
        before = (run.output, run.errors, run.console, run.stdin)
        # Nothing is shown as it comes while handles lead elsewhere: the order between them would be lost.
        run.output, run.errors, run.console = [], [], None
        places: dict[int, object] = {1: before[0], 2: before[1]}
        try:
            for one in redirections:
                if one.to_handle:
                    places[one.handle] = places.get(int(one.target), [])
                elif one.reads:
                    run.stdin = Input.of(self._lines_of(one.target))
                else:
                    places[one.handle] = self._file(one)
            code = body()
            wrote = {1: run.output, 2: run.errors}
        except FileFault:
            run.output, run.errors, run.console, run.stdin = before
            run.complain("The system cannot find the path specified.")
            return 1
        except _Left:
            wrote = {1: run.output, 2: run.errors}
            run.output, run.errors, run.console, run.stdin = before
            self._deliver(places, wrote)
            raise
        run.output, run.errors, run.console, run.stdin = before
        self._deliver(places, wrote)
        return code

    def _deliver(self, places: dict[int, object], wrote: dict[int, list[str]]) -> None:
        for handle, lines in wrote.items():
            match places[handle]:
                case list() as there:
                    there += lines
                case str() as path:
                    content = self.run.host.files.read(path).content
                    self.run.host.files.write(path, content + "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace"))
                case _:
                    pass  # NUL

    def _file(self, one: Redirection) -> str | None:
        """The file that a redirection writes to, there from now on; None for NUL. Raises `FileFault`."""
        if one.target.lower() in ("nul", "nul:"):
            return None
        files = self.run.host.files
        path = absolute(one.target, self.directory)
        held = files.find(path)
        if not one.appends or held is None:
            files.write(path, b"")
        elif isinstance(held, Directory):
            files.read(path)
        return path

    def _lines_of(self, target: str) -> list[str]:
        if target.lower() in ("nul", "nul:"):
            return []
        return self.run.host.files.read(absolute(target, self.directory)).content.decode("utf-8", "replace").splitlines()

    def command(self, text: str) -> int:
        """Run one command. Raises `_Left`."""
        return self._command(text)

    # --- one command ----------------------------------------------------------------------------------------------------------

    def _command(self, text: str) -> int:
        self._count()
        if not text.strip():
            return self.code
        if self.delayed and "!" in text:
            text = re.sub(r"!([^!\s]{1,255})!", lambda found: self.variable(found[1]) or "", text)
        name = _name_of(text)
        low = name.lower()
        rest = text[len(name) :]
        body = _COMMANDS.get(low)
        if body is not None:
            return body(self, rest)
        if low in _BUILT_INS:
            raise Unmodelled(f"the command {low} of cmd.exe")
        return self._program(name.strip('"'), text.rstrip())

    def _program(self, name: str, text: str) -> int:
        path = find_program(self.run.host, self.environment, self.directory, name, here=True)
        if path is None:
            self.run.complain(f"'{name}' is not recognized as an internal or external command,", "operable program or batch file.")
            return _NOT_RECOGNIZED
        if path.lower().endswith((".bat", ".cmd")):
            return self.batch(path, _words(text[len(name) + (2 if text.startswith('"') else 0) :]))
        # cmd.exe gives its child the line as it was typed, with the name as it was typed.
        return self._external(path, text)

    def _external(self, path: str, text: str) -> int:
        try:
            self.run.flush()
            outcome = self.run.start(path, text, stdin=self.run.stdin, console=self.run.console)
        except NotExecutable:
            self.run.complain("This version of the file is not compatible with the version of Windows you're running.")
            return 1
        self.run.write(*outcome.output)
        self.run.complain(*outcome.errors)
        self.run.flush()
        return outcome.exit_code


def _name_of(text: str) -> str:
    """The first word: a quoted one whole; a built-in name ends at any of cmd's delimiters, echo at a full stop and the like, too."""
    built_in = re.match(r"[A-Za-z]+(?=[\s/,;=.:+\\\[\]()\"]|$)", text)
    if built_in and built_in[0].lower() in _BUILT_INS:
        after = text[built_in.end() : built_in.end() + 1]
        if after not in ".:+\\[]" or built_in[0].lower() in ("echo", "cd", "chdir", "md", "mkdir", "rd", "rmdir", "dir", "type"):
            return built_in[0]
    head = re.match(r'"[^"]*"?|[^\s/,;=(]+|\S+', text)
    return head[0] if head else text


def _written(node: Node) -> str:
    """A part of a line as cmd.exe writes it down for the cmd.exe that runs it."""
    match node:
        case Simple():
            return _escaped(node.text)
        case Statement():
            return node.text
        case Group():
            return f"( {_written(node.body)} )" + "".join(_redirection_text(one) for one in node.redirections)
        case Chain():
            return f" {node.operator} ".join(
                _written(one) + ("".join(_redirection_text(r) for r in one.redirections) if isinstance(one, Simple) else "")
                for one in node.parts
            )


def _redirection_text(one: Redirection) -> str:
    mark = "<" if one.reads else ">>" if one.appends else ">"
    return f" {one.handle}{mark}{'&' if one.to_handle else ''}{chr(34) + one.target + chr(34) if ' ' in one.target else one.target}"


def _escaped(text: str) -> str:
    """With the carets that keep operators from being read as such once more."""
    quoted = False
    parts: list[str] = []
    for char in text:
        quoted ^= char == '"'
        parts.append("^" + char if not quoted and char in "&|<>^()" else char)
    return "".join(parts)


# --- built-in commands ------------------------------------------------------------------------------------------------------


def _nothing(shell: _Shell, rest: str) -> int:
    return 0


def _echo(shell: _Shell, rest: str) -> int:
    said = rest[1:] if rest[:1] in tuple(" .,;:/=+\\[]\t(") else rest
    if said.strip().lower() in ("on", "off") and rest[:1].isspace():
        shell.set_echo(said.strip().lower() == "on")
        return 0
    shell.run.write(said if rest.strip() else "ECHO is on.")
    return 0


def _exit(shell: _Shell, rest: str) -> int:
    given = re.fullmatch(r"\s*(?:/b\s*)?(-?\d{1,10})?\s*", rest, re.IGNORECASE)
    if given is None:
        raise Unmodelled(f"exit{rest[:120]} of cmd.exe")
    code = _signed(int(given[1])) if given[1] else 1 if shell.code == _NOT_RECOGNIZED else shell.code
    if "/b" in rest.lower():
        shell.code = code
        shell.jump("eof")
    raise _Left(code)


def _signed(code: int) -> int:
    """An exit code as Windows keeps it: 32 bits."""
    return (code + 2**31) % 2**32 - 2**31


def _ver(shell: _Shell, rest: str) -> int:
    shell.run.write("", _version(shell.run))
    return 0


def _set(shell: _Shell, rest: str) -> int:
    rest = rest.lstrip()
    ask = re.match(r"(?i)/p\s+(.*)$", rest, re.DOTALL)
    if ask and "=" in ask[1]:
        name, _, prompt = ask[1].strip('"').partition("=")
        if prompt:
            shell.run.write(prompt.strip('"'))
            shell.run.flush()
        line = shell.run.stdin.read_line()
        if not line:
            return 1
        _assign(shell, name, line)
        return 0
    sum_of = re.match(r"(?i)/a\s*(.+)$", rest, re.DOTALL)
    if sum_of:
        try:
            found = blocks.Arithmetic(sum_of[1].strip().strip('"'), shell.variable, lambda name, value: _assign(shell, name, value)).value()
        except LineFault as fault:
            shell.run.complain(*fault.text.split("\n"))
            return 1
        if not shell.in_batch:
            shell.run.write(str(found))
        return 0
    if rest.startswith("/"):
        raise Unmodelled(f"set {rest[:20]} of cmd.exe")
    if "=" in rest:
        name, _, value = (rest[1:].rpartition('"')[0] or rest[1:] if rest.startswith('"') else rest).partition("=")
        _assign(shell, name, value)
        return 0
    rest = rest.rstrip()
    shown = {name: value for name, value in shell.environment.items() if name.lower().startswith(rest.lower())}
    if not shown:
        shell.run.complain(f"Environment variable {rest} not defined")
        return 1
    shell.run.write(*(f"{name}={shown[name]}" for name in sorted(shown, key=str.lower)))
    return 0


def _assign(shell: _Shell, name: str, value: str) -> None:
    known = next((key for key in shell.environment if key.lower() == name.lower()), name)
    if value:
        shell.environment[known] = value
    else:
        shell.environment.pop(known, None)


def _cd(shell: _Shell, rest: str) -> int:
    given = re.match(r"(?i)\s*(?:/d\s+)?(.*)$", rest, re.DOTALL)
    target = (given[1] if given else rest).strip().strip('"')
    if not target:
        shell.run.write(shell.directory)
        return 0
    try:
        path = absolute(target, shell.directory)
        node = shell.run.host.files.get(path)
        actual = shell.run.host.files.actual(path)
    except FileFault:
        shell.run.complain("The system cannot find the path specified.")
        return 1
    if isinstance(node, File):
        shell.run.complain("The directory name is invalid.")
        return 1
    shell.change_directory(actual)
    return 0


def _make_directory(shell: _Shell, rest: str) -> int:
    for name in _names(rest, "md"):
        try:
            path = absolute(name, shell.directory)
            if shell.run.host.files.find(path) is not None:
                shell.run.complain(f"A subdirectory or file {name} already exists.")
                return 1
            shell.run.host.files.make_directory(path)
        except FileFault:
            shell.run.complain("The system cannot find the path specified.")
            return 1
    return 0


def _remove_directory(shell: _Shell, rest: str) -> int:
    recurse = "/s" in rest.lower().split()
    for name in _names(rest, "rd", "/s", "/q"):
        try:
            path = absolute(name, shell.directory)
            if isinstance(shell.run.host.files.get(path), File):
                shell.run.complain("The directory name is invalid.")
                return 267
            shell.run.host.files.remove(path, recurse=recurse)
        except DirectoryNotEmpty:
            shell.run.complain("The directory is not empty.")
            return 145
        except FileFault:
            shell.run.complain("The system cannot find the file specified.")
            return 2
    return 0


def _delete(shell: _Shell, rest: str) -> int:
    given = split_arguments(rest.replace("/", " /").replace("  /", " /"))
    names = [one for one in given if not one.startswith("/")]
    if not names or {one.lower() for one in given if one.startswith("/")} - {"/f", "/q", "/s", "/a"}:
        raise Unmodelled(f"del{rest[:120]} of cmd.exe")
    for name in names:
        try:
            wild = "*" in name or "?" in name
            paths = shell.matching(name) if wild else [absolute(name, shell.directory)]
            for path in paths:
                node = shell.run.host.files.get(path)
                if isinstance(node, Directory) and not wild:
                    raise Unmodelled(f"del of a directory, {name[:120]}")
                if isinstance(node, File) and node.read_only and "/f" not in rest.lower():
                    shell.run.complain(path, "Access is denied.")
                elif isinstance(node, File):
                    shell.run.host.files.remove(path, recurse=False)
            if wild and not paths:
                shell.run.complain(f"Could Not Find {absolute('.', shell.directory)}\\{name}")
        except FileFault:
            shell.run.complain(f"Could Not Find {name}")
    return 0  # whether there was anything to delete or not


def _copy(shell: _Shell, rest: str) -> int:
    source, target = _two(rest, "copy")
    files = shell.run.host.files
    try:
        start, end = absolute(source, shell.directory), absolute(target, shell.directory)
        if isinstance(files.find(end), Directory):
            end = ntpath.join(end, ntpath.basename(start))
        files.copy(start, end)
    except FileFault:
        shell.run.complain("The system cannot find the file specified.")
        return 1
    shell.run.write("        1 file(s) copied.")
    return 0


def _move(shell: _Shell, rest: str) -> int:
    source, target = _two(rest, "move")
    files = shell.run.host.files
    try:
        start, end = absolute(source, shell.directory), absolute(target, shell.directory)
        if isinstance(files.find(end), Directory):
            end = ntpath.join(end, ntpath.basename(start))
        moved = files.get(start)
        files.move(start, end)
    except PathExists:
        shell.run.complain("Access is denied.")
        return 1
    except FileFault:
        shell.run.complain("The system cannot find the file specified.")
        return 1
    shell.run.write(f"        1 {'dir' if isinstance(moved, Directory) else 'file'}(s) moved.")
    return 0


def _names(rest: str, command: str, *options: str) -> list[str]:
    """The paths that a command was given. Refused by name: other options than these, none at all, and wildcards."""
    given = [one for one in split_arguments(rest.replace("/", " /").replace("  /", " /")) if one.lower() not in options]
    if not given or any(one.startswith("/") or "*" in one or "?" in one for one in given):
        raise Unmodelled(f"{command}{rest[:120]} of cmd.exe")
    return given


def _two(rest: str, command: str) -> tuple[str, str]:
    names = _names(rest, command, "/y")
    if len(names) != 2:
        raise Unmodelled(f"{command}{rest[:120]} of cmd.exe")
    return names[0], names[1]


def _date(shell: _Shell, rest: str) -> int:
    return _moment(shell, rest, "date")


def _time(shell: _Shell, rest: str) -> int:
    return _moment(shell, rest, "time")


def _moment(shell: _Shell, rest: str, command: str) -> int:
    if rest.strip().lower() != "/t":
        raise Unmodelled(f"the command {command} of cmd.exe without /t")
    now = shell.run.host.now()
    clock = f"{(now.hour + 11) % 12 + 1:02d}:{now.minute:02d} {'AM' if now.hour < 12 else 'PM'}"
    shell.run.write(f"{now:%a %m/%d/%Y} " if command == "date" else clock)
    return 0


def _vol(shell: _Shell, rest: str) -> int:
    if rest.strip().lower() not in ("", "c:"):
        raise Unmodelled(f"vol{rest[:120]} of cmd.exe")
    shell.run.write(*_VOLUME)
    return 0


_VOLUME: Final = (" Volume in drive C has no label.", " Volume Serial Number is 5AC1-7B0E")


_DIR_OPTIONS = re.compile(r"/(?:b|s|w|p|q|n|l|4|-c|a(?::?[-dhsralio]*)?|o(?::?[-nsegd]*)?|t(?::?[caw])?)", re.IGNORECASE)


def _dir(shell: _Shell, rest: str) -> int:
    """A listing: /b, /s, /a with attributes, /o by name, size, date or kind."""
    given = split_arguments(re.sub(r"(?<=\S)(?=/)", " ", rest) if not re.search(r'"', rest) else rest)
    flags = [one.lower() for one in given if one.startswith("/")]
    paths = [one for one in given if not one.startswith("/")]
    if len(paths) > 1 or any(_DIR_OPTIONS.fullmatch(one) is None for one in flags):
        raise Unmodelled(f"dir {rest[:120]} of cmd.exe")
    files = shell.run.host.files
    path = paths[0] if paths else "."
    try:
        if "*" in path or "?" in path:
            head, pattern = ntpath.split(ntpath.join(shell.directory, path.replace("/", "\\")))
            full = absolute(head, shell.directory)
        else:
            full, pattern = absolute(path, shell.directory), "*"
            if isinstance(files.get(full), File):
                full, pattern = ntpath.split(full)
        places = [full]
        if "/s" in flags:
            places += [where for where, node in files.walk(full) if isinstance(node, Directory)]
        listed = [(where, _chosen(shell, where, pattern, flags)) for where in places]
    except FileFault:
        shell.run.complain("File Not Found")
        return 1
    listed = [(where, held) for where, held in listed if held or len(places) == 1]
    if not any(held for _, held in listed) and ("/s" in flags or pattern != "*"):
        shell.run.complain("File Not Found")
        return 1
    if "/b" in flags:
        for where, held in listed:
            shell.run.write(*(ntpath.join(where, one.name) if "/s" in flags else one.name for one in held))
        return 0
    shell.run.write(*_VOLUME)
    count = total = folders = 0
    for where, held in listed:
        size = sum(len(one.content) for one in held if isinstance(one, File))
        number = sum(isinstance(one, File) for one in held)
        count, total = count + number, total + size
        shell.run.write("", f" Directory of {where}", "", *(_dir_line(one) for one in held))
        shell.run.write(f"{number:>16} File(s) {size:>14,} bytes")
        folders = len(held) - number
    if "/s" in flags:
        shell.run.write("", "     Total Files Listed:", f"{count:>16} File(s) {total:>14,} bytes")
        folders = 0
    shell.run.write(f"{folders:>16} Dir(s)  34,359,738,368 bytes free")
    return 0


def _chosen(shell: _Shell, where: str, pattern: str, flags: list[str]) -> list[File | Directory]:
    """What a listing shows of a directory, in its order. Raises `FileFault`."""
    asked = next((one[2:].lstrip(":") for one in flags if one.startswith("/a")), None)
    kept: list[File | Directory] = []
    for node in shell.run.host.files.children(where):
        names = {"d": isinstance(node, Directory), "h": node.hidden, "s": node.system, "r": isinstance(node, File) and node.read_only}
        wanted = re.findall(r"(-?)([dhsr])", asked or "")
        if asked is None and (node.hidden or node.system):
            continue
        if all(names[mark] != bool(sign) for sign, mark in wanted) and fnmatch.fnmatchcase(
            node.name.lower(), pattern.lower().replace("*.*", "*")
        ):
            kept.append(node)
    order = next((one[2:].lstrip(":") or "gn" for one in flags if one.startswith("/o")), "n")
    keys: dict[str, Callable[[File | Directory], object]] = {
        "n": lambda one: one.name.lower(),
        "s": lambda one: len(one.content) if isinstance(one, File) else 0,
        "e": lambda one: ntpath.splitext(one.name)[1].lower(),
        "d": lambda one: one.modified,
        "g": lambda one: isinstance(one, File),
    }
    for sign, mark in reversed(re.findall(r"(-?)([nsegd])", order)):
        kept.sort(key=keys[mark], reverse=bool(sign))  # type: ignore[arg-type]
    return kept


def _dir_line(child: File | Directory) -> str:
    moment = child.modified
    clock = f"{(moment.hour + 11) % 12 + 1:02d}:{moment.minute:02d} {'AM' if moment.hour < 12 else 'PM'}"
    length = "<DIR>         " if isinstance(child, Directory) else f"{len(child.content):>14,}"
    return f"{moment:%m/%d/%Y}  {clock}    {length} {child.name}"


def _type(shell: _Shell, rest: str) -> int:
    given = split_arguments(rest)
    if len(given) != 1:
        raise Unmodelled(f"type {rest[:120]} of cmd.exe")
    try:
        file = shell.run.host.files.read(absolute(given[0], shell.directory))
    except FileFault:
        shell.run.complain("The system cannot find the file specified.")
        return 1
    if file.image is not None:
        raise Unmodelled(f"the content of the program {file.name}")
    shell.run.write(*file.content.decode("utf-8", "replace").splitlines())
    return 0


def _goto(shell: _Shell, rest: str) -> int:
    shell.jump(rest.strip())
    return 1


def _call(shell: _Shell, rest: str) -> int:
    text = rest.strip()
    if text.startswith(":"):
        words = _words(text)
        shell.jump(words[0], calls=True, arguments=tuple(words[1:]))
        shell.run.complain("Invalid attempt to call batch label outside of batch script.")
        return 1
    return shell.command(text)


def _start(shell: _Shell, rest: str) -> int:
    """Start a program in a window of its own: nobody sees what it writes, unless /b keeps it in this one."""
    words = re.findall(r'"[^"]*"|\S+', rest)
    if words and words[0].startswith('"'):
        words.pop(0)  # the title
    shared = False
    while words and words[0].startswith("/"):
        option = words.pop(0).lower()
        shared = shared or option == "/b"
        if option in ("/d", "/node", "/affinity") and words:
            words.pop(0)
        elif option not in ("/b", "/wait", "/w", "/min", "/max", "/low", "/normal", "/high", "/i", "/separate", "/shared"):
            raise Unmodelled(f"start {option} of cmd.exe")
    if not words:
        raise Unmodelled("start without a program, which opens a window")
    run = shell.run
    before = (run.output, run.errors, run.console)
    if not shared:
        run.output, run.errors, run.console = [], [], None
    try:
        return shell.command(" ".join(words))
    finally:
        if not shared:
            run.output, run.errors, run.console = before


def _push(shell: _Shell, rest: str) -> int:
    before = shell.directory
    if not rest.strip():
        shell.run.write(*reversed(shell.places))
        return 0
    code = _cd(shell, f" /d {rest.strip()}")
    if code == 0 and len(shell.places) < MAX_COMMANDS:
        shell.places.append(before)
    return code


def _pop(shell: _Shell, rest: str) -> int:
    if shell.places:
        shell.change_directory(shell.places.pop())
    return 0


def _rename(shell: _Shell, rest: str) -> int:
    old, new = _two(rest, "ren")
    files = shell.run.host.files
    try:
        source = absolute(old, shell.directory)
        files.move(source, ntpath.join(ntpath.dirname(source), ntpath.basename(new)))
    except PathExists:
        shell.run.complain("A duplicate file name exists, or the file", "cannot be found.")
        return 1
    except FileFault:
        shell.run.complain("The system cannot find the file specified.")
        return 1
    return 0


def _set_local(shell: _Shell, rest: str) -> int:
    if len(shell.saved) < MAX_COMMANDS:
        shell.saved.append((dict(shell.environment), shell.directory, shell.delayed))
    if "enabledelayedexpansion" in rest.lower():
        shell.delayed = True
    return 0


def _end_local(shell: _Shell, rest: str) -> int:
    if shell.saved:
        environment, directory, shell.delayed = shell.saved.pop()
        shell.environment.clear()
        shell.environment.update(environment)
        shell.change_directory(directory)
    return 0


def _shift(shell: _Shell, rest: str) -> int:
    shell.shift()
    return 0


def _pause(shell: _Shell, rest: str) -> int:
    shell.run.write("Press any key to continue . . . ")
    return 0


def _path(shell: _Shell, rest: str) -> int:
    text = rest.strip().lstrip("=").strip()
    if text:
        _assign(shell, "Path", "" if text == ";" else text)
    else:
        shell.run.write(f"PATH={shell.variable('Path') or ''}")
    return 0


def _associations(shell: _Shell, rest: str) -> int:
    held = {
        ".bat": "batfile",
        ".cmd": "cmdfile",
        ".exe": "exefile",
        ".ps1": "Microsoft.PowerShellScript.1",
        ".txt": "txtfile",
        ".vbs": "VBSFile",
    }
    wanted = rest.strip().lower()
    if "=" in wanted:
        raise Unmodelled(f"assoc{rest[:60]} of cmd.exe")
    if wanted and wanted not in held:
        shell.run.complain(f"File association not found for extension {wanted}")
        return 1
    shell.run.write(*(f"{name}={value}" for name, value in held.items() if not wanted or name == wanted))
    return 0


_COMMANDS: Final[dict[str, Callable[[_Shell, str], int]]] = {
    "assoc": _associations,
    "break": _nothing,
    "call": _call,
    "endlocal": _end_local,
    "goto": _goto,
    "path": _path,
    "pause": _pause,
    "popd": _pop,
    "pushd": _push,
    "ren": _rename,
    "rename": _rename,
    "setlocal": _set_local,
    "shift": _shift,
    "start": _start,
    "cd": _cd,
    "chdir": _cd,
    "cls": _nothing,
    "color": _nothing,
    "copy": _copy,
    "date": _date,
    "del": _delete,
    "dir": _dir,
    "echo": _echo,
    "erase": _delete,
    "exit": _exit,
    "md": _make_directory,
    "mkdir": _make_directory,
    "move": _move,
    "rd": _remove_directory,
    "rem": _nothing,
    "rmdir": _remove_directory,
    "set": _set,
    "time": _time,
    "title": _nothing,
    "type": _type,
    "ver": _ver,
    "vol": _vol,
}
