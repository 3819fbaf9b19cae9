"""Pipelines: what a command name means, its arguments, cmdlets that pull from each other, programs, redirections."""

from __future__ import annotations

import ntpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from lab.host.files import File, FileFault, PathNotFound, absolute
from lab.host.happenings import Binding, CommandRun
from lab.host.images import CMD
from lab.host.model import NotExecutable, ProcessLimit
from lab.host.powershell import objects, statics
from lab.host.powershell import syntax as s
from lab.host.powershell.aliases import REFUSED
from lab.host.powershell.commands import CMDLETS, Call, Cmdlet, Passed, ResolvedCommand, bind, require
from lab.host.powershell.errors import (
    Terminating,
    as_object,
    command_not_found,
    fail,
    refuse,
)
from lab.host.powershell.expressions import NOTHING
from lab.host.powershell.parameters import Parameters
from lab.host.powershell.state import Emit
from lab.host.powershell.values import (
    ScriptBlock,
    as_list,
    decode,
    each,
    find_key,
    to_text,
)
from lab.host.programs.base import Input, Unmodelled, World, command_line, find_program, launch, quote_argument
from lab.machine import ErrorRecord, PSObject, StreamName

_STREAMS = {
    "3": StreamName.WARNING,
    "4": StreamName.VERBOSE,
    "5": StreamName.DEBUG,
    "6": StreamName.INFORMATION,
}


