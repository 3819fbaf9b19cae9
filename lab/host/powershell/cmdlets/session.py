"""Cmdlets about the session itself: host, variables, commands, time to wait, code to run, the way out."""

from __future__ import annotations

from collections.abc import Iterator

from lab.host.powershell.cmdlets.drives import command_info
from lab.host.powershell.commands import CMDLETS, Call, Cmdlet, Kind, ResolvedCommand, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import Exit, command_not_found, refuse
from lab.host.powershell.objects import host_object, version
from lab.host.powershell.operators import time_span
from lab.host.powershell.values import as_list, custom, like, stored, to_int, to_number, to_text
from lab.machine import ErrorRecord, PSObject, PSValue

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
    named("Module", Kind.TEXTS, "PSSnapin"),
    named("Noun", Kind.TEXTS),
    named("Verb", Kind.TEXTS),
    named("ParameterName", Kind.TEXTS),
    named("TotalCount", Kind.INT),
    switch("All"),
    switch("Syntax"),
    switch("ListImported"),
    *absent("ArgumentList", "ParameterType", "FullyQualifiedModule"),
    module=_CORE,
)
def get_command(call: Call) -> Iterator[object]:
    """Commands by name pattern: those that this host models."""
    kinds = [one.lower() for one in call.texts("CommandType")]
    left = call.number("TotalCount", 1 << 30)
    for pattern in call.texts_or_input("Name", "Name") or ["*"]:
        wild = any(char in pattern for char in "*?[")
        names = [spec.name for spec in CMDLETS.values()] + list(call.session.aliases) + call.session.functions() + ["prompt"]
        wanted = sorted((name for name in names if like(name, pattern)), key=str.lower) if wild else [pattern]
        found = False
        for name in wanted:
            known = call.session.resolve(name)
            if known is None or not _fits_command(call, known, kinds):
                continue
            found = True
            if left <= 0:
                return
            left -= 1
            if call.switch("Syntax") and known.kind == "Cmdlet":
                yield syntax(CMDLETS[known.name.lower()])
                continue
            versions = {"Cmdlet": "3.1.0.0", "Application": "10.0.19041.1"}
            source = known.definition if known.kind == "Application" else known.module
            info = command_info(known.kind, known.name, known.definition, source=source, version=versions.get(known.kind, ""))
            if known.kind == "Application":
                info.properties["Path"] = known.definition
            if known.kind == "Cmdlet":
                info.properties["Definition"] = syntax(CMDLETS[known.name.lower()])
                info.properties["Noun"] = known.name.partition("-")[2]
                info.properties["Verb"] = known.name.partition("-")[0]
            yield info
        if not found and not wild:
            call.error(command_not_found(pattern))


def _fits_command(call: Call, known: ResolvedCommand, kinds: list[str]) -> bool:
    if kinds and known.kind.lower() not in kinds and "all" not in kinds:
        return False
    verb, _, noun = known.name.partition("-")
    for name, held in (("Module", known.module), ("Verb", verb), ("Noun", noun)):
        if call.given(name) and not any(like(held, one) for one in call.texts(name)):
            return False
    if call.given("ParameterName"):
        spec = CMDLETS.get(known.name.lower())
        names = [one.name for one in spec.parameters] if spec is not None else []
        return any(like(one, wanted) for one in names for wanted in call.texts("ParameterName"))
    return True


@cmdlet("Invoke-Expression", at(0, "Command", mandatory=True), module=_UTILITY)
def invoke_expression(call: Call) -> Iterator[object]:
    """Run a text as a script of this session: parsed and evaluated like any other, on the model alone."""
    texts = [call.text("Command")] if call.given("Command") else [to_text(one) for one in call.items("Command")]
    for text in texts:
        yield from call.session.run_text(text)


@cmdlet(
    "New-Variable",
    at(0, "Name", mandatory=True),
    at(1, "Value", Kind.VALUE),
    named("Scope"),
    named("Option"),
    switch("Force"),
    module=_UTILITY,
)
def new_variable(call: Call) -> Iterator[object]:
    """Make a variable that there is not yet."""
    name = call.text("Name")
    if name.lower() in (one.lower() for one in call.session.variables()) and not call.switch("Force"):
        call.error(
            ErrorRecord(
                message=f"A variable with name '{name}' already exists.",
                exception_type="System.Management.Automation.SessionStateException",
                error_id="VariableAlreadyExists",
                category="ResourceExists",
                target=name,
            )
        )
        return
    call.session.set_variable(name, call.value("Value"), call.text("Scope").lower())
    yield from ()


