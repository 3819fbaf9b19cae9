"""Windows PowerShell: 400, 403, 600, 800 of the classic log; of the new one 4103 (module logging), 4104 (script block logging), 53504 (an
engine's debugging pipe) and 40961, 40962 (powershell.exe comes up).

Pure. Texts are laid out as recorded, blanks and line ends included: a line of 4103's ContextInfo ends in CRLF right after its value,
and whoever wants another end there must say so in a rule, not here. It must never know what a command does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from harness.events.windows import Level
from lab.host.happenings import CommandRun, Engine
from lab.host.telemetry.journal import Entry, Provider
from lab.host.telemetry.suspicious import is_suspicious

CLASSIC = Provider(channel="Windows PowerShell", name="PowerShell", guid=None)
OPERATIONAL = Provider(
    channel="Microsoft-Windows-PowerShell/Operational",
    name="Microsoft-Windows-PowerShell",
    guid="{A0C1853B-5C40-4B15-8766-3CF1C58F985A}",
)

# Every engine starts these before it is available, in this order.
PROVIDERS = ("Registry", "Alias", "Environment", "FileSystem", "Function", "Variable")

# A script block of at least LONG_SCRIPT characters is logged in parts (PowerShell's CompiledScriptBlock.cs): an event holds 64 KiB.
LONG_SCRIPT = 20_000

# What PowerShell puts into one 800 (EventLogLogProvider.cs), in characters; what a string of a
# classic record takes (EventLog.WriteEvent), in characters; what an ETW event takes (EventProvider), in bytes.
_DETAIL_PART = 16_000
_CLASSIC_STRING = 32_766
_ETW_EVENT = 65_482

_CLASSIC_KEYWORDS = 0x80000000000000
_SERVER_HOST, CONSOLE_HOST = "ServerRemoteHost", "ConsoleHost"


def provider_started(engine: Engine, provider: str, sequence: int) -> Entry:
    """600. Providers start before the engine has a version or a runspace to name."""
    details = _details(engine, (f"ProviderName={provider}", "NewProviderState=Started"), sequence, engine_version="", runspace_id="")
    return _classic(600, 6, (provider, "Started", details), f'Provider "{provider}" is Started. \r\n\r\nDetails: \r\n{details}')


def engine_started(engine: Engine, sequence: int) -> Entry:
    """400, the engine is available."""
    return _engine_state(engine, 400, "None", "Available", sequence)


def engine_stopped(engine: Engine, sequence: int) -> Entry:
    """403, the engine stopped."""
    return _engine_state(engine, 403, "Available", "Stopped", sequence)


def pipeline_details(engine: Engine, commands: Sequence[CommandRun], sequence: int) -> tuple[Entry, ...]:
    """800, the classic log's twin of 4103: in several parts, between lines, where there is much to tell.

    It names the line in which the pipeline's first command begins. None where that is longer than a classic record takes: PowerShell
    passes over the refusal, and the record is lost.
    """
    first = commands[0]
    parts = [""]
    for line in _invocations(commands):
        if parts[-1] and len(parts[-1]) + len(line) >= _DETAIL_PART:
            parts.append("")
        parts[-1] += line
    entries = []
    for number, details in enumerate(parts, start=1):
        context = _indented(
            (
                f"DetailSequence={number}",
                f"DetailTotal={len(parts)}",
                "",
                f"SequenceNumber={sequence}",
                "",
                f"UserId={_user(engine)}",
                *_host(engine),
                f"EngineVersion={engine.version}",
                f"RunspaceId={engine.runspace_id}",
                f"PipelineId={first.pipeline_id}",
                f"ScriptName={first.script_name}",
                f"CommandLine={first.line}",
            )
        )
        if len(context) > _CLASSIC_STRING:
            return ()
        message = (
            f"Pipeline execution details for command line: {first.line}. \r\n\r\nContext Information: \r\n{context} \r\n\r\n"
            f"Details: \r\n{details}"
        )
        entries.append(_classic(800, 8, (first.line, context, details), message))
    return tuple(entries)


def commands_run(engine: Engine, commands: Sequence[CommandRun], sequence: int, activity_id: str) -> tuple[Entry, ...]:
    """4103, one for a pipeline: its context is the first command's, its payload has all of them.

    None where it would not fit into an ETW event: PowerShell does not split it, and the record is lost, as on a real host.
    """
    first = commands[0]
    context = "".join(
        f"        {name} = {value}\r\n"
        for name, value in (
            ("Severity", "Informational"),
            ("Host Name", engine.host_name),
            ("Host Version", engine.host_version),
            ("Host ID", str(engine.host_id)),
            ("Host Application", host_application(engine.process.command_line)),
            ("Engine Version", engine.version),
            ("Runspace ID", str(engine.runspace_id)),
            ("Pipeline ID", str(first.pipeline_id)),
            ("Command Name", first.name),
            ("Command Type", first.kind),
            ("Script Name", first.script_name),
            ("Command Path", ""),
            ("Sequence Number", str(sequence)),
            ("User", _user(engine)),
            ("Connected User", _user(engine) if engine.host_name == _SERVER_HOST else ""),
            ("Shell ID", "Microsoft.PowerShell"),
        )
    )
    payload = "".join(_invocations(commands))
    if len(f"{context}{payload}".encode("utf-16-le", "surrogatepass")) > _ETW_EVENT:
        return ()
    entry = _operational(
        engine,
        4103,
        Level.INFORMATION,
        task=106,
        opcode=20,
        activity_id=activity_id,
        data={"ContextInfo": context, "UserData": "", "Payload": payload},
        message=f"{payload}\r\n\r\nContext:\r\n{context}\r\n\r\nUser Data:\r\n\r\n",
    )
    return (entry,)


def script_block(engine: Engine, text: str, block_id: UUID, segment: int, activity_id: str) -> tuple[Entry, ...]:
    """4104 for a script block that was compiled, in parts of `segment` characters where it is long.

    A warning where the text has a word of PowerShell's list, which is logged whatever the policy says; verbose else.
    """
    parts = [text]
    if len(text) >= LONG_SCRIPT:
        # PowerShell counts one part more than fit: a text that divides evenly ends in an empty one.
        parts = [text[start : start + segment] for start in range(0, len(text) + 1, segment)]
    level = Level.WARNING if is_suspicious(text) else Level.VERBOSE
    return tuple(
        _operational(
            engine,
            4104,
            level,
            task=2,
            opcode=15,
            activity_id=activity_id,
            data={
                "MessageNumber": str(number),
                "MessageTotal": str(len(parts)),
                "ScriptBlockText": part,
                "ScriptBlockId": str(block_id),
                "Path": "",
            },
            message=f"Creating Scriptblock text ({number} of {len(parts)}):\r\n{part}\r\n\r\nScriptBlock ID: {block_id}\r\nPath: ",
        )
        for number, part in enumerate(parts, start=1)
    )


def pipe_opened(engine: Engine, activity_id: str) -> Entry:
    """53504: every engine's process listens on a named pipe for debuggers. Its values have no names but their numbers."""
    pid, domain = str(engine.process.pid), "DefaultAppDomain"
    return _operational(
        engine,
        53504,
        Level.INFORMATION,
        task=111,
        opcode=10,
        activity_id=activity_id,
        data={"param1": pid, "param2": domain},
        message=f"Windows PowerShell has started an IPC listening thread on process: {pid} in AppDomain: {domain}.",
    )