class Pipelines(Parameters):
    """Commands over a session's state; the bodies of functions and script blocks are the evaluator's."""

    def start_by_wmi(self, line: str) -> int:
        head = re.match(r'\s*(?:"([^"]*)"|(\S+))', line)
        name = (head[1] or head[2] or "") if head else ""
        path = find_program(self.host, self.environment, "C:\\Windows\\system32", name, here=True)
        if path is None:
            raise PathNotFound(name)
        # Winmgmt has DcomLaunch start the provider host, under which a program of WMI's runs.
        provider = self.host.start_process(
            parent=self.host.dcom_launch,
            path="C:\\Windows\\System32\\wbem\\WmiPrvSE.exe",
            command_line="C:\\Windows\\system32\\wbem\\wmiprvse.exe -secured -Embedding",
            logon=self.engine.process.logon,
            directory="C:\\Windows\\system32",
        )
        try:
            with self._program_faults(path):
                return launch(self._world("C:\\Windows\\system32"), provider, path, line).process.pid
        finally:
            self.host.end_process(provider)

    def write_lines(self, path: str, lines: Sequence[str]) -> None:
        try:
            text = "".join(f"{line}\r\n" for line in lines)
            self.host.files.write(absolute(path, self.location), text.encode("cp1252", "replace"))
        except FileFault as fault:
            raise fail(f"Could not find a part of the path '{fault.path}'.", "FileOpenFailure", "OpenError", fault.path) from None

    def start_program(self, path: str, arguments: Sequence[str], *, directory: str) -> tuple[list[str], list[str], object]:
        found = find_program(self.host, self.environment, self.location, path, here=False)
        if found is None:
            raise fail(
                "This command cannot be run due to the error: The system cannot find the file specified.",
                "InvalidOperationException,Microsoft.PowerShell.Commands.StartProcessCommand",
            )
        text = " ".join([f'"{found}"', *arguments])
        with self._program_faults(found):
            outcome = launch(self._world(directory), self.engine.process, found, text)
        handle = objects.process_object(outcome.process, ended=True)
        handle.properties["ExitCode"] = outcome.exit_code
        return outcome.output, outcome.errors, handle

    def resolve(self, name: str) -> ResolvedCommand | None:
        bare = name.rpartition("\\")[2] if "\\" in name and "-" in name.rpartition("\\")[2] and name[1:2] != ":" else name
        alias = self.aliases.get(bare.lower())
        if alias is not None:
            return ResolvedCommand(kind="Alias", name=bare, definition=alias)
        function = self.scopes.function(bare)
        if function is not None:
            return ResolvedCommand(kind="Function", name=function[0], definition=function[1].text)
        if bare.lower() == "prompt":
            return ResolvedCommand(
                kind="Function", name="prompt", definition='"PS $($executionContext.SessionState.Path.CurrentLocation)> "'
            )
        known = CMDLETS.get(bare.lower())
        if known is not None:
            return ResolvedCommand(kind="Cmdlet", name=known.name, definition=known.name, module=known.module)
        path = self._script_path(name)
        if path is not None:
            return ResolvedCommand(kind="ExternalScript", name=ntpath.basename(path), definition=path)
        path = find_program(self.host, self.environment, self.location, name, here=False)
        if path is not None:
            return ResolvedCommand(kind="Application", name=ntpath.basename(path), definition=path)
        return None

    def _script_path(self, name: str) -> str | None:
        """The .ps1 file that a name means: a path, or a name in PATH. None for what is none."""
        if "\\" in name or "/" in name or name[1:2] == ":":
            places = [self.location]
        else:
            places = [place for place in self.environment.get("Path", "").split(";") if place]
        for place in places:
            for ending in ("", ".ps1"):
                try:
                    full = absolute(name + ending, place)
                    if full.lower().endswith(".ps1") and isinstance(self.host.files.find(full), File):
                        return self.host.files.actual(full)
                except FileFault:
                    continue
        return None

    def _pipeline(self, pipeline: s.Pipeline, emit: Emit) -> None:
        first = pipeline.elements[0]
        if len(pipeline.elements) == 1 and not isinstance(first, s.CommandCall | s.RedirectedExpression):
            value = self._silent(first)
            self.ok = True
            if value is not NOTHING:
                for one in each(value):
                    emit(one)
            return
        failures = self._failures
        logged: list[CommandRun | Call] = []
        self.ok = True
        try:
            flow: Iterator[object] = iter(())
            piped = False
            for position, element in enumerate(pipeline.elements):
                if isinstance(element, s.CommandCall):
                    flow = self._command(element, flow, piped, logged)
                elif position > 0:
                    raise fail(
                        "Expressions are only allowed as the first element of a pipeline.",
                        "ExpressionsMustBeFirstInPipeline",
                        "ParserError",
                    )
                elif isinstance(element, s.RedirectedExpression):
                    flow = self._redirected(element.redirections, partial(self._values, element.value))
                else:
                    flow = each(self.value(element))
                piped = True
            for one in flow:
                emit(one)
        finally:
            if self._failures != failures:
                self.ok = False
            self._log(logged)

    def _values(self, expression: s.Expression) -> Iterator[object]:
        return each(self.value(expression))

    def push_error_sink(self, sink: Emit) -> None:
        """From now on errors go to the sink instead of the error stream, until `pop_error_sink`."""
        self._error_sinks.append(sink)

    def pop_error_sink(self) -> None:
        """Errors go again where they went before."""
        self._error_sinks.pop()

    def run_command(
        self, name: str, arguments: Sequence[Passed], flow: Iterator[object], piped: bool, logged: list[CommandRun | Call]
    ) -> Iterator[object]:
        """A command by its name, as a command list of the client has it. Raises `Terminating`."""
        return self._named(name, arguments, [_native(one) for one in arguments], flow, piped, logged)

    def log(self, logged: list[CommandRun | Call]) -> None:
        """Module logging of the commands of one pipeline."""
        self._log(logged)

    def _log(self, logged: list[CommandRun | Call]) -> None:
        if logged:
            runs = [self._described(one) if isinstance(one, Call) else one for one in logged]
            self.witness.commands_run(self.engine, runs)

    def _described(self, call: Call) -> CommandRun:
        return CommandRun(name=call.spec.name, kind="Cmdlet", bindings=tuple(call.bindings), pipeline_id=self.pipeline_id, line=call.line)

    def _command(self, call: s.CommandCall, flow: Iterator[object], piped: bool, logged: list[CommandRun | Call]) -> Iterator[object]:
        target = self.value(call.name) if call.operator or not isinstance(call.name, s.Literal) else call.name.value
        if call.redirections:
            return self._redirected(call.redirections, lambda: self._invoked(call, target, flow, piped, logged))
        return self._invoked(call, target, flow, piped, logged)

    def _invoked(
        self, call: s.CommandCall, target: object, flow: Iterator[object], piped: bool, logged: list[CommandRun | Call]
    ) -> Iterator[object]:
        passed, native = self._arguments(call.arguments)
        if isinstance(target, ScriptBlock):
            return self._script_stage(target.body, passed, flow, piped, new_scope=call.operator != ".")
        if isinstance(target, PSObject):
            held = find_key(target.properties, "Definition") or find_key(target.properties, "Name")
            target = target.properties[held] if held is not None else to_text(target)
        name = to_text(target)
        if not name.strip():
            raise fail(
                "The expression after '&' in a pipeline element produced an object that was not valid. It must result in a command name, a "
                "script block, or a CommandInfo object.",
                "BadExpression",
            )
        return self._named(name, passed, native, flow, piped, logged, dotted=call.operator == ".", line=call.line)

    def _named(
        self,
        name: str,
        passed: Sequence[Passed],
        native: Sequence[str],
        flow: Iterator[object],
        piped: bool,
        logged: list[CommandRun | Call],
        *,
        dotted: bool = False,
        line: str = "",
    ) -> Iterator[object]:
        found = self.resolve(name)
        for _ in range(8):  # an alias may stand for an alias
            if found is None or found.kind != "Alias":
                break
            name = found.definition
            found = self.resolve(name)
        if found is None or found.kind == "Alias":
            if name.lower().rpartition("\\")[2] in REFUSED:
                raise refuse(f"the command {name}")
            raise Terminating(command_not_found(name))
        match found.kind:
            case "Function":
                function = self.scopes.function(found.name)
                if function is None:
                    return iter([f"PS {self.drive or self.location}> "])
                return self._script_stage(function[1], passed, flow, piped, new_scope=not dotted, name=found.name)
            case "Cmdlet":
                return self._cmdlet(CMDLETS[found.name.lower()], passed, flow, piped, logged, line)
            case "ExternalScript":
                return self._script_file(found.definition, passed, flow, piped, new_scope=not dotted)
            case _:
                return self._native(found.definition, native, flow, piped)

    def _script_file(
        self, path: str, passed: Sequence[Passed], flow: Iterator[object], piped: bool, *, new_scope: bool
    ) -> Iterator[object]:
        """Run the text of a .ps1 file, as the execution policy of the machine allows."""
        if self.host.execution_policy in ("Restricted", "AllSigned"):
            raise fail(
                f"File {path} cannot be loaded because running scripts is disabled on this system. For more information, see "
                "about_Execution_Policies at https:/go.microsoft.com/fwlink/?LinkID=135170.",
                "UnauthorizedAccess",
                "SecurityError",
            )
        body = self._compile(decode(self.host.files.read(path).content))
        return self._script_stage(body, passed, flow, piped, new_scope=new_scope, name=ntpath.basename(path), script=path)

    def _cmdlet(
        self, spec: Cmdlet, passed: Sequence[Passed], flow: Iterator[object], piped: bool, logged: list[CommandRun | Call], line: str
    ) -> Iterator[object]:
        bound, bindings = bind(spec, passed)
        require(spec, bound, piped=piped)
        call = Call(spec=spec, session=self, bound=bound, input=flow, piped=piped, bindings=bindings, line=line)
        logged.append(call)
        return self._captured(call)

    def _captured(self, call: Call) -> Iterator[object]:
        """A cmdlet's output, kept in the variables that its common parameters name."""
        out, item, errors = (call.text(name) for name in ("OutVariable", "PipelineVariable", "ErrorVariable"))
        if not (out or item or errors):
            yield from self._guard(call)
            return
        kept: list[object] = []
        if errors:
            call.watched = []
        try:
            for one in self._guard(call):
                if item:
                    self.scopes.set(item, one)
                kept.append(one)
                yield one
        finally:
            if out:
                self._keep(out, kept)
            if errors:
                self._keep(errors, call.watched or [])

    def _keep(self, name: str, values: list[object]) -> None:
        """Set a variable, or add to it where its name has a plus sign before it."""
        old = as_list(self.variable(name[1:])) if name.startswith("+") else []
        self.scopes.set(name.removeprefix("+"), [*old, *values])

    def _guard(self, call: Call) -> Iterator[object]:
        """A cmdlet's output; an error that ends it obeys its -ErrorAction."""
        try:
            for one in call.spec.body(call):
                self.tick()
                yield one
        except Terminating as error:
            if call.watched is not None:
                call.watched.append(as_object(error.record))
            if error.script or call.action not in ("SilentlyContinue", "Ignore"):
                raise
            self._failures += 1
            if call.action != "Ignore":
                self._remember(error.record)

    def _script_stage(
        self,
        body: s.Body,
        passed: Sequence[Passed],
        flow: Iterator[object],
        piped: bool,
        *,
        new_scope: bool,
        name: str = "",
        script: str = "",
    ) -> Iterator[object]:
        output: list[object] = []
        self.run_body(body, passed, output.append, piped=flow if piped else None, new_scope=new_scope, name=name, script=script)
        yield from output

    def _native(self, path: str, arguments: Sequence[str], flow: Iterator[object], piped: bool) -> Iterator[object]:
        stdin = [line for one in flow for line in self.format([one])] if piped else []
        if path.lower().endswith((".bat", ".cmd")):
            # CreateProcess runs a batch file with the command processor.
            quoted = command_line(path, arguments)
            path, text = self.environment.get("ComSpec", CMD), f'{CMD} /c "{quoted}"'
        else:
            text = command_line(path, arguments)
        with self._program_faults(path):
            outcome = launch(self._world(self.location), self.engine.process, path, text, stdin=Input.of(stdin))
        self.exit_code = outcome.exit_code
        yield from outcome.output
        for place, line in enumerate(outcome.errors):
            record = ErrorRecord(
                message=line,
                exception_type="System.Management.Automation.RemoteException",
                error_id="NativeCommandErrorMessage" if place else "NativeCommandError",
                category="NotSpecified",
                target=line,
            )
            self._remember(record)
            self._show_error(record)
        if outcome.exit_code != 0:
            self._failures += 1

    def _world(self, directory: str) -> World:
        return World(
            host=self.host,
            io=self.io,
            powershell=self._powershell,
            environment=self.environment,
            directory=directory,
            depth=self._depth,
        )

    @contextmanager
    def _program_faults(self, path: str) -> Iterator[None]:
        name = ntpath.basename(path)
        try:
            yield
        except Unmodelled as error:
            raise refuse(error.what) from None
        except NotExecutable:
            raise Terminating(
                ErrorRecord(
                    message=f"Program '{name}' failed to run: The specified executable is not a valid application for this OS platform.",
                    exception_type="System.Management.Automation.ApplicationFailedException",
                    error_id="NativeCommandFailed",
                    category="ResourceUnavailable",
                    target=name,
                )
            ) from None
        except FileFault as error:
            raise Terminating(command_not_found(error.path)) from None
        except ProcessLimit:
            raise refuse("more processes than it has room for") from None

    def _redirected(self, redirections: Sequence[s.Redirection], run: Callable[[], Iterator[object]]) -> Iterator[object]:
        """A command with redirections runs to its end before its output flows on: what it writes must be sorted first."""
        output: list[object] = []
        places: dict[str, Emit] = {}
        files: list[tuple[s.Redirection, str, list[object]]] = []
        for one in redirections:
            named = self.value(one.target) if one.target is not None else None
            streams = ("1", "2", "3", "4", "5", "6") if one.stream == "*" else (one.stream,)
            held: list[object] = output if one.target is None else []
            if one.target is not None and named is not None:
                files.append((one, to_text(named), held))
            for stream in streams:
                if one.target is None or stream != "1" or named is not None or one.stream in ("1", "*"):
                    places[stream] = held.append
        sinks = [(self._stream_sinks[name], places[stream]) for stream, name in _STREAMS.items() if stream in places]
        if "2" in places:
            sinks.append((self._error_sinks, places["2"]))
        for stack, place in sinks:
            stack.append(place)
        try:
            write = places.get("1", output.append)
            for value in run():
                write(value)
        finally:
            for stack, _ in sinks:
                stack.pop()
        for one, path, held in files:
            self._write_file(path, held, append=one.append)
        yield from output

    def _write_file(self, path: str, values: list[object], *, append: bool) -> None:
        text = "".join(f"{line}\r\n" for line in self.format(values))
        try:
            full = absolute(path, self.location)
            old = b""
            if append and self.host.files.find(full) is not None:
                old = self.host.files.read(full).content
            self.host.files.write(full, (old or b"\xff\xfe") + text.encode("utf-16-le", "replace"))
        except FileFault as fault:
            raise fail(f"Could not find a part of the path '{fault.path}'.", "FileOpenFailure", "OpenError", fault.path) from None

    def _arguments(self, given: Sequence[s.Argument | s.ParameterArgument | s.Verbatim]) -> tuple[list[Passed], list[str]]:
        """Arguments twice: for a cmdlet or function, and as the texts that a native program gets."""
        passed: list[Passed] = []
        native: list[str] = []
        for one in given:
            match one:
                case s.Verbatim():
                    text = statics.expand_percent(one.text, self.environment)
                    native.append(text)
                    passed.append(Passed(None, text))
                case s.ParameterArgument():
                    if one.value is None:
                        passed.append(Passed(one.name, None, bare=True))
                        native.append(one.raw)
                    else:
                        value = self.value(one.value)
                        passed.append(Passed(one.name, value))
                        native.append(quote_argument(one.raw + to_text(value)))
                case s.Argument(value=s.Variable() as variable) if variable.splatted:
                    self._splat(variable, passed, native)
                case s.Argument():
                    value = self.value(one.value)
                    passed.append(Passed(None, value))
                    if isinstance(one.value, s.Literal) and one.value.raw and not isinstance(value, str):
                        native.append(one.value.raw)
                    elif isinstance(one.value, s.ArrayLiteral):
                        # `get name,processid`: a list without blanks reaches a program as it was written
                        native.append(quote_argument(",".join(to_text(item) for item in as_list(value))))
                    elif isinstance(one.value, s.Unary) and isinstance(one.value.operand, s.Literal):
                        native.append(one.value.operator + one.value.operand.raw)
                    else:
                        native += [quote_argument(to_text(item)) for item in as_list(value)]
        return passed, native

    def _splat(self, variable: s.Variable, passed: list[Passed], native: list[str]) -> None:
        value = self._variable(variable)
        if isinstance(value, dict):
            for name, one in value.items():
                passed.append(Passed(to_text(name), one))
                native.append(quote_argument(f"-{name}:{to_text(one)}"))
            return
        for one in as_list(value):
            passed.append(Passed(None, one))
            native.append(quote_argument(to_text(one)))


def _native(passed: Passed) -> str:
    if passed.name is None:
        return quote_argument(to_text(passed.value))
    return f"-{passed.name}" if passed.bare or passed.value is True else quote_argument(f"-{passed.name}:{to_text(passed.value)}")


def bindings_of(values: Iterable[object]) -> tuple[Binding, ...]:
    """What module logging shows of the input of Out-Default."""
    return tuple(Binding(name="InputObject", value=to_text(one)) for one in values)