@cmdlet("Remove-Variable", at(0, "Name", Kind.TEXTS, mandatory=True), switch("Force"), named("Scope"), module=_UTILITY, changes=True)
def remove_variable(call: Call) -> Iterator[object]:
    """Take variables away."""
    for pattern in call.texts("Name"):
        wild = any(char in pattern for char in "*?[")
        names = [name for name in call.session.variables() if like(name, pattern)] if wild else [pattern]
        for name in names:
            if not call.session.remove_variable(name) and not wild:
                call.error(
                    ErrorRecord(
                        message=f"Cannot find a variable with the name '{name}'.",
                        exception_type="System.Management.Automation.ItemNotFoundException",
                        error_id="VariableNotFound",
                        category="ObjectNotFound",
                        target=name,
                    )
                )
    yield from ()


@cmdlet("Clear-Variable", at(0, "Name", Kind.TEXTS, mandatory=True), switch("Force"), named("Scope"), module=_UTILITY, changes=True)
def clear_variable(call: Call) -> Iterator[object]:
    """Make variables empty."""
    for name in call.texts("Name"):
        call.session.set_variable(name, None)
    yield from ()


@cmdlet("Get-Alias", at(0, "Name", Kind.TEXTS), named("Definition", Kind.TEXTS), *absent("Exclude", "Scope"), module=_UTILITY)
def get_alias(call: Call) -> Iterator[object]:
    """Aliases by name, or by what they stand for."""
    held = call.session.aliases
    patterns = call.texts("Name") or ["*"]
    for pattern in patterns:
        found = False
        for name in sorted(held):
            if like(name, pattern) and (not call.given("Definition") or any(like(held[name], one) for one in call.texts("Definition"))):
                found = True
                yield command_info("Alias", name, held[name])
        if not found and (not any(char in pattern for char in "*?[") or call.given("Definition")):
            what = f"name '{pattern}'" if not call.given("Definition") else f"definition '{call.text('Definition')}'"
            call.error(
                ErrorRecord(
                    message=f"This command cannot find a matching alias because an alias with the {what} does not exist.",
                    exception_type="System.Management.Automation.ItemNotFoundException",
                    error_id="ItemNotFoundException",
                    category="ObjectNotFound",
                    target=pattern,
                )
            )


@cmdlet(
    "Set-Alias",
    at(0, "Name", mandatory=True),
    at(1, "Value", mandatory=True),
    named("Description"),
    named("Option"),
    named("Scope"),
    switch("Force"),
    switch("PassThru"),
    module=_UTILITY,
    changes=True,
)
def set_alias(call: Call) -> Iterator[object]:
    """Let a name stand for a command."""
    call.session.aliases[call.text("Name").lower()] = call.text("Value")
    yield from ()


@cmdlet(
    "New-Alias",
    at(0, "Name", mandatory=True),
    at(1, "Value", mandatory=True),
    switch("Force"),
    named("Scope"),
    module=_UTILITY,
    changes=True,
)
def new_alias(call: Call) -> Iterator[object]:
    """Let a new name stand for a command."""
    name = call.text("Name")
    if name.lower() in call.session.aliases and not call.switch("Force"):
        call.error(
            ErrorRecord(
                message=f"The alias is not allowed, because an alias with the name '{name}' already exists.",
                exception_type="System.Management.Automation.SessionStateException",
                error_id="AliasAlreadyExists",
                category="ResourceExists",
                target=name,
            )
        )
        return
    call.session.aliases[name.lower()] = call.text("Value")
    yield from ()


@cmdlet("Get-History", at(0, "Id", Kind.VALUE), at(1, "Count", Kind.INT), module=_CORE, output="Microsoft.PowerShell.Commands.HistoryInfo")
def get_history(call: Call) -> Iterator[object]:
    """The lines that were run with the wish to be remembered."""
    wanted = [to_int(one) for one in as_list(call.value("Id"))]
    held = [one for one in call.session.history if not wanted or one.number in wanted]
    for one in held[-call.number("Count", len(held) or 1) :]:
        yield PSObject(
            type_names=("Microsoft.PowerShell.Commands.HistoryInfo", "System.Object"),
            properties={
                "Id": one.number,
                "CommandLine": one.text,
                "ExecutionStatus": "Completed",
                "StartExecutionTime": one.started,
                "EndExecutionTime": one.ended,
            },
            text=one.text,
        )