def console_starting(engine: Engine, activity_id: str) -> Entry:
    """40961, of powershell.exe alone."""
    return _console(engine, 40961, 1, "PowerShell console is starting up", activity_id)


def console_ready(engine: Engine, activity_id: str) -> Entry:
    """40962, of powershell.exe alone."""
    return _console(engine, 40962, 2, "PowerShell console is ready for user input", activity_id)


def _console(engine: Engine, event_id: int, opcode: int, message: str, activity_id: str) -> Entry:
    return _operational(engine, event_id, Level.INFORMATION, task=4, opcode=opcode, activity_id=activity_id, data={}, message=message)


def _operational(
    engine: Engine, event_id: int, level: Level, *, task: int, opcode: int, activity_id: str, data: Mapping[str, str], message: str
) -> Entry:
    """What all records of the operational log share: the engine's process writes them, as the account it runs under."""
    return Entry(
        provider=OPERATIONAL,
        event_id=event_id,
        version=1,
        level=level,
        task=task,
        opcode=opcode,
        keywords=0,
        process_id=engine.process.pid,
        user_sid=engine.process.logon.account.sid,
        activity_id=activity_id,
        data=data,
        message=message,
    )


def host_application(command_line: str) -> str:
    """The command line as PowerShell reports it: split into arguments and joined by blanks, so that quotes are lost.

    Splits as CommandLineToArgvW does: 2n backslashes before a quote stand for n, one more makes the quote a character.
    """
    arguments: list[str] = []
    current: list[str] = []
    quoted = started = False
    backslashes = 0
    for char in command_line:
        if char == "\\":
            backslashes += 1
            continue
        if char == '"':
            current.append("\\" * (backslashes // 2))
            if backslashes % 2:
                current.append('"')
            else:
                quoted = not quoted
            started = True
        else:
            current.append("\\" * backslashes)
            started = started or backslashes > 0
            if char in " \t" and not quoted:
                if started:
                    arguments.append("".join(current))
                current, started = [], False
            else:
                current.append(char)
                started = True
        backslashes = 0
    if started or backslashes:
        arguments.append("".join(current) + "\\" * backslashes)
    return " ".join(arguments)


def _engine_state(engine: Engine, event_id: int, old: str, new: str, sequence: int) -> Entry:
    details = _details(
        engine,
        (f"NewEngineState={new}", f"PreviousEngineState={old}"),
        sequence,
        engine_version=engine.version,
        runspace_id=str(engine.runspace_id),
    )
    message = f"Engine state is changed from {old} to {new}. \r\n\r\nDetails: \r\n{details}"
    return _classic(event_id, 4, (new, old, details), message)


def _classic(event_id: int, task: int, strings: tuple[str, ...], message: str) -> Entry:
    return Entry(
        provider=CLASSIC,
        event_id=event_id,
        version=0,
        level=Level.INFORMATION,
        task=task,
        opcode=0,
        keywords=_CLASSIC_KEYWORDS,
        process_id=0,
        strings=strings,
        message=message,
    )


def _details(engine: Engine, head: Sequence[str], sequence: int, *, engine_version: str, runspace_id: str) -> str:
    return _indented(
        (
            *head,
            "",
            f"SequenceNumber={sequence}",
            "",
            *_host(engine),
            f"EngineVersion={engine_version}",
            f"RunspaceId={runspace_id}",
            "PipelineId=",
            "CommandName=",
            "CommandType=",
            "ScriptName=",
            "CommandPath=",
            "CommandLine=",
        )
    )


def _host(engine: Engine) -> tuple[str, ...]:
    return (
        f"HostName={engine.host_name}",
        f"HostVersion={engine.host_version}",
        f"HostId={engine.host_id}",
        f"HostApplication={host_application(engine.process.command_line)}",
    )


def _indented(lines: Sequence[str]) -> str:
    return "\r\n".join(f"\t{line}" if line else "" for line in lines)


def _invocations(commands: Sequence[CommandRun]) -> tuple[str, ...]:
    # All commands of a pipeline are begun before an object flows: bindings of pipeline input come after every invocation.
    begun: list[str] = []
    flowed: list[str] = []
    for command in commands:
        begun.append(f'CommandInvocation({command.name}): "{command.name}"\r\n')
        for binding in command.bindings:
            line = f'ParameterBinding({command.name}): name="{binding.name}"; value="{binding.value}"\r\n'
            (flowed if binding.name == "InputObject" else begun).append(line)
    return (*begun, *flowed)


def _user(engine: Engine) -> str:
    account = engine.process.logon.account
    return f"{account.domain}\\{account.name}"
