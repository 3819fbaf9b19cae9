"""The evaluator: statements, expressions and pipelines of the emulated PowerShell, over one session's state.

Nothing received is run on the machine underneath: a command is a registered cmdlet, a function of the session, or a program of the
emulated disk. What is written goes to an `emit` callback the moment it is there; commands of a pipeline pull from each other, so that
work happens in the order in which it happens on Windows. Everything is bounded: steps, output, depth.
"""

from __future__ import annotations

import ntpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from lab.host.files import FileFault, absolute
from lab.host.happenings import Binding, CommandRun, Engine, Witness
from lab.host.model import Host, NotExecutable, ProcessLimit
from lab.host.powershell import dotnet, operators
from lab.host.powershell import syntax as s
from lab.host.powershell.aliases import ALIASES, REFUSED
from lab.host.powershell.commands import CMDLETS, Call, Cmdlet, Passed, ResolvedCommand, action_name, bind, require
from lab.host.powershell.errors import (
    ErrorObject,
    Exit,
    LoopBreak,
    LoopContinue,
    Return,
    Terminating,
    as_object,
    binding_error,
    command_not_found,
    fail,
    not_emulated,
    refuse,
    shown,
)
from lab.host.powershell.format import format_values
from lab.host.powershell.remotes import Remotes
from lab.host.powershell.scopes import Scope, Scopes
from lab.host.powershell.values import (
    MAX_ITEMS,
    ScriptBlock,
    TypeValue,
    as_list,
    bounded,
    collect,
    each,
    equal,
    find_key,
    like,
    regex,
    stored,
    subject,
    to_bool,
    to_int,
    to_number,
    to_text,
)
from lab.host.programs.base import Input, PowerShell, Unmodelled, World, command_line, find_program, launch, quote_argument
from lab.machine import ErrorRecord, PipelineIO, PSObject, StreamName

MAX_STEPS = 1_000_000
"""Steps of one run: iterations of loops and items of pipelines."""
MAX_ERRORS = 256
"""What `$Error` keeps ($MaximumErrorCount)."""
PROGRESS = 512
"""Steps between two questions whether the client wants a stop."""

_AUTOMATIC = tuple(
    "? Error false HOME Host LASTEXITCODE null PID PSCulture PSHOME PSUICulture PSVersionTable PWD ShellId true".split()  # noqa: SIM905
)

Emit = Callable[[object], None]