@cmdlet("Clear-History", *absent("Id", "CommandLine", "Count", "Newest"), module=_CORE, changes=True)
def clear_history(call: Call) -> Iterator[object]:
    """Forget what was run."""
    call.session.history.clear()
    yield from ()


@cmdlet("Clear-Host", module="")
def clear_host(call: Call) -> Iterator[object]:
    """A remote session has no screen to clear."""
    yield from ()


_MODULES = (
    ("Microsoft.PowerShell.LocalAccounts", "1.0.0.0", "Binary"),
    ("Microsoft.PowerShell.Management", "3.1.0.0", "Manifest"),
    ("Microsoft.PowerShell.Security", "3.0.0.0", "Manifest"),
    ("Microsoft.PowerShell.Utility", "3.1.0.0", "Manifest"),
)
_AVAILABLE = (
    ("CimCmdlets", "1.0.0.0", "Manifest"),
    ("DnsClient", "1.0.0.0", "Manifest"),
    ("Microsoft.PowerShell.Diagnostics", "3.0.0.0", "Manifest"),
    ("Microsoft.WSMan.Management", "3.0.0.0", "Manifest"),
    ("NetAdapter", "2.0.0.0", "Manifest"),
    ("NetSecurity", "2.0.0.0", "Manifest"),
    ("NetTCPIP", "1.0.0.0", "Manifest"),
    ("ScheduledTasks", "1.0.0.0", "Manifest"),
    ("SmbShare", "2.0.0.0", "Manifest"),
)


def _module(name: str, number: str, kind: str) -> PSObject:
    commands: list[PSValue] = [spec.name for spec in CMDLETS.values() if spec.module == name]
    return PSObject(
        type_names=("System.Management.Automation.PSModuleInfo", "System.Object"),
        properties={
            "Name": name,
            "Path": f"C:\\Windows\\system32\\WindowsPowerShell\\v1.0\\Modules\\{name}\\{name}.psd1",
            "Description": "",
            "ModuleType": kind,
            "Version": version(number),
            "ExportedCommands": commands,
        },
        text=name,
    )


@cmdlet(
    "Get-Module",
    at(0, "Name", Kind.TEXTS),
    switch("ListAvailable"),
    switch("All"),
    *absent("PSSession", "CimSession", "FullyQualifiedName"),
    module=_CORE,
)
def get_module(call: Call) -> Iterator[object]:
    """The modules that are loaded, or that there are."""
    for one in sorted((*_MODULES, *_AVAILABLE) if call.switch("ListAvailable") else _MODULES):
        if not call.given("Name") or any(like(one[0], name) for name in call.texts("Name")):
            yield _module(*one)


@cmdlet(
    "Import-Module",
    at(0, "Name", Kind.TEXTS, mandatory=True),
    switch("Force"),
    switch("PassThru"),
    switch("DisableNameChecking"),
    named("Scope"),
    switch("Global"),
    module=_CORE,
)
def import_module(call: Call) -> Iterator[object]:
    """A module's commands are there without it; one that the host has not is an error."""
    for name in call.texts("Name"):
        found = next((one for one in (*_MODULES, *_AVAILABLE) if one[0].lower() == name.lower()), None)
        if found is None:
            call.error(
                ErrorRecord(
                    message=f"The specified module '{name}' was not loaded because no valid module file was found in any module directory.",
                    exception_type="System.IO.FileNotFoundException",
                    error_id="Modules_ModuleNotFound",
                    category="ResourceUnavailable",
                    target=name,
                )
            )
        elif call.switch("PassThru"):
            yield _module(*found)


@cmdlet("Remove-Module", at(0, "Name", Kind.TEXTS, mandatory=True), switch("Force"), module=_CORE, changes=True)
def remove_module(call: Call) -> Iterator[object]:
    """The host's modules stay."""
    yield from ()


@cmdlet("Get-Verb", at(0, "Verb", Kind.TEXTS), module="")
def get_verb(call: Call) -> Iterator[object]:
    """The approved verbs that the host's own commands use."""
    for verb in sorted({spec.name.partition("-")[0] for spec in CMDLETS.values() if "-" in spec.name}):
        if not call.given("Verb") or any(like(verb, one) for one in call.texts("Verb")):
            yield custom({"Verb": verb, "Group": "Common"})


