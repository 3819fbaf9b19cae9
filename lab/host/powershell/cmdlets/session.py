"""Cmdlets about the session itself: host, variables, commands, time to wait, code to run, the way out."""

from __future__ import annotations

from collections.abc import Iterator

from lab.host.powershell.aliases import ALIASES
from lab.host.powershell.commands import CMDLETS, Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import Exit, command_not_found, refuse
from lab.host.powershell.objects import host_object
from lab.host.powershell.values import ScriptBlock, as_list, like, stored, to_number, to_text
from lab.machine import ErrorRecord, PSObject

_UTILITY = "Microsoft.PowerShell.Utility"
_CORE = "Microsoft.PowerShell.Core"
MAX_SLEEP = 86_400.0


@cmdlet("Get-Host", module=_UTILITY)
def get_host(call: Call) -> Iterator[object]:
    """The host of this session."""
    yield host_object(call.session)


@cmdlet("Exit-PSSession", module=_CORE)
def exit_ps_session(call: Call) -> Iterator[object]:
    """Ends what runs; the client closes the session."""
    raise Exit(0)
    yield  # the type of a cmdlet is a generator


@cmdlet("Start-Sleep", at(0, "Seconds", Kind.VALUE), named("Milliseconds", Kind.INT, "m"))
def start_sleep(call: Call) -> Iterator[object]:
    """Let time pass."""
    if not call.given("Seconds") and not call.given("Milliseconds"):
        raise call.missing("Seconds")
    seconds = float(to_number(call.value("Seconds"))) if call.given("Seconds") else call.number("Milliseconds") / 1000
    if not 0 <= seconds <= MAX_SLEEP:
        raise refuse(f"a sleep of {seconds} seconds", activity=call.spec.name)
    call.session.io.wait(seconds)
    yield from ()


@cmdlet("Get-Variable", at(0, "Name", Kind.TEXTS), switch("ValueOnly"), named("Scope"), *absent("Include", "Exclude"), module=_UTILITY)
def get_variable(call: Call) -> Iterator[object]:
    """Variables by name pattern."""
    held = call.session.variables()
    for pattern in call.texts("Name") or ["*"]:
        found = {name: value for name, value in held.items() if like(name, pattern)}
        if not found and not any(char in pattern for char in "*?["):
            call.error(
                ErrorRecord(
                    message=f"Cannot find a variable with the name '{pattern}'.",
                    exception_type="System.Management.Automation.ItemNotFoundException",
                    error_id="VariableNotFound",
                    category="ObjectNotFound",
                    target=pattern,
                )
            )
        for name in sorted(found, key=str.lower):
            if call.switch("ValueOnly"):
                yield found[name]
            else:
                yield PSObject(
                    type_names=("System.Management.Automation.PSVariable", "System.Object"),
                    properties={"Name": name, "Value": stored(found[name])},
                    text="System.Management.Automation.PSVariable",
                )


@cmdlet(
    "Set-Variable",
    at(0, "Name", Kind.TEXTS, mandatory=True),
    at(1, "Value", Kind.VALUE),
    named("Scope"),
    switch("Force"),
    *absent("Option", "Visibility", "Description", "PassThru", "Include", "Exclude", "WhatIf", "Confirm"),
    module=_UTILITY,
)
def set_variable(call: Call) -> Iterator[object]:
    """Set variables."""
    scope = call.text("Scope").lower()
    if scope not in ("", "global", "script", "local"):
        raise refuse(f"Set-Variable -Scope {scope}", activity=call.spec.name)
    for name in call.texts("Name"):
        call.session.set_variable(name, call.value("Value"), scope)
    yield from ()


@cmdlet(
    "Get-Command",
    at(0, "Name", Kind.TEXTS),
    named("CommandType", Kind.TEXTS, "Type"),
    named("Module", Kind.TEXTS),
    *absent("Noun", "Verb", "Syntax", "ArgumentList", "All", "ListImported", "ParameterName", "ParameterType", "FullyQualifiedModule"),
    named("TotalCount", Kind.INT),
    module=_CORE,
)
def get_command(call: Call) -> Iterator[object]:
    """Commands by name pattern: those that this host models."""
    kinds = [one.lower() for one in call.texts("CommandType")]
    left = call.number("TotalCount", 1 << 30)
    for pattern in call.texts_or_input("Name", "Name") or ["*"]:
        wild = any(char in pattern for char in "*?[")
        names = [spec.name for spec in CMDLETS.values()] + list(ALIASES) + call.session.functions() + ["prompt"]
        wanted = [name for name in names if like(name, pattern)] if wild else [pattern]
        found = False
        for name in wanted:
            known = call.session.resolve(name)
            if known is None or (kinds and known.kind.lower() not in kinds and "all" not in kinds):
                continue
            if call.given("Module") and not any(like(known.module, one) for one in call.texts("Module")):
                continue
            found = True
            if left <= 0:
                return
            left -= 1
            yield PSObject(
                type_names=(f"System.Management.Automation.{known.kind}Info", "System.Management.Automation.CommandInfo", "System.Object"),
                properties={
                    "CommandType": known.kind,
                    "Name": known.name,
                    "Version": "3.1.0.0" if known.kind == "Cmdlet" else "10.0.19041.1" if known.kind == "Application" else "",
                    "Source": known.definition if known.kind == "Application" else known.module,
                    "Definition": known.definition,
                    "ModuleName": known.module,
                },
                text=known.name,
            )
        if not found and not wild:
            call.error(command_not_found(pattern))


@cmdlet("Invoke-Expression", at(0, "Command", mandatory=True), module=_UTILITY)
def invoke_expression(call: Call) -> Iterator[object]:
    """Run a text as a script of this session: parsed and evaluated like any other, on the model alone."""
    texts = [call.text("Command")] if call.given("Command") else [to_text(one) for one in call.items("Command")]
    for text in texts:
        yield from call.session.run_text(text)


@cmdlet(
    "Invoke-Command",
    at(0, "ScriptBlock", Kind.BLOCK, mandatory=True),
    named("ArgumentList", Kind.VALUE, "Args"),
    switch("NoNewScope"),
    *absent(
        "ComputerName",
        "Session",
        "Credential",
        "AsJob",
        "FilePath",
        "InputObject",
        "JobName",
        "Port",
        "UseSSL",
        "ConnectionUri",
        "Authentication",
    ),
    module=_CORE,
)
def invoke_command(call: Call) -> Iterator[object]:
    """Run a script block here; anywhere else is refused."""
    block = call.value("ScriptBlock")
    if isinstance(block, ScriptBlock):
        yield from call.session.invoke(block, as_list(call.value("ArgumentList")))
