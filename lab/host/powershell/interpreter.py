"""The door to the emulated PowerShell: one `Interpreter` is one runspace. It runs what PSRP asks for and answers with values and records.

Here requests become pipelines, and whatever goes wrong becomes an error record: nothing but `PipelineStopped` leaves `run`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence

from lab.host.happenings import CommandRun, Engine, Process, Witness
from lab.host.model import Host
from lab.host.powershell import cmdlets
from lab.host.powershell.aliases import ALIASES
from lab.host.powershell.commands import CMDLETS, COMMON, Call, Cmdlet, Passed
from lab.host.powershell.errors import (
    ErrorObject,
    Exit,
    LoopBreak,
    LoopContinue,
    Return,
    Terminating,
    as_object,
    display,
    host_failed,
    internal_fault,
    not_emulated,
    parse_error,
)
from lab.host.powershell.evaluate import Evaluator
from lab.host.powershell.format import Writer
from lab.host.powershell.parse import ParseFault, Refused, parse
from lab.host.powershell.pipelines import bindings_of
from lab.host.powershell.state import Emit
from lab.host.powershell.syntax import Body
from lab.host.powershell.transfers import recognised
from lab.host.powershell.values import to_text, to_wire
from lab.host.programs.base import Input, Patience, World
from lab.machine import (
    Command,
    CommandMetadata,
    ErrorRecord,
    HostFailed,
    Parameter,
    PipelineIO,
    PipelineRequest,
    PipelineStopped,
    Progress,
    PSObject,
    PSValue,
    Question,
    StreamName,
)

MAX_OUTPUT = 200_000
"""Objects that one pipeline writes to its client."""
MAX_SCRIPT_BLOCKS = 10_000
VERSION = "5.1.19041.1"

assert cmdlets.MODULES, "the cmdlets register themselves when they are imported"


class Interpreter:
    """One runspace: its variables, functions and location live from run to run.

    `witness` is told of commands, script blocks and child engines; processes are told by the host itself. Not for several threads: the
    pipelines of a runspace come one after the other.
    """

    def __init__(
        self, host: Host, engine: Engine, witness: Witness, *, depth: int = 0, sender: Mapping[str, PSValue] | None = None
    ) -> None:
        self._host = host
        self._engine = engine
        self._witness = witness
        self._session = Evaluator(host, engine, witness, _Nowhere(), ConsolePowerShell(host, witness), self._compile, depth)
        self._logged: set[str] = set()
        self._left: int | None = None
        if sender is not None:
            self._session.scopes.set("PSSenderInfo", sender_info(engine, sender))

    def run(self, request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        """Run a pipeline to its end: None, or the record that ended it. Raises `PipelineStopped`, nothing else."""
        if not request.add_to_history:
            return self._run(request, io)
        started = self._host.now()
        try:
            return self._run(request, io)
        finally:
            line = " | ".join(one.text for one in request.commands if not _is_out_default(one))
            self._session.remember_line(line, started)

    def _run(self, request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        self._left = None
        try:
            self._session.begin(io)
            given, piped = iter(request.input), request.has_input
            for group in _statements(request.commands):
                self._group(group, given, piped, io)
                given, piped = iter(()), False  # it belongs to the first statement
        except Terminating as error:
            self._session.ok = False
            self._session.errors.insert(0, as_object(error.record))
            return error.record
        except Exit as leaving:
            self._left = leaving.code
        except (LoopBreak, LoopContinue, Return):
            return None
        except RecursionError:
            return ErrorRecord(
                message="The script failed due to call depth overflow.",
                exception_type="System.Management.Automation.ScriptCallDepthException",
                error_id="CallDepthOverflow",
                category="InvalidOperation",
            )
        except PipelineStopped:
            raise
        except HostFailed as fault:
            return host_failed(fault.message)
        # The edge of the emulation: whatever text a client sends, the runspace must live on and the fault must be told, not hidden.
        except Exception as fault:  # noqa: BLE001
            return internal_fault(fault)
        return None

    def command_metadata(self, names: Sequence[str]) -> Sequence[CommandMetadata]:
        """What GET_COMMAND_METADATA [MS-PSRP 2.2.2.14] finds for name patterns."""
        found: list[CommandMetadata] = []
        for pattern in names:
            low = pattern.lower()
            found += [_metadata(spec) for name, spec in CMDLETS.items() if fnmatch.fnmatchcase(name, low)]
            functions = ["prompt", *self._session.functions()]
            found += [CommandMetadata(name=name, command_type=2) for name in functions if fnmatch.fnmatchcase(name.lower(), low)]
            found += [CommandMetadata(name=name, command_type=1) for name in ALIASES if fnmatch.fnmatchcase(name, low)]
        return found

    def close(self) -> None:
        """The runspace ends, and with it the sessions that it opened elsewhere."""
        self._session.remotes.close_all()

    # --- one statement of a request ---------------------------------------------------------------------------------------

    def _group(self, commands: Sequence[Command], given: Iterator[PSValue], piped: bool, io: PipelineIO) -> None:
        sink: Emit = _Output(io).write
        shown: list[object] = []
        default = commands[-1] if len(commands) > 1 and _is_out_default(commands[-1]) else None
        writer = Writer()
        if default is not None and io.has_host:

            def show(value: object) -> None:
                shown.append(value)
                if isinstance(value, ErrorObject):
                    for line in writer.close():
                        io.host_write_line(line)
                    for line in display(value.record):
                        io.host_write_error_line(line)
                    return
                for line in writer.write(value):
                    io.host_write_line(line)

            sink = show
        logged: list[CommandRun | Call] = []
        try:
            self._stages(commands if default is None else commands[:-1], given, piped, sink, logged)
        finally:
            for line in writer.close():
                io.host_write_line(line)
            if default is not None:
                run = CommandRun(name="Out-Default", kind="Cmdlet", bindings=bindings_of(shown), pipeline_id=self._session.pipeline_id)
                logged.append(run)
            self._session.log(logged)

    def _stages(
        self, commands: Sequence[Command], given: Iterator[PSValue], piped: bool, sink: Emit, logged: list[CommandRun | Call]
    ) -> None:
        flow: Iterator[object] = given
        merging = sum(1 for one in commands if one.merge_to_output)
        for _ in range(merging):
            self._session.push_error_sink(sink)
        try:
            for position, command in enumerate(commands):
                passed = [_passed(one) for one in command.parameters]
                transfer = recognised(command.text) if command.is_script else None
                if transfer is not None:
                    self._log_script(command.text)
                    flow = transfer(self._session, passed, flow)
                elif command.is_script:
                    body = self._compile(command.text)
                    if position == len(commands) - 1:
                        local = bool(command.use_local_scope)
                        self._session.run_body(body, passed, sink, piped=flow if piped else None, new_scope=local)
                        return
                    flow = iter(self._collected(body, passed, flow if piped else None, new_scope=bool(command.use_local_scope)))
                else:
                    flow = self._session.run_command(command.text, passed, flow, piped, logged)
                piped = True
            for value in flow:
                sink(value)
        finally:
            for _ in range(merging):
                self._session.pop_error_sink()

    def _collected(self, body: Body, passed: Sequence[Passed], flow: Iterator[object] | None, *, new_scope: bool) -> list[object]:
        output: list[object] = []
        self._session.run_body(body, passed, output.append, piped=flow, new_scope=new_scope)
        return output

    def _compile(self, text: str) -> Body:
        """Parse a script and log it as Windows does: once for each text of an engine, whether it is valid is told first."""
        try:
            body = parse(text)
        except ParseFault as fault:
            raise Terminating(parse_error(fault.message, fault.line, fault.error_id), script=True) from None
        except Refused as refused:
            raise Terminating(not_emulated(refused.construct), script=True) from None
        self._log_script(text)
        return body

    def _log_script(self, text: str) -> None:
        if text not in self._logged and len(self._logged) < MAX_SCRIPT_BLOCKS:
            self._logged.add(text)
            self._witness.script_block(self._engine, text)

    @property
    def exit_code(self) -> int:
        """The code with which a powershell.exe ends after its script: what `exit` said, else whether the last statement succeeded."""
        if self._left is not None:
            return self._left
        return 0 if self._session.ok else 1


class ConsolePowerShell:
    """The engine in a powershell.exe, each run a new one (a `lab.host.programs.base.PowerShell`)."""

    def __init__(self, host: Host, witness: Witness) -> None:
        self._host = host
        self._witness = witness

    def __call__(self, world: World, process: Process, text: str, stdin: Input) -> tuple[list[str], list[str], int]:
        """Run a script. Standard input is read only for a script that has `$input` in it, as nothing else could see it."""
        engine = Engine(
            host_name="ConsoleHost",
            host_version=VERSION,
            host_id=self._host.new_uuid(),
            runspace_id=self._host.new_uuid(),
            version=VERSION,
            process=process,
        )
        inner = Interpreter(self._host, engine, self._witness, depth=world.depth)
        inner._session.environment = dict(world.environment)
        inner._session.location = world.directory
        console = _Console(world.io)
        given: tuple[PSValue, ...] = tuple(stdin.rest()) if "$input" in text.lower() else ()
        self._witness.engine_started(engine)
        try:
            commands = (Command(text=text, is_script=True), Command(text="Out-Default", is_script=False))
            record = inner.run(PipelineRequest(commands=commands, input=given, has_input=bool(given)), console)
        finally:
            inner.close()
            self._witness.engine_stopped(engine)
        if record is not None:
            console.error(record)
            return console.lines, console.errors, 1
        return console.lines, console.errors, inner.exit_code


def sender_info(engine: Engine, arguments: Mapping[str, PSValue]) -> PSObject:
    """$PSSenderInfo: who opened this remote session, and with which application arguments."""
    account = engine.process.logon.account
    identity = PSObject(
        type_names=("System.Management.Automation.Remoting.PSIdentity", "System.Object"),
        properties={"AuthenticationType": "Negotiate", "IsAuthenticated": True, "Name": f"{account.domain}\\{account.name}"},
    )
    principal = PSObject(
        type_names=("System.Management.Automation.Remoting.PSPrincipal", "System.Object"), properties={"Identity": identity}
    )
    return PSObject(
        type_names=("System.Management.Automation.Remoting.PSSenderInfo", "System.Object"),
        properties={
            "UserInfo": principal,
            "ConnectionString": "http://localhost:5985/wsman?PSVersion=5.1.19041.1",
            "ApplicationArguments": dict(arguments),
        },
        text="System.Management.Automation.Remoting.PSSenderInfo",
    )


def _passed(one: Parameter) -> Passed:
    """An argument as it was sent: a token that was typed keeps its dash, and says by its colon whether a value came with it."""
    if one.name is None:
        return Passed(None, one.value)
    if not one.name.startswith("-"):
        return Passed(one.name, one.value, bare=one.value is True)
    name = one.name[1:]
    return Passed(name[:-1], one.value) if name.endswith(":") else Passed(name, one.value, bare=one.value is None)


def _metadata(spec: Cmdlet) -> CommandMetadata:
    return CommandMetadata(
        name=spec.name,
        command_type=8,
        namespace=spec.module,
        output_types=(spec.output,) if spec.output else (),
        parameters=tuple(one.name for one in spec.parameters + COMMON),
    )


def _statements(commands: Sequence[Command]) -> Iterator[list[Command]]:
    group: list[Command] = []
    for command in commands:
        group.append(command)
        if command.end_of_statement:
            yield group
            group = []
    if group:
        yield group


def _is_out_default(command: Command) -> bool:
    return not command.is_script and command.text.lower().rpartition("\\")[2] in ("out-default", "out-host")


class _Output:
    """The client's output stream, with a bound."""

    def __init__(self, io: PipelineIO) -> None:
        self._io = io
        self._count = 0

    def write(self, value: object) -> None:
        self._count += 1
        if self._count > MAX_OUTPUT:
            raise Terminating(not_emulated(f"a pipeline with more than {MAX_OUTPUT} objects of output"), script=True)
        self._io.output(to_wire(value))


