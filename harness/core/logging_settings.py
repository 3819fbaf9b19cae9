"""What a target's logging must be set to for the loaded rules, what it is asked for, and what its answer means.

The question is one script that reads and changes nothing but a file of its own in the temporary directory, which it removes: what auditpol
shows is in the host's language, what it backs up is not. It asks only about settings that the rules need. This module must never send it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.events.audit import Editor, HostSetting, RegistryValue, settings_behind
from harness.logic.needs import ANY_CHANNEL, ANY_EVENT_ID, Kind, wanted_by
from harness.logic.why import near_kinds
from harness.model.health import Finding, Health
from harness.model.intent import InvokeCommand, Rule

AGENTS = ("winlogbeat", "Elastic Agent", "nxlog", "fluent-bit", "WazuhSvc", "SplunkForwarder")
"""Services that ship events, by the names that their installers give them."""

_SCRIPT = """
param($Audit, $Keys, $Logs, $Services)
if ($Audit) {
    $file = Join-Path $env:TEMP "harness-$([Guid]::NewGuid()).csv"
    auditpol.exe /backup "/file:$file" | Out-Null
    if ($LASTEXITCODE -eq 0) {
        foreach ($line in Get-Content -LiteralPath $file) { "audit|$line" }
        Remove-Item -LiteralPath $file
    } else { "refused|auditpol ended with $LASTEXITCODE" }
}
foreach ($key in $Keys) {
    "key|$key"
    foreach ($line in (reg.exe query $key 2>$null)) { "value|$line" }
}
foreach ($log in $Logs) {
    "log|$log"
    foreach ($line in (wevtutil.exe gl $log 2>$null)) { "is|$line" }
}
foreach ($service in (Get-Service -Name $Services -ErrorAction SilentlyContinue)) { "service|$($service.Name)|$($service.Status)" }
"""


def needed(rules: Iterable[Rule]) -> Mapping[HostSetting, frozenset[str]]:
    """The settings behind every kind of event that the rules could match on, each with the ids of those rules."""
    found: dict[HostSetting, set[str]] = defaultdict(set)
    for rule in rules:
        for kind in _kinds(rule):
            for setting in settings_behind(*kind):
                found[setting].add(rule.id)
    return {setting: frozenset(rules) for setting, rules in found.items()}


def question(settings: Iterable[HostSetting]) -> InvokeCommand:
    """What a target is asked."""
    asked = list(settings)
    keys = dict.fromkeys(f"HKLM\\{value.key}" for setting in asked for value in setting.values)
    return InvokeCommand(
        script=_SCRIPT.strip(),
        arguments={
            "Audit": any(setting.editor is Editor.AUDIT for setting in asked),
            "Keys": list(keys),
            "Logs": list(dict.fromkeys(setting.log for setting in asked if setting.log)),
            "Services": ["Sysmon64", "Sysmon", "Sysmon64a", *AGENTS],
        },
    )


def told(lines: Sequence[str], settings: Iterable[HostSetting]) -> Mapping[HostSetting, bool | None]:
    """Whether each setting is made; None where the answer does not tell it."""
    audited = {found[1].upper(): int(found[2]) for line in lines if (found := _AUDIT.match(line))}
    values, logs, running = _values(lines), _logs(lines), _services(lines)
    state: dict[HostSetting, bool | None] = {}
    for setting in settings:
        match setting.editor:
            case Editor.AUDIT:
                inclusion = audited.get(setting.guid.upper())
                # A subcategory without an entry was never set; without any entry at all nothing was read.
                state[setting] = bool(inclusion) if audited else None
            case Editor.REGISTRY:
                state[setting] = all(values.get((f"hklm\\{v.key}".lower(), v.name.lower())) == str(v.data) for v in setting.values)
            case Editor.LOG:
                state[setting] = logs.get(setting.log.lower())
            case Editor.SENSOR:
                state[setting] = any(status == "Running" for name, status in running.items() if name.lower().startswith("sysmon"))
            case Editor.SYSMON:  # its configuration is Sysmon's own secret
                state[setting] = None
    return state


def findings(about: str, rules: Mapping[str, Rule], lines: Sequence[str]) -> Iterator[Finding]:
    """What the answer means for these rules: a line for the agent, one for each setting that is not made, one for all that are."""
    asked = needed(rules.values())
    state = told(lines, asked)
    yield _agent(about, _services(lines))
    yield from _refusals(about, lines)
    hindered = {id for id, rule in rules.items() if not _can_fire(rule, state)}
    off = [setting for setting in asked if state[setting] is False]
    for setting in off:
        if hurt := sorted(asked[setting] & hindered):
            what = f"it is off: {_rules(hurt)} cannot fire"
            yield Finding(about=f"{about}: {setting.title}", health=Health.BROKEN, what=what, fix=mend(setting))
    if not all(asked[setting] & hindered for setting in off):
        # What is off and does no harm is said without alarm: every rule has other events to fire on.
        harmless = ", ".join(setting.title for setting in off if not asked[setting] & hindered)
        off_text = f"; off, and no rule depends on it alone: {harmless}"
    else:
        off_text = ""
    made = sum(state[setting] is True for setting in asked)
    if made:
        unknown = sum(state[setting] is None for setting in asked)
        more = f"; of {unknown} the host does not tell" if unknown else ""
        what = f"{made} of {len(asked)} settings behind {len(rules)} rules are made{more}{off_text}"
        yield Finding(about=f"{about}'s logging", health=Health.OK, what=what)


def mend(setting: HostSetting) -> str:
    """The line that makes it, in an elevated session on the target."""
    match setting.editor:
        case Editor.AUDIT:
            return f'auditpol /set /subcategory:"{setting.guid}" /success:enable'
        case Editor.REGISTRY:
            return "; ".join(map(_reg_add, setting.values))
        case Editor.LOG:
            return f'wevtutil sl "{setting.log}" /e:true'
        case _:
            return "Sysmon64.exe -accepteula -i sysmon.xml, with the configuration of lab/windows"


def _reg_add(value: RegistryValue) -> str:
    kind = "REG_DWORD" if isinstance(value.data, int) else "REG_SZ"
    return f'reg add "HKLM\\{value.key}" /v "{value.name}" /t {kind} /d "{value.data}" /f'


_AUDIT = re.compile(r"audit\|.*(\{[0-9A-Fa-f-]{36}\}),.*,([0-3])\s*$")
_VALUE = re.compile(r"value\|    (.+?)    REG_(\w+)    (.*)$")


def _values(lines: Sequence[str]) -> Mapping[tuple[str, str], str]:
    """Registry values by key and name, both in lower case; numbers in decimal."""
    found: dict[tuple[str, str], str] = {}
    key = ""
    for line in lines:
        if line.startswith("key|"):
            key = line[4:].lower()
        elif match := _VALUE.match(line):
            data = match[3].strip()
            found[key, match[1].strip().lower()] = str(int(data, 16)) if match[2] == "DWORD" and data.startswith("0x") else data
    return found


def _logs(lines: Sequence[str]) -> Mapping[str, bool]:
    found: dict[str, bool] = {}
    log = ""
    for line in lines:
        if line.startswith("log|"):
            log = line[4:].lower()
        elif match := re.match(r"is\|enabled: (true|false)", line):
            found[log] = match[1] == "true"
    return found


def _services(lines: Sequence[str]) -> Mapping[str, str]:
    return {parts[1]: parts[2].strip() for line in lines if len(parts := line.split("|")) == 3 and parts[0] == "service"}


def _agent(about: str, services: Mapping[str, str]) -> Finding:
    agents = {name: status for name, status in services.items() if not name.lower().startswith("sysmon")}
    running = sorted(name for name, status in agents.items() if status == "Running")
    if running:
        return Finding(about=f"{about}'s agent", health=Health.OK, what=f"{', '.join(running)} runs")
    if agents:
        names = ", ".join(f"{name} is {status}" for name, status in sorted(agents.items()))
        return Finding(about=f"{about}'s agent", health=Health.BROKEN, what=names, fix=f'Start-Service "{min(agents)}"')
    fix = "winlogbeat with the logs of lab/windows/winlogbeat.yml, or another agent"
    return Finding(about=f"{about}'s agent", health=Health.UNKNOWN, what="none that is known by its service is installed", fix=fix)


def _refusals(about: str, lines: Sequence[str]) -> Iterator[Finding]:
    for line in lines:
        if line.startswith("refused|"):
            fix = "ask as an administrator of the target: reading the audit policy takes that right"
            yield Finding(about=f"{about}'s audit policy", health=Health.UNKNOWN, what=line.partition("|")[2], fix=fix)


def _kinds(rule: Rule) -> Iterator[Kind]:
    for node in wanted_by(rule):
        yield from (kind for kind in sorted(near_kinds(node)) if kind[0] != ANY_CHANNEL and kind[1] != ANY_EVENT_ID)


def _can_fire(rule: Rule, state: Mapping[HostSetting, bool | None]) -> bool:
    """Whether each event that the rule needs can come by a kind of which nothing is known to be off."""
    for node in wanted_by(rule):
        able = near_kinds(node)
        if not any(all(state.get(setting) is not False for setting in _behind(kind)) for kind in able):
            return False
    return True


def _behind(kind: Kind) -> tuple[HostSetting, ...]:
    channel, number = kind
    return () if channel == ANY_CHANNEL or number == ANY_EVENT_ID else settings_behind(channel, number)


def _rules(ids: Sequence[str]) -> str:
    shown = ", ".join(id.partition("-")[0] if len(id) == 36 else id for id in ids[:5])
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return f"{'rule' if len(ids) == 1 else 'rules'} {shown}{more}"
