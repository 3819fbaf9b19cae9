"""The state of one session: variables, functions, location, errors, the run that is going on and its bounds.

The first of the classes that make the evaluator, each over the one before: what there is, what expressions are worth, how arguments are
bound, what pipelines run, what statements do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from lab.host.happenings import Engine, Witness
from lab.host.model import Host
from lab.host.powershell import construct, members, objects, statics, types
from lab.host.powershell import syntax as s
from lab.host.powershell.aliases import ALIASES
from lab.host.powershell.commands import HistoryEntry, Session, action_name
from lab.host.powershell.errors import (
    ErrorObject,
    Terminating,
    as_object,
    not_emulated,
)
from lab.host.powershell.format import format_values
from lab.host.powershell.remotes import Remotes
from lab.host.powershell.scopes import Scopes
from lab.host.powershell.values import (
    ScriptBlock,
    bounded,
    is_custom,
    stored,
    to_text,
)
from lab.host.programs.base import PowerShell
from lab.machine import ErrorRecord, PipelineIO, PSObject, StreamName

MAX_STEPS = 1_000_000
"""Steps of one run: iterations of loops and items of pipelines."""
MAX_ERRORS = 256
"""What `$Error` keeps ($MaximumErrorCount)."""
PROGRESS = 512
"""Steps between two questions whether the client wants a stop."""

_AUTOMATIC = (
    *("?", "Error", "ExecutionContext", "false", "HOME", "Host", "LASTEXITCODE", "null", "PID", "PROFILE", "PSCulture"),
    *("PSHOME", "PSUICulture", "PSVersionTable", "PWD", "ShellId", "true"),
)

Emit = Callable[[object], None]


def stream_record(stream: StreamName, text: str) -> PSObject:
    """A record of another stream as a value, as `3>&1` gives it."""
    name = stream.value.capitalize()
    key = "MessageData" if stream is StreamName.INFORMATION else "Message"
    return PSObject(type_names=(f"System.Management.Automation.{name}Record", "System.Object"), properties={key: text}, text=text)


MAX_HISTORY = 4_096
"""Lines that a session remembers: $MaximumHistoryCount as it comes."""


class SessionState(Session):
    """What a runspace keeps from run to run, and what a run counts."""

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
        self._stream_sinks: dict[StreamName, list[Emit]] = {name: [] for name in StreamName}
        self._watchers: list[list[object]] = []
        self._strict = False
        self.aliases = dict(ALIASES)
        self.drive = ""
        self.stack: list[tuple[str, str]] = []
        self.history: list[HistoryEntry] = []
        self._lines_remembered = 0
        for name, value in (
            ("ErrorActionPreference", "Continue"),
            ("WarningPreference", "Continue"),
            ("VerbosePreference", "SilentlyContinue"),
            ("DebugPreference", "SilentlyContinue"),
            ("InformationPreference", "SilentlyContinue"),
            ("ConfirmPreference", "High"),
            ("WhatIfPreference", False),
            ("ProgressPreference", "Continue"),
            ("ErrorView", "NormalView"),
            ("FormatEnumerationLimit", 4),
            ("MaximumHistoryCount", MAX_HISTORY),
            ("NestedPromptLevel", 0),
            ("OutputEncoding", "System.Text.ASCIIEncoding"),
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
        self._watchers.clear()
        for sinks in self._stream_sinks.values():
            sinks.clear()
        del self.scopes.stack[1:]

    # --- what cmdlets ask (commands.Session) ------------------------------------------------------------------------------

    def remember_line(self, text: str, started: datetime) -> None:
        """A line that was run joins the session's history, which forgets the oldest."""
        self._lines_remembered += 1
        self.history.append(HistoryEntry(number=self._lines_remembered, text=text, started=started, ended=self.host.now()))
        del self.history[:-MAX_HISTORY]

    def tick(self) -> None:
        self._steps += 1
        if self._steps % PROGRESS == 0:
            self.io.wait(0)
        if self._steps > MAX_STEPS:
            raise Terminating(not_emulated(f"a pipeline of more than {MAX_STEPS} steps"), script=True)

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
        sinks = self._stream_sinks[stream]
        if sinks:
            sinks[-1](stream_record(stream, bounded(text)))
        else:
            self.io.record(stream, bounded(text))

    def is_redirected(self, stream: StreamName) -> bool:
        """Whether records of the stream go elsewhere than to the client."""
        return bool(self._stream_sinks[stream])

    def variable(self, name: str) -> object:
        return self.scopes.get(name)[1]

    def expand(self, text: str) -> str:
        return statics.expand_percent(text, self.environment)

    def remove_variable(self, name: str) -> bool:
        return self.scopes.remove(name)

    def set_strict(self, strict: bool) -> None:
        self._strict = strict

    def function_body(self, name: str) -> ScriptBlock | None:
        found = self.scopes.function(name)
        return ScriptBlock(found[1]) if found is not None else None

    def define(self, name: str, block: ScriptBlock) -> None:
        self.scopes.define(name, block.body)

    def forget_function(self, name: str) -> bool:
        return self.scopes.forget(name)

    def set_member(self, value: object, name: str, new: object) -> None:
        members.set_member(self, value, name, new)

    def set_variable(self, name: str, value: object, scope: str = "") -> None:
        self.scopes.set(name, value, scope)

    def variables(self) -> dict[str, object]:
        return {**{name: self._automatic(name.lower()) for name in _AUTOMATIC}, **self.scopes.visible()}

    def functions(self) -> list[str]:
        return self.scopes.function_names()

    def format(self, values: Iterable[object]) -> list[str]:
        return format_values(values)

    def member(self, value: object, name: str) -> object:
        return members.get_member(self, value, name)

    def construct(self, type_name: str, arguments: Sequence[object], properties: object) -> object:
        made = construct.new(self, types.full_name(type_name), list(arguments))
        if isinstance(properties, dict):
            if isinstance(made, PSObject) and is_custom(made):
                made.properties.update({to_text(name): stored(one) for name, one in properties.items()})
            else:
                for name, one in properties.items():
                    members.set_member(self, made, to_text(name), one)
        return made

    def call(self, value: object, name: str) -> object:
        return members.call_member(self, value, name, [])

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
                return objects.path_info(self.location)
            case "home":
                return self.environment["USERPROFILE"]
            case "host":
                return objects.host_object(self)
            case "error":
                return self.errors
            case "psversiontable":
                return objects.version_table(self)
            case "shellid":
                return "Microsoft.PowerShell"
            case "pshome":
                return "C:\\Windows\\System32\\WindowsPowerShell\\v1.0"
            case "psculture" | "psuiculture":
                return "en-US"
            case "profile":
                return f"{self.environment['USERPROFILE']}\\Documents\\WindowsPowerShell\\Microsoft.PowerShell_profile.ps1"
            case "executioncontext":
                return objects.execution_context(self)
            case "pssenderinfo" if self.engine.host_name == "ServerRemoteHost":
                return objects.sender_info(self)
            case "stacktrace":
                return ""
            case _:
                return None

    def _remember(self, record: ErrorRecord) -> ErrorObject:
        value = as_object(record)
        for watcher in self._watchers:
            if not any(isinstance(one, ErrorObject) and one.record is record for one in watcher):
                watcher.append(value)
        if not self.errors or not isinstance(self.errors[0], ErrorObject) or self.errors[0].record is not record:
            self.errors.insert(0, value)
            del self.errors[MAX_ERRORS:]
        return value

    def _show_error(self, record: ErrorRecord) -> None:
        if self._error_sinks:
            self._error_sinks[-1](as_object(record))
        else:
            self.io.error(record)