class _Console:
    """The console of a child powershell.exe: everything becomes lines; waiting is the client's."""

    def __init__(self, io: Patience) -> None:
        self._io = io
        self._open = ""
        self.lines: list[str] = []
        self.errors: list[str] = []

    @property
    def has_host(self) -> bool:
        return True

    def output(self, value: PSValue) -> None:
        self.host_write_line(to_text(value))

    def error(self, record: ErrorRecord) -> None:
        self.errors += display(record)

    def record(self, stream: StreamName, text: str) -> None:
        if stream is not StreamName.INFORMATION:
            self.host_write_line(f"{stream.value.upper()}: {text}")

    def progress(self, record: Progress) -> None:
        pass  # drawn over and gone

    def ask(self, question: Question) -> PSValue:
        raise HostFailed("PowerShell is in NonInteractive mode. Read and Prompt functionality is not available.")

    def host_write_line(self, text: str) -> None:
        self.lines.append(self._open + text)
        self._open = ""

    def host_write(self, text: str) -> None:
        self._open += text

    def host_write_error_line(self, text: str) -> None:
        self.errors.append(text)

    def wait(self, seconds: float) -> None:
        self._io.wait(seconds)


class _Nowhere:
    """What a session has for a client between its runs: nothing."""

    @property
    def has_host(self) -> bool:
        return False

    def output(self, value: PSValue) -> None:
        raise PipelineStopped

    def error(self, record: ErrorRecord) -> None:
        raise PipelineStopped

    def record(self, stream: StreamName, text: str) -> None:
        raise PipelineStopped

    def progress(self, record: Progress) -> None:
        raise PipelineStopped

    def ask(self, question: Question) -> PSValue:
        raise PipelineStopped

    def host_write_line(self, text: str) -> None:
        raise PipelineStopped

    def host_write(self, text: str) -> None:
        raise PipelineStopped

    def host_write_error_line(self, text: str) -> None:
        raise PipelineStopped

    def wait(self, seconds: float) -> None:
        raise PipelineStopped