def _culture() -> PSObject:
    return PSObject(
        type_names=("System.Globalization.CultureInfo", "System.Object"),
        properties={"LCID": 1033, "Name": "en-US", "DisplayName": "English (United States)", "TwoLetterISOLanguageName": "en"},
        text="en-US",
    )


@cmdlet("Get-Culture", module=_UTILITY)
def get_culture(call: Call) -> Iterator[object]:
    """The culture."""
    yield _culture()


@cmdlet("Get-UICulture", module=_UTILITY)
def get_ui_culture(call: Call) -> Iterator[object]:
    """The culture of the user interface."""
    yield _culture()


@cmdlet("Set-StrictMode", named("Version"), switch("Off"), module=_CORE)
def set_strict_mode(call: Call) -> Iterator[object]:
    """Whether a variable that was never set is an error."""
    call.session.set_strict(not call.switch("Off"))
    yield from ()


@cmdlet(
    "Get-Help",
    at(0, "Name"),
    switch("Full"),
    switch("Detailed"),
    switch("Examples"),
    switch("Online"),
    named("Parameter"),
    *absent("ShowWindow", "Category", "Role"),
    module=_CORE,
)
def get_help(call: Call) -> Iterator[object]:
    """What the host knows of a command: its syntax, as where no help files are installed."""
    name = call.text("Name")
    if not name or call.switch("Online"):
        raise refuse("help about PowerShell", activity=call.spec.name)
    found = call.session.resolve(name)
    found = call.session.resolve(found.definition) if found is not None and found.kind == "Alias" else found
    if found is None or found.kind != "Cmdlet":
        record = ErrorRecord(
            message=f'Get-Help could not find {name} in a help file in this session. To download updated help topics type: "Update-Help".',
            exception_type="Microsoft.PowerShell.Commands.HelpNotFoundException",
            error_id="HelpNotFound",
            category="ResourceUnavailable",
            target=name,
        )
        call.error(record)
        return
    spec = CMDLETS[found.name.lower()]
    yield "\n".join(
        [
            "",
            "NAME",
            f"    {spec.name}",
            "    ",
            "SYNTAX",
            f"    {syntax(spec)}",
            "    ",
            "",
            "ALIASES",
            *(f"    {name}" for name, target in sorted(call.session.aliases.items()) if target.lower() == spec.name.lower()),
            "    ",
            "",
            "REMARKS",
            "    Get-Help cannot find the Help files for this cmdlet on this computer. It is displaying only partial help.",
            "",
        ]
    )


def syntax(spec: Cmdlet) -> str:
    """The line of a cmdlet's parameters."""
    parts: list[str] = []
    for one in spec.parameters:
        name = f"[-{one.name}]" if one.position is not None else f"-{one.name}"
        text = name if one.kind is Kind.SWITCH else f"{name} <{one.kind.value.lower() if one.kind is not Kind.VALUE else 'Object'}>"
        parts.append(text if one.mandatory else f"[{text}]")
    return " ".join([spec.name, *parts, "[<CommonParameters>]"])


@cmdlet(
    "New-Object",
    at(0, "TypeName"),
    at(1, "ArgumentList", Kind.VALUE, "Args"),
    named("Property", Kind.VALUE),
    named("ComObject"),
    switch("Strict"),
    module=_UTILITY,
)
def new_object(call: Call) -> Iterator[object]:
    """An object of one of the types that the host has."""
    if call.given("ComObject"):
        raise refuse(f"the COM object {call.text('ComObject')}", activity=call.spec.name)
    if not call.given("TypeName"):
        raise call.missing("TypeName")
    yield call.session.construct(call.text("TypeName"), as_list(call.value("ArgumentList")), call.value("Property"))


@cmdlet("Invoke-History", at(0, "Id", Kind.VALUE), module=_CORE)
def invoke_history(call: Call) -> Iterator[object]:
    """Run a remembered line again."""
    wanted = to_text(call.value("Id"))
    held = [one for one in call.session.history if not wanted or str(one.number) == wanted or one.text.startswith(wanted)]
    if held:
        yield from call.session.run_text(held[-1].text)


@cmdlet("Measure-Command", at(0, "Expression", Kind.BLOCK, mandatory=True), named("InputObject", Kind.VALUE), module=_UTILITY)
def measure_command(call: Call) -> Iterator[object]:
    """How long a script block takes by the host's clock."""
    block = call.block("Expression")
    before = call.session.host.now()
    if block is not None:
        call.session.invoke(block)
    yield time_span(call.session.host.now() - before)