class Evaluator:
    """One session: its variables, functions, location and errors, and the run that is going on. Implements `commands.Session`."""

    def __init__(
        self,
        host: Host,
        engine: Engine,
        witness: Witness,
        io: PipelineIO,
        powershell: PowerShell,
        compile_text: Callable[[str], s.Body],
        depth: int,
    ) -> None:
        self.host = host
        self.engine = engine
        self.io = io
        self.witness = witness
        self.scopes = Scopes()
        self.environment = host.environment(engine.process.logon.account)
        home = f"{host.home(engine.process.logon.account)}\\Documents"
        self.location = home if host.files.find(home) is not None else "C:\\"
        self.ok = True
        self.exit_code: int | None = None
        self.errors: list[object] = []
        self.remotes = Remotes(host, engine)
        self.pipeline_id = 0
        self._powershell = powershell
        self._compile = compile_text
        self._depth = depth
        self._steps = 0
        self._failures = 0
        self._guarded = 0
        self._error_sinks: list[Emit] = []
        for name, value in (
            ("ErrorActionPreference", "Continue"),
            ("WarningPreference", "Continue"),
            ("VerbosePreference", "SilentlyContinue"),
            ("DebugPreference", "SilentlyContinue"),
            ("InformationPreference", "SilentlyContinue"),
            ("OFS", " "),
        ):
            self.scopes.set(name, value)

    def begin(self, io: PipelineIO) -> None:
        """A new pipeline of the client begins."""
        self.io = io
        self.pipeline_id += 1
        self._steps = 0
        self._guarded = 0
        self._error_sinks.clear()
        del self.scopes.stack[1:]

    # --- what cmdlets ask (commands.Session) ------------------------------------------------------------------------------

    def tick(self) -> None:
        self._steps += 1
        if self._steps % PROGRESS == 0:
            self.io.wait(0)
        if self._steps > MAX_STEPS:
            raise Terminating(not_emulated(f"a pipeline of more than {MAX_STEPS} steps"), script=True)

    def invoke(self, block: ScriptBlock, arguments: Sequence[object] = (), *, item: object = None, has_item: bool = False) -> list[object]:
        output: list[object] = []
        passed = [Passed(None, one) for one in arguments]
        if not has_item:
            self.run_body(block.body, passed, output.append)
            return output
        # The blocks of ForEach-Object and its kin see and change the variables of the scope that they stand in.
        before = [(name, self.scopes.get(name, "local")) for name in ("_", "PSItem")]
        self.scopes.set("_", item)
        self.scopes.set("PSItem", item)
        try:
            self.run_body(block.body, passed, output.append, new_scope=False)
        finally:
            for name, (_, value) in before:
                self.scopes.set(name, value)
        return output

    def run_text(self, text: str) -> list[object]:
        output: list[object] = []
        self.run_body(self._compile(text), (), output.append, new_scope=False)
        return output

    def write_error(self, record: ErrorRecord, action: str = "") -> None:
        action = action or action_name(self.variable("ErrorActionPreference")) or "Continue"
        self._failures += 1
        if action == "Ignore":
            return
        self._remember(record)
        if action == "Stop":
            raise Terminating(record, script=True)
        if action in ("Continue", "Inquire"):
            self._show_error(record)

    def write_stream(self, stream: StreamName, text: str) -> None:
        self.io.record(stream, bounded(text))

    def variable(self, name: str) -> object:
        return self.scopes.get(name)[1]

    def set_variable(self, name: str, value: object, scope: str = "") -> None:
        self.scopes.set(name, value, scope)

    def variables(self) -> dict[str, object]:
        return {**{name: self._automatic(name.lower()) for name in _AUTOMATIC}, **self.scopes.visible()}

    def functions(self) -> list[str]:
        return self.scopes.function_names()

    def format(self, values: Iterable[object]) -> list[str]:
        return format_values(values)

    def member(self, value: object, name: str) -> object:
        return dotnet.get_member(self, value, name)

    def call(self, value: object, name: str) -> object:
        return dotnet.call_member(self, value, name, [])

    def start_program(self, path: str, arguments: Sequence[str], *, line: str, wait: bool, directory: str) -> tuple[list[str], object]:
        found = find_program(self.host, self.environment, self.location, path, here=False)
        if found is None:
            raise fail(
                "This command cannot be run due to the error: The system cannot find the file specified.",
                "InvalidOperationException,Microsoft.PowerShell.Commands.StartProcessCommand",
            )
        text = line or " ".join([f'"{found}"', *arguments])
        with self._program_faults(found):
            outcome = launch(self._world(directory), self.engine.process, found, text)
        handle = dotnet.process_object(outcome.process, ended=True)
        handle.properties["ExitCode"] = outcome.exit_code
        return outcome.output, handle

    def resolve(self, name: str) -> ResolvedCommand | None:
        bare = name.rpartition("\\")[2] if "\\" in name and "-" in name.rpartition("\\")[2] and name[1:2] != ":" else name
        alias = ALIASES.get(bare.lower())
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
        path = find_program(self.host, self.environment, self.location, name, here=False)
        if path is not None:
            return ResolvedCommand(kind="Application", name=ntpath.basename(path), definition=path)
        return None

    # --- scripts and statements -------------------------------------------------------------------------------------------

    def run_body(
        self,
        body: s.Body,
        arguments: Sequence[Passed],
        emit: Emit,
        *,
        piped: Iterable[object] = (),
        new_scope: bool = True,
    ) -> None:
        """Run a script, a function or a script block: bind its parameters, then begin, process for each item that flows in, end."""
        self.tick()
        if new_scope:
            self.scopes.stack.append(Scope())
        try:
            self._bind_script(body, arguments)
            if not body.process and new_scope:
                self.scopes.set("input", list(piped))
            self.statements(body.begin, emit)
            if body.process:
                for one in piped:
                    self.scopes.set("_", one)
                    self.scopes.set("PSItem", one)
                    self.statements(body.process, emit)
            self.statements(body.end, emit)
        except Return:
            return
        finally:
            if new_scope:
                self.scopes.stack.pop()

    def statements(self, statements: Sequence[s.Statement], emit: Emit) -> None:
        """Run statements in order. An error that ends a statement is written, and the next one runs, unless something catches it."""
        for statement in statements:
            try:
                self.statement(statement, emit)
            except Terminating as error:
                self.ok = False
                preference = action_name(self.variable("ErrorActionPreference"))
                if error.script or self._guarded or preference == "Stop":
                    raise
                self._failures += 1
                self._remember(error.record)
                if preference not in ("SilentlyContinue", "Ignore"):
                    self._show_error(error.record)
                self.ok = False

    def statement(self, statement: s.Statement, emit: Emit) -> None:
        match statement:
            case s.Pipeline():
                self._pipeline(statement, emit)
            case s.Assignment():
                self._assign(statement)
                self.ok = True
            case s.If():
                chosen = (body for condition, body in statement.branches if to_bool(self._statement_value(condition)))
                self.statements(next(chosen, statement.otherwise), emit)
            case s.While():
                self._while(statement, emit)
            case s.For():
                self._for(statement, emit)
            case s.Foreach():
                self._foreach(statement, emit)
            case s.Switch():
                self._switch(statement, emit)
            case s.Try():
                self._try(statement, emit)
            case s.Function():
                self.scopes.define(statement.name, statement.body)
            case s.Flow():
                self._flow(statement, emit)

    def _statement_value(self, statement: s.Statement) -> object:
        output: list[object] = []
        self.statement(statement, output.append)
        return collect(output)

    def _flow(self, flow: s.Flow, emit: Emit) -> None:
        match flow.kind:
            case "break":
                raise LoopBreak
            case "continue":
                raise LoopContinue
            case "return":
                if flow.value is not None:
                    self.statement(flow.value, emit)
                raise Return
            case "exit":
                raise Exit(to_int(self._statement_value(flow.value)) if flow.value is not None else 0)
            case "throw":
                self._throw(self._statement_value(flow.value) if flow.value is not None else None, bare=flow.value is None)
            case other:
                raise refuse(f"the keyword '{other}'")

    def _throw(self, value: object, *, bare: bool) -> None:
        current = self.variable("_")
        if bare and isinstance(current, ErrorObject):
            raise Terminating(current.record, script=True)
        if isinstance(value, ErrorObject):
            raise Terminating(value.record, script=True)
        text = to_text(value) if not bare else "ScriptHalted"
        kind = "System.Management.Automation.RuntimeException"
        if isinstance(value, PSObject) and "Message" in value.properties:
            kind, text = value.type_names[0], to_text(value.properties["Message"])
        record = ErrorRecord(
            message=text,
            exception_type=kind,
            error_id=shown(text),
            category="OperationStopped",
            target=shown(text),
            reason=kind.rpartition(".")[2],
        )
        raise Terminating(record, script=True, thrown=value)

    def _loop(self, body: Sequence[s.Statement], emit: Emit) -> bool:
        """Run a loop's body once: whether the loop goes on."""
        self.tick()
        try:
            self.statements(body, emit)
        except LoopBreak:
            return False
        except LoopContinue:
            return True
        return True

    def _while(self, loop: s.While, emit: Emit) -> None:
        if loop.body_first and not self._loop(loop.body, emit):
            return
        while to_bool(self._statement_value(loop.condition)) != loop.until:
            if not self._loop(loop.body, emit):
                return

    def _for(self, loop: s.For, emit: Emit) -> None:
        if loop.start is not None:
            self.statement(loop.start, lambda _: None)
        while loop.condition is None or to_bool(self._statement_value(loop.condition)):
            if not self._loop(loop.body, emit):
                return
            if loop.step is not None:
                self.statement(loop.step, lambda _: None)

    def _foreach(self, loop: s.Foreach, emit: Emit) -> None:
        for value in as_list(self._statement_value(loop.values)):
            self.scopes.set(loop.variable.name, value, loop.variable.scope)
            if not self._loop(loop.body, emit):
                return

    def _switch(self, switch: s.Switch, emit: Emit) -> None:
        before = self.scopes.get("_", "local")[1]
        try:
            self._cases(switch, emit)
        finally:
            self.scopes.set("_", before)

    def _cases(self, switch: s.Switch, emit: Emit) -> None:
        for value in as_list(self._statement_value(switch.condition)):
            self.tick()
            self.scopes.set("_", value)
            matched = False
            try:
                for test, body in switch.clauses:
                    if test is None:
                        continue
                    if self._fits(switch, self.value(test), value):
                        matched = True
                        self.statements(body, emit)
                if not matched:
                    for test, body in switch.clauses:
                        if test is None:
                            self.statements(body, emit)
            except LoopBreak:
                return
            except LoopContinue:
                continue

    def _fits(self, switch: s.Switch, wanted: object, value: object) -> bool:
        if isinstance(wanted, ScriptBlock):
            return to_bool(collect(self.invoke(wanted, item=value, has_item=True)))
        if switch.mode == "wildcard":
            return like(to_text(value), to_text(wanted), case=switch.case_sensitive)
        if switch.mode == "regex":
            pattern = regex(to_text(wanted), switch.case_sensitive)
            return pattern.search(subject(to_text(value), pattern)) is not None
        return equal(value, wanted, case=switch.case_sensitive)

    def _try(self, attempt: s.Try, emit: Emit) -> None:
        try:
            self._guarded += 1
            depth = self.scopes.depth
            try:
                self.statements(attempt.body, emit)
            finally:
                self._guarded -= 1
        except Terminating as error:
            del self.scopes.stack[depth:]
            handler = next((body for types, body in attempt.catches if not types or self._caught(error.record, types)), None)
            if handler is None:
                raise
            value = self._remember(error.record)
            before = self.scopes.get("_", "local")
            self.scopes.set("_", value)
            try:
                self.statements(handler, emit)
            finally:
                self.scopes.set("_", before[1])
        finally:
            self.statements(attempt.finish, emit)

    def _caught(self, record: ErrorRecord, types: tuple[str, ...]) -> bool:
        kind = record.exception_type.lower()
        for name in types:
            low = name.lower()
            if (
                low in ("exception", "system.exception")
                or low == kind
                or f"system.management.automation.{low}" == kind
                or f"system.{low}" == kind
            ):
                return True
        return False

    # --- pipelines --------------------------------------------------------------------------------------------------------

    def _pipeline(self, pipeline: s.Pipeline, emit: Emit) -> None:
        first = pipeline.elements[0]
        if len(pipeline.elements) == 1 and not isinstance(first, s.CommandCall | s.RedirectedExpression):
            value = self._silent(first)
            if value is not _NOTHING:
                for one in each(value):
                    emit(one)
            self.ok = True
            return
        failures = self._failures
        logged: list[CommandRun | Call] = []
        self.ok = True
        try:
            flow: Iterator[object] = iter(())
            piped = False
            for position, element in enumerate(pipeline.elements):
                if isinstance(element, s.CommandCall):
                    flow = self._command(element, flow, piped, logged, last=position == len(pipeline.elements) - 1)
                elif position > 0:
                    raise fail("Expressions are only allowed as the first element of a pipeline.", "ExpressionsMustBeFirstInPipeline")
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
        return CommandRun(name=call.spec.name, kind="Cmdlet", bindings=tuple(call.bindings), pipeline_id=self.pipeline_id)

    def _command(
        self, call: s.CommandCall, flow: Iterator[object], piped: bool, logged: list[CommandRun | Call], *, last: bool
    ) -> Iterator[object]:
        target = self.value(call.name) if call.operator or not isinstance(call.name, s.Literal) else call.name.value
        if call.redirections:
            return self._redirected(call.redirections, lambda: self._invoked(call, target, flow, piped, logged))
        return self._invoked(call, target, flow, piped, logged)

    def _invoked(
        self, call: s.CommandCall, target: object, flow: Iterator[object], piped: bool, logged: list[CommandRun | Call]
    ) -> Iterator[object]:
        passed, native = self._arguments(call.arguments)
        if isinstance(target, ScriptBlock):
            return self._script_stage(target.body, passed, flow, new_scope=call.operator != ".")
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
        return self._named(name, passed, native, flow, piped, logged, dotted=call.operator == ".")

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
    ) -> Iterator[object]:
        found = self.resolve(name)
        if found is not None and found.kind == "Alias":
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
                    return iter([f"PS {self.location}> "])
                return self._script_stage(function[1], passed, flow, new_scope=not dotted)
            case "Cmdlet":
                return self._cmdlet(CMDLETS[found.name.lower()], passed, flow, piped, logged)
            case _:
                return self._native(found.definition, native, flow)

    def _cmdlet(
        self, spec: Cmdlet, passed: Sequence[Passed], flow: Iterator[object], piped: bool, logged: list[CommandRun | Call]
    ) -> Iterator[object]:
        bound, bindings = bind(spec, passed)
        require(spec, bound, piped=piped)
        call = Call(spec=spec, session=self, bound=bound, input=flow, piped=piped, bindings=bindings)
        logged.append(call)
        return self._guard(call)

    def _guard(self, call: Call) -> Iterator[object]:
        """A cmdlet's output; an error that ends it obeys its -ErrorAction."""
        try:
            for one in call.spec.body(call):
                self.tick()
                yield one
        except Terminating as error:
            if error.script or call.action not in ("SilentlyContinue", "Ignore"):
                raise
            self._failures += 1
            if call.action != "Ignore":
                self._remember(error.record)

    def _script_stage(self, body: s.Body, passed: Sequence[Passed], flow: Iterator[object], *, new_scope: bool) -> Iterator[object]:
        output: list[object] = []
        self.run_body(body, passed, output.append, piped=flow, new_scope=new_scope)
        yield from output

    def _native(self, path: str, arguments: Sequence[str], flow: Iterator[object]) -> Iterator[object]:
        stdin = [line for one in flow for line in self.format([one])]
        with self._program_faults(path):
            outcome = launch(self._world(self.location), self.engine.process, path, command_line(path, arguments), stdin=Input.of(stdin))
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
        errors: list[object] = []
        files: list[tuple[s.Redirection, str]] = []
        merged = discarded = False
        for one in redirections:
            named = self.value(one.target) if one.target is not None else None
            if one.stream not in ("1", "2", "*"):
                raise refuse(f"the redirection of stream {one.stream}")
            if one.target is None:
                merged = one.stream in ("2", "*")
            elif named is None:
                discarded = discarded or one.stream in ("1", "*")
            else:
                files.append((one, to_text(named)))
            if one.stream in ("2", "*") and one.target is not None:
                merged = merged and one.stream == "*"
        takes_errors = any(one.stream in ("2", "*") for one in redirections)
        if takes_errors:
            self._error_sinks.append(output.append if merged else errors.append)
        try:
            output += run()
        finally:
            if takes_errors:
                self._error_sinks.pop()
        for one, path in files:
            held = errors if one.stream == "2" else output + (errors if one.stream == "*" else [])
            self._write_file(path, held, append=one.append)
            if one.stream != "2":
                discarded = True
        if not discarded:
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

    # --- arguments --------------------------------------------------------------------------------------------------------

    def _arguments(self, given: Sequence[s.Argument | s.ParameterArgument | s.Verbatim]) -> tuple[list[Passed], list[str]]:
        """Arguments twice: for a cmdlet or function, and as the texts that a native program gets."""
        passed: list[Passed] = []
        native: list[str] = []
        for one in given:
            match one:
                case s.Verbatim():
                    text = dotnet.expand_percent(one.text, self.environment)
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

    def _bind_script(self, body: s.Body, arguments: Sequence[Passed]) -> None:
        """Bind arguments to a `param` block: by name or an unambiguous beginning of it, then by position; the others are `$args`."""
        rest: list[object] = []
        bound: dict[str, object] = {}
        pending: s.ScriptParameter | None = None
        for one in arguments:
            if one.name is None:
                if pending is not None:
                    bound[pending.name] = one.value
                    pending = None
                else:
                    rest.append(one.value)
                continue
            parameter = _script_parameter(body, one.name)
            if parameter is None:
                rest += [f"-{one.name}"] + ([] if one.bare else [one.value])
            elif not one.bare or one.value is not None:
                bound[parameter.name] = one.value
            elif any(kind.lower().endswith("switch") or kind.lower().endswith("switchparameter") for kind in parameter.types):
                bound[parameter.name] = True
            else:
                pending = parameter
        if pending is not None:
            raise Terminating(
                binding_error(
                    "",
                    "MissingArgument",
                    f"Missing an argument for parameter '{pending.name}'. Specify a parameter of type 'System.Object' and try again.",
                    class_name="System.Management.Automation.ParameterBindingException",
                    parameter=pending.name,
                )
            )
        for parameter in body.parameters:
            if parameter.name not in bound and rest and not any(kind.lower().startswith("switch") for kind in parameter.types):
                bound[parameter.name] = rest.pop(0)
        for parameter in body.parameters:
            given = parameter.name in bound
            if not given and parameter.mandatory:
                raise Terminating(
                    binding_error(
                        "",
                        "MissingMandatoryParameter",
                        f"Cannot process command because of one or more missing mandatory parameters: {parameter.name}.",
                        class_name="System.Management.Automation.ParameterBindingException",
                        parameter=parameter.name,
                    )
                )
            value = bound.get(parameter.name)
            if not given and parameter.default is not None:
                value = self.value(parameter.default)
            for kind in reversed(parameter.types):
                if value is not None or given or kind.lower() in ("int", "string", "bool", "switch"):
                    value = dotnet.convert(self, kind, value)
            self.scopes.set(parameter.name, value)
        if body.parameters or rest or arguments:
            self.scopes.set("args", rest)
        if body.parameters:
            self.scopes.set("PSBoundParameters", {name: stored(value) for name, value in bound.items()})

    # --- expressions ------------------------------------------------------------------------------------------------------

    def _silent(self, expression: s.Expression) -> object:
        """An expression as a statement: `++` and a call of a void method write nothing."""
        if isinstance(expression, s.Increment):
            self._increment(expression)
            return _NOTHING
        if isinstance(expression, s.Cast) and expression.type_name.lower() in ("void", "system.void"):
            self.value(expression.operand)
            return _NOTHING
        if isinstance(expression, s.Parenthesis | s.SubExpression | s.Variable):
            value = self.value(expression)
            return _NOTHING if value is None and not isinstance(expression, s.Variable) else value
        value = self.value(expression)
        return _NOTHING if value is None and isinstance(expression, s.Invoke) else value

    def value(self, expression: s.Expression) -> object:
        """What an expression is worth. Raises `Terminating`."""
        match expression:
            case s.Literal():
                return expression.value
            case s.Variable():
                return self._variable(expression)
            case s.Expandable():
                return bounded("".join(part if isinstance(part, str) else self._expanded(self.value(part)) for part in expression.parts))
            case s.Binary():
                return self._binary(expression)
            case s.Unary():
                return self._unary(expression)
            case s.ArrayLiteral():
                return [self.value(one) for one in expression.items]
            case s.ArrayExpression():
                output: list[object] = []
                self.statements(expression.body, output.append)
                return output
            case s.SubExpression():
                found: list[object] = []
                self.statements(expression.body, found.append)
                return collect(found)
            case s.Parenthesis():
                return self._parenthesis(expression)
            case s.Hash():
                return self._hash(expression)
            case s.Block():
                return ScriptBlock(expression.body)
            case s.Cast():
                return self._cast(expression)
            case s.TypeLiteral():
                return TypeValue(dotnet.full_name(expression.type_name))
            case s.Member():
                return self._member(expression)
            case s.Invoke():
                return self._invoke_member(expression)
            case s.Index():
                return dotnet.index(self.value(expression.target), self.value(expression.index))
            case s.Increment():
                return self._increment(expression)

    def _expanded(self, value: object) -> str:
        separator = self.variable("OFS")
        if isinstance(value, list) and separator is not None:
            return bounded(to_text(separator).join(to_text(one) for one in value))
        return to_text(value)

    def _parenthesis(self, expression: s.Parenthesis) -> object:
        if isinstance(expression.body, s.Assignment):
            return self._assign(expression.body)
        if isinstance(expression.body, s.Pipeline) and len(expression.body.elements) == 1:
            first = expression.body.elements[0]
            if not isinstance(first, s.CommandCall | s.RedirectedExpression):
                return self.value(first)
        return self._statement_value(expression.body)

    def _hash(self, expression: s.Hash) -> dict[str, object]:
        table: dict[str, object] = {}
        for key, statement in expression.entries:
            name = to_text(self.value(key))
            if any(held.lower() == name.lower() for held in table):
                raise fail(f"Duplicate keys '{shown(name)}' are not allowed in hash literals.", "DuplicateKeyInHashLiteral", "ParserError")
            table[name] = self._assigned(statement)
        return table

    def _cast(self, expression: s.Cast) -> object:
        low = expression.type_name.lower()
        value = self.value(expression.operand)
        return dotnet.convert(self, low, value)

    def _unary(self, expression: s.Unary) -> object:
        if expression.operator == ",":
            return [self.value(expression.operand)]
        value = self.value(expression.operand)
        match expression.operator:
            case "-not" | "!":
                return not to_bool(value)
            case "-":
                return operators.arithmetic("-", 0, value)
            case "+":
                return to_number(value)
            case "-join":
                return bounded("".join(to_text(one) for one in as_list(value)))
            case "-split" | "-isplit" | "-csplit":
                return operators.unary_split(value)
            case "-bnot":
                return ~to_int(value)
            case other:
                raise refuse(f"the operator '{other}'")

    def _binary(self, expression: s.Binary) -> object:
        operator = expression.operator
        left = self.value(expression.left)
        if operator == "-and" and not to_bool(left):
            return False
        if operator == "-or" and to_bool(left):
            return True
        right = self.value(expression.right)
        match operator:
            case "-and" | "-or" | "-xor":
                return operators.logical(operator, to_bool(left), right)
            case "+" | "-" | "*" | "/" | "%":
                return operators.arithmetic(operator, left, right)
            case "..":
                return self._range(left, right)
            case "-f":
                return operators.format_text(to_text(left), as_list(right) if right is not None else [None])
            case "-band" | "-bor" | "-bxor" | "-shl" | "-shr":
                return operators.bitwise(operator, left, right)
            case "-is" | "-isnot":
                return dotnet.is_type(left, right) == (operator == "-is")
            case "-as":
                try:
                    return dotnet.convert(self, to_text(right), left)
                except Terminating as error:
                    if error.record.error_id == "NotEmulated":
                        raise
                    return None
            case _ if operator.removeprefix("-").removeprefix("i").removeprefix("c") in ("match", "notmatch"):
                answer, groups = operators.match(operator, left, right)
                if groups is not None:
                    self.scopes.set("Matches", dict(groups))
                return answer
            case _:
                return operators.relation(operator.removeprefix("-"), left, right)

    def _range(self, left: object, right: object) -> list[object]:
        first, final = to_int(left), to_int(right)
        if abs(final - first) >= MAX_ITEMS:
            raise refuse(f"a range of more than {MAX_ITEMS} items")
        step = 1 if final >= first else -1
        return list(range(first, final + step, step))

    def _member(self, expression: s.Member) -> object:
        name = to_text(self.value(expression.name))
        if expression.static:
            return dotnet.get_static(self, self._type_name(expression.target), name)
        return dotnet.get_member(self, self.value(expression.target), name)

    def _invoke_member(self, expression: s.Invoke) -> object:
        name = to_text(self.value(expression.name))
        arguments = [self.value(one) for one in expression.arguments]
        if expression.static:
            return dotnet.call_static(self, self._type_name(expression.target), name, arguments)
        return dotnet.call_member(self, self.value(expression.target), name, arguments)

    def _type_name(self, expression: s.Expression) -> str:
        if isinstance(expression, s.TypeLiteral):
            return dotnet.full_name(expression.type_name)
        value = self.value(expression)
        if isinstance(value, TypeValue):
            return value.name
        raise refuse("a static member of something that is not a type")

    # --- variables --------------------------------------------------------------------------------------------------------

    def _automatic(self, name: str) -> object:
        """An automatic variable [about_Automatic_Variables] by its lower-case name; None for what is none."""
        match name:
            case "true":
                return True
            case "false":
                return False
            case "?":
                return self.ok
            case "lastexitcode":
                return self.exit_code
            case "pid":
                return self.engine.process.pid
            case "pwd":
                return dotnet.path_info(self.location)
            case "home":
                return self.environment["USERPROFILE"]
            case "host":
                return dotnet.host_object(self)
            case "error":
                return self.errors
            case "psversiontable":
                return dotnet.version_table(self)
            case "shellid":
                return "Microsoft.PowerShell"
            case "pshome":
                return "C:\\Windows\\System32\\WindowsPowerShell\\v1.0"
            case "psculture" | "psuiculture":
                return "en-US"
            case _:
                return None

    def _variable(self, variable: s.Variable) -> object:
        if variable.scope == "env":
            key = find_key(self.environment, variable.name)  # type: ignore[arg-type]
            return self.environment[key] if key is not None else None
        if variable.scope not in ("", "global", "script", "local", "private", "variable"):
            raise refuse(f"the drive '{shown(variable.scope)}:' in a variable")
        scope = "" if variable.scope == "variable" else variable.scope
        known, value = self.scopes.get(variable.name, "" if scope == "script" else scope)
        if known:
            return value
        if variable.name.lower() in (
            "executioncontext",
            "myinvocation",
            "profile",
            "psscriptroot",
            "pscmdlet",
            "stacktrace",
            "pssenderinfo",
        ):
            raise refuse(f"the variable ${variable.name}")
        return self._automatic(variable.name.lower())

    def _assign(self, assignment: s.Assignment) -> object:
        value = self._assigned(assignment.value)
        if assignment.operator != "=":
            sign = assignment.operator[:-1]
            if sign not in ("+", "-", "*", "/", "%"):
                raise refuse(f"the operator '{assignment.operator}'")
            value = operators.arithmetic(sign, self.value(assignment.target), value)
        self._store(assignment.target, value)
        return value

    def _assigned(self, statement: s.Statement) -> object:
        if isinstance(statement, s.Assignment):
            return self._assign(statement)
        if isinstance(statement, s.Pipeline) and len(statement.elements) == 1:
            only = statement.elements[0]
            if not isinstance(only, s.CommandCall | s.RedirectedExpression):
                return self.value(only)
        return self._statement_value(statement)

    def _store(self, target: s.Expression, value: object) -> None:
        match target:
            case s.Variable(scope="env"):
                key = find_key(self.environment, target.name) or target.name  # type: ignore[arg-type]
                self.environment[key] = to_text(value)
            case s.Variable():
                if target.scope not in ("", "global", "script", "local", "private", "variable"):
                    raise refuse(f"the drive '{shown(target.scope)}:' in a variable")
                low = target.name.lower()
                if low in ("true", "false", "null", "?", "pid", "host", "psversiontable", "home", "pshome", "shellid"):
                    if low == "null":
                        return
                    raise fail(
                        f"Cannot overwrite variable {target.name} because it is read-only or constant.",
                        "VariableNotWritable",
                        "WriteError",
                        low,
                    )
                if low == "lastexitcode":
                    self.exit_code = to_int(value)
                    return
                self.scopes.set(target.name, value, "" if target.scope == "variable" else target.scope)
            case s.Cast():
                self._store(target.operand, dotnet.convert(self, target.type_name, value))
            case s.ArrayLiteral():
                values = as_list(value)
                for place, one in enumerate(target.items):
                    final = place == len(target.items) - 1
                    held: object = values[place] if place < len(values) else None
                    if final and len(values) > len(target.items):
                        held = values[place:]
                    self._store(one, held)
            case s.Member(static=False):
                dotnet.set_member(self.value(target.target), to_text(self.value(target.name)), value)
            case s.Index():
                dotnet.set_index(self.value(target.target), self.value(target.index), value)
            case s.Parenthesis(body=s.Pipeline(elements=(inner,))) if not isinstance(inner, s.CommandCall | s.RedirectedExpression):
                self._store(inner, value)
            case _:
                raise fail("The assignment expression is not valid.", "InvalidLeftHandSide", "ParserError")

    def _increment(self, expression: s.Increment) -> object:
        old = to_number(self.value(expression.target))
        new = operators.arithmetic("+", old, expression.step)
        self._store(expression.target, new)
        return new if expression.before else old

    # --- errors -----------------------------------------------------------------------------------------------------------

    def _remember(self, record: ErrorRecord) -> ErrorObject:
        value = as_object(record)
        if not self.errors or not isinstance(self.errors[0], ErrorObject) or self.errors[0].record is not record:
            self.errors.insert(0, value)
            del self.errors[MAX_ERRORS:]
        return value

    def _show_error(self, record: ErrorRecord) -> None:
        if self._error_sinks:
            self._error_sinks[-1](as_object(record))
        else:
            self.io.error(record)


class _Nothing:
    """The value of a statement that writes nothing."""


_NOTHING = _Nothing()


def _native(passed: Passed) -> str:
    if passed.name is None:
        return quote_argument(to_text(passed.value))
    return f"-{passed.name}" if passed.bare or passed.value is True else quote_argument(f"-{passed.name}:{to_text(passed.value)}")


def _script_parameter(body: s.Body, given: str) -> s.ScriptParameter | None:
    low = given.lower()
    exact = next((one for one in body.parameters if one.name.lower() == low), None)
    begun = [one for one in body.parameters if one.name.lower().startswith(low)]
    return exact or (begun[0] if len(begun) == 1 else None)


def bindings_of(values: Iterable[object]) -> tuple[Binding, ...]:
    """What module logging shows of the input of Out-Default."""
    return tuple(Binding(name="InputObject", value=to_text(one)) for one in values)
