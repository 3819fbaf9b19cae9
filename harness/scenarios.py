"""Scenario files: YAML to `Scenario`, every error of every file at once, each with path, line and column.

A scenario file is data: what to do, step by step, and what each rule should make of it. This module must never know rules (it takes
the ids that are known), targets, or how an action is sent.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from subprocess import list2cmdline
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationInfo, WithJsonSchema, field_validator

from harness import key_meanings
from harness.documents import Document, Loc, Place, parse_yaml, read_text
from harness.errors import Problem, UsageError
from harness.fields import (
    Day,
    Entry,
    HyphenId,
    Omittable,
    PositiveDuration,
    Regex,
    RuleId,
    Shape,
    Technique,
    Text,
    check,
    dotted,
    nearest,
    schema_of,
    wrong,
)
from harness.model.intent import (
    Action,
    Argument,
    Connect,
    EnterPSSession,
    Expectation,
    InvokeCommand,
    Objective,
    Quarantine,
    Remoting,
    Scenario,
    Severity,
    Step,
    WinRS,
)

SUFFIX = ".scenario.yml"

_ACTIONS = ("enter_pssession", "invoke_command", "winrs", "connect")
_TERMS = ("within", "severity", "priority", "known_gap", "objective")

_VIA = "The target whose session goes on to the one that is detonated on: a jump host."
HostName = Annotated[str, Shape(expression=r"[A-Za-z0-9][A-Za-z0-9._-]*", wanted="the name of a target")]
Tag = Annotated[str, Shape(expression=r"[a-z0-9][a-z0-9._-]*", wanted="a lower-case word")]
Line = Annotated[str, Shape(expression=r"[^\r\n]*\S[^\r\n]*", wanted="one line that is not empty", fix="one list entry for each line")]
ExitCode = Annotated[int, Field(strict=True, ge=-(2**31), le=2**32 - 1)]


class _Connect(Entry):
    """The null action: a session is opened, nothing is done in it."""

    transport: Annotated[Remoting, Field(description="Which kind of session.")] = Remoting.PSRP


class _WinRS(Entry):
    """One command line in a Windows Remote Shell: `cmd.exe /c` reads it. Arguments are quoted where they need it, and follow it."""

    command: Line
    arguments: tuple[str, ...] = ()
    environment: dict[Annotated[str, Shape(expression=r"[^=\s]+", wanted="the name of a variable")], str] = Field(default_factory=dict)
    directory: Annotated[Text | None, Omittable(), Field(description="Where the command runs; else in the user's profile.")] = None
    stdin: Annotated[str, Field(strict=True, description="All of the command's input.")] = ""
    code_page: Annotated[int, Field(strict=True, description="Of its streams; 65001 is UTF-8.")] = 65001

    @field_validator("code_page")
    @classmethod
    def _known(cls, value: int) -> int:
        if value != 65001 and not _has_code_page(value):
            raise wrong("code page", "is no code page that can be read here", "65001 is UTF-8, 437 and 850 are those of consoles")
        return value

    def action(self) -> WinRS:
        """The action as the model has it."""
        return WinRS(
            command=" ".join([self.command, list2cmdline(self.arguments)]).strip(),
            environment=self.environment,
            directory=self.directory or "",
            stdin=self.stdin,
            code_page=self.code_page,
        )


def _has_code_page(number: int) -> bool:
    try:
        codecs.lookup(f"cp{number}")
    except LookupError:
        return False
    return True


def _line_alone(value: object) -> object:
    return {"command": value} if isinstance(value, str) else value


class _InvokeCommand(Entry):
    """One remote call of a script; arguments are bound by name to its `param` block."""

    script: Text
    arguments: dict[str, Argument] = Field(default_factory=dict)


class _ActionEntry(Entry):
    """Exactly one action."""

    enter_pssession: Annotated[
        Annotated[tuple[Line, ...], Field(min_length=1)] | None, Omittable(), Field(description="Lines typed into an interactive session.")
    ] = None
    invoke_command: Annotated[_InvokeCommand | None, Omittable()] = None
    winrs: Annotated[
        _WinRS | None,
        Omittable(),
        BeforeValidator(_line_alone, json_schema_input_type=Line | _WinRS),
        Field(description="A command line of a Windows Remote Shell, alone or with what belongs to it."),
    ] = None
    connect: Annotated[_Connect | None, Omittable(), Field(description="The null action: open a session, do nothing: {}")] = None

    def action(self) -> Action:
        """The action as the model has it."""
        if self.enter_pssession is not None:
            return EnterPSSession(lines=self.enter_pssession)
        if self.invoke_command is not None:
            return InvokeCommand(script=self.invoke_command.script, arguments=self.invoke_command.arguments)
        if self.winrs is not None:
            return self.winrs.action()
        return Connect(transport=self.connect.transport if self.connect is not None else Remoting.PSRP)


class _Quarantine(Entry):
    """A gap that does not fail a run, until a day."""

    until: Day
    reason: Text


class _Percentile(Entry):
    """How soon a rule should detect, at the 95th percentile over the last runs."""

    p95: PositiveDuration


_LENGTH = TypeAdapter(PositiveDuration)
_OBJECTIVE_SCHEMA: dict[str, Any] = {
    "oneOf": [
        _LENGTH.json_schema(),
        {"type": "object", "properties": {"p95": _LENGTH.json_schema()}, "required": ["p95"], "additionalProperties": False},
    ]
}


def _objective(value: object) -> Objective:
    if isinstance(value, Mapping):
        return Objective(within=_Percentile.model_validate(value).p95, p95=True)
    return Objective(within=_LENGTH.validate_python(value))


class _Expectation(Entry):
    """What a rule should do about the step."""

    rule: RuleId
    within: Annotated[PositiveDuration | None, Omittable(), Field(description="How soon after the step began, at most.")] = None
    severity: Annotated[Severity | None, Omittable()] = None
    priority: Annotated[
        Severity | None, Omittable(), Field(description="What the rule's detection strategy must make of the alert's events.")
    ] = None
    fires: Annotated[bool, Field(strict=True, description="false: the rule must stay quiet.")] = True
    known_gap: Annotated[Text | None, Omittable(), Field(description="Why the rule is expected to miss, for now.")] = None
    quarantine: Annotated[_Quarantine | None, Omittable(), Field(description="A gap here does not fail a run, until a day.")] = None
    objective: Annotated[
        Annotated[Objective, BeforeValidator(_objective), WithJsonSchema(_OBJECTIVE_SCHEMA)] | None,
        Omittable(),
        Field(description="How soon the rule should detect, each time or, as p95, 95 % of the time over the last runs."),
    ] = None

    @field_validator("rule")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        context = info.context or {}
        known = context.get("known_rules")
        if reason := context.get("not_evaluated", {}).get(value):
            raise wrong("rule", f"cannot be expected to do anything: {reason}", "take the expectation out")
        if known is not None and value not in known:
            begun = sorted(rule for rule in known if rule.startswith(value.lower()))
            hint = f"write the id in full: {begun[0]}" if len(begun) == 1 else nearest(value, known)
            raise wrong("rule", "is known neither to the rule pack nor to the SIEM", hint)
        return value

    @field_validator("priority")
    @classmethod
    def _computable(cls, value: Severity | None, info: ValidationInfo) -> Severity | None:
        known = None if info.context is None else info.context.get("with_strategy")
        if value is not None and known is not None and "rule" in info.data and info.data["rule"] not in known:
            fix = "a strategy beside the rules (*.strategy.yml) says it; or ask for the alert's severity"
            raise wrong("priority", "cannot be told: no detection strategy is about this rule", fix)
        return value


class _Step(_ActionEntry):
    """One action on the target and what is expected of it."""

    name: Text
    technique: Annotated[Technique | None, Omittable()] = None
    cleanup: Annotated[_ActionEntry | None, Omittable(), Field(description="The action that puts the target back as it was.")] = None
    timeout: Annotated[PositiveDuration | None, Omittable(), Field(description="How long the action may take on the target.")] = None
    exit_codes: Annotated[tuple[ExitCode, ...], Field(min_length=1)] = (0,)
    output: Annotated[Regex | None, Omittable(), Field(description="A regular expression that must be found in the output.")] = None
    via: Annotated[HostName | None, Omittable(), Field(description=_VIA)] = None
    expect: Annotated[tuple[_Expectation, ...], Field(min_length=1)] = ()


class _ScenarioFile(Entry):
    """A scenario: steps in order on one target."""

    id: Annotated[HyphenId, Field(max_length=80)]
    title: Text
    technique: Annotated[Technique | None, Omittable()] = None
    tags: tuple[Tag, ...] = ()
    via: Annotated[HostName | None, Omittable(), Field(description=_VIA)] = None
    steps: Annotated[tuple[_Step, ...], Field(min_length=1)]


def load_scenarios(
    paths: Sequence[Path],
    known_rules: frozenset[str] | None,
    not_evaluated: Mapping[str, str] | None = None,
    with_strategy: frozenset[str] | None = None,
) -> tuple[Scenario, ...]:
    """The scenarios of files, and of directories' `*.scenario.yml` files at any depth, sorted by path.

    `known_rules` are the rule ids that an expectation may name, `with_strategy` those whose priority it may ask for; None lets any pass.
    `not_evaluated`: ids that it may not, because nothing runs these rules, each with the reason. Raises `UsageError` with every problem of
    every file, in file order.
    """
    files, problems = _files(paths)
    context = {"known_rules": known_rules, "not_evaluated": not_evaluated or {}, "with_strategy": with_strategy}
    scenarios: list[Scenario] = []
    first_with: dict[str, Place] = {}
    for file in files:
        try:
            document = parse_yaml(read_text(file), str(file))
        except UsageError as error:
            problems.extend(error.problems)
            continue
        entry, found = _checked(document, context)
        problems.extend(found)
        # Of the plain value: a double id is told at once, whatever else is wrong with its file.
        identity = document.value.get("id") if isinstance(document.value, dict) else None
        if isinstance(identity, str):
            place = document.place(("id",))
            if (first := first_with.setdefault(identity, place)) is not place:
                problems.append(_taken(place, identity, first))
        if entry is not None:
            scenarios.append(_scenario(entry, str(file)))
    if problems:
        raise UsageError(*problems)
    return tuple(scenarios)


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A scenario and where its parts are written. `identity` is the place of its id; `lines`, from 1, are those of its expectations, by
    the index of the step and of the expectation in it."""

    scenario: Scenario
    identity: Place
    lines: Mapping[tuple[int, int], int]


def read_scenario(file: Path, shown: str) -> Located:
    """One scenario file, whatever rules there are. `shown` is its path as errors name it. Raises `UsageError` with every problem of it."""
    document = parse_yaml(read_text(file, shown), shown)
    entry, problems = _checked(document, {})
    if entry is None or problems:
        raise UsageError(*problems)
    scenario = _scenario(entry, str(file))
    lines = {
        (step, index): document.place(("steps", step, "expect", index)).line
        for step, each in enumerate(scenario.steps)
        for index in range(len(each.expect))
    }
    return Located(scenario=scenario, identity=document.place(("id",)), lines=lines)


def distinct_id(located: Located, first_with: dict[str, Place]) -> None:
    """Enter the scenario's id. Raises `UsageError` where another file has it."""
    identity = located.scenario.id
    first = first_with.setdefault(identity, located.identity)
    if first.path != located.identity.path:
        raise UsageError(_taken(located.identity, identity, first))


def step_of(values: Mapping[str, object]) -> Step:
    """One step from the same keys and values as a file has, for a scenario that is written in Python. Raises `UsageError`."""
    document = Document(value={"id": "x", "title": "x", "steps": [dict(values)]}, places={})
    entry, problems = _checked(document, {})
    if entry is None or problems:
        raise UsageError(*problems)
    return _step(entry.steps[0], None, None)


def _checked(document: Document, context: Mapping[str, object]) -> tuple[_ScenarioFile | None, list[Problem]]:
    """The file as its model, and every problem of it in the order of its lines."""
    entry, found = check(_ScenarioFile, document, context)
    found += tuple(_plain_problems(document))
    return entry, sorted(found, key=lambda problem: (problem.line, problem.column))


def _taken(place: Place, identity: str, first: Place) -> Problem:
    return place.problem(f"id {identity!r} is taken by {first.path}:{first.line}", "give each scenario its own id")


def scenario_schema() -> dict[str, Any]:
    """The JSON schema of a scenario file, for editors.

    It is looser than `load_scenarios` only where a schema cannot say it: rule ids, duplicate keys and ids, and what goes with `fires`.
    """
    schema = schema_of(_ScenarioFile, "harness scenario", key_meanings.SCENARIO)
    for name in ("_ActionEntry", "_Step"):
        schema["$defs"][name]["oneOf"] = [{"required": [action]} for action in _ACTIONS]
    return schema


def _files(paths: Sequence[Path]) -> tuple[list[Path], list[Problem]]:
    files: dict[Path, None] = {}  # a set in order: a file named twice counts once
    problems: list[Problem] = []
    for path in paths:
        if path.is_dir():
            within = sorted(path.rglob(f"*{SUFFIX}"))
            if not within:
                problems.append(Problem(path=str(path), what=f"holds no *{SUFFIX} file"))
            files.update(dict.fromkeys(within))
        elif path.exists():
            files[path] = None
        else:
            problems.append(Problem(path=str(path), what="does not exist", fix=_sibling(path)))
    return list(files), problems


def _plain_problems(document: Document) -> Iterable[Problem]:
    """What spans several keys of an entry, told from the plain value: so it is told beside whatever else is wrong with the entry."""
    for index, step in enumerate(_entries(document.value, "steps")):
        if not isinstance(step, dict):
            continue
        loc: Loc = ("steps", index)
        yield from _one_action(document, loc, step)
        yield from _way(document, loc, step)
        if isinstance(step.get("cleanup"), dict):
            yield from _one_action(document, (*loc, "cleanup"), step["cleanup"])
        yield from _expectation_problems(document, (*loc, "expect"), _entries(step, "expect"))


def _entries(value: object, key: str) -> Sequence[object]:
    entries = value.get(key) if isinstance(value, dict) else None
    return entries if isinstance(entries, list) else ()


def _one_action(document: Document, loc: Loc, entry: Mapping[str, object]) -> Iterable[Problem]:
    given = [key for key in _ACTIONS if key in entry]
    name = dotted(loc)
    if not given:
        # A mistyped action is an unknown key and gets its hint there.
        yield document.place(loc).problem(f"{name} has no action", f"give it one of {', '.join(_ACTIONS)}")
    for second in given[1:]:
        yield document.place((*loc, second)).problem(f"{name} has two actions, {given[0]} and {second}", "one action a step: split it")


def _way(document: Document, loc: Loc, step: Mapping[str, object]) -> Iterable[Problem]:
    """A jump host opens PowerShell sessions: a remote shell's command line cannot go by it."""
    if "via" not in step and not (isinstance(document.value, dict) and "via" in document.value):
        return
    for entry, at in ((step, loc), (step.get("cleanup"), (*loc, "cleanup"))):
        if isinstance(entry, dict) and (
            "winrs" in entry or (isinstance(c := entry.get("connect"), dict) and c.get("transport") == "winrs")
        ):
            fix = "run it with invoke_command, or leave via out"
            yield document.place(at).problem(
                f"{dotted(at)} is for a remote shell, which goes from the driver alone: via has no meaning", fix
            )


def _expectation_problems(document: Document, loc: Loc, entries: Sequence[object]) -> Iterable[Problem]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            continue
        at: Loc = (*loc, index)
        if entry.get("fires") is False:
            for key in _TERMS:
                if key in entry:
                    fix = "a rule that must stay quiet has no terms to meet: leave it out"
                    yield document.place((*at, key)).problem(f"{dotted((*at, key))} has no meaning beside fires: false", fix)
        rule = entry.get("rule")
        if isinstance(rule, str):
            if rule in seen:
                yield document.place((*at, "rule")).problem(f"{dotted(loc)} names rule {rule} twice", "one expectation a rule and step")
            seen.add(rule)


def _sibling(path: Path) -> str:
    """A hint at a scenario file of nearly that name beside it."""
    return nearest(path.name, (sibling.name for sibling in path.parent.glob(f"*{SUFFIX}")))


def _scenario(entry: _ScenarioFile, source: str) -> Scenario:
    steps = tuple(_step(step, entry.technique, entry.via) for step in entry.steps)
    return Scenario(id=entry.id, title=entry.title, source=source, steps=steps, technique=entry.technique, tags=entry.tags)


def _step(entry: _Step, technique: str | None, via: str | None) -> Step:
    """The step; `technique` and `via` are its scenario's, and its own where it names none."""
    expect = tuple(
        Expectation(
            rule=item.rule,
            within=item.within,
            severity=item.severity,
            priority=item.priority,
            fires=item.fires,
            known_gap=item.known_gap,
            quarantine=None if item.quarantine is None else Quarantine(until=item.quarantine.until, reason=item.quarantine.reason),
            objective=item.objective,
        )
        for item in entry.expect
    )
    return Step(
        name=entry.name,
        action=entry.action(),
        technique=entry.technique or technique,
        cleanup=None if entry.cleanup is None else entry.cleanup.action(),
        timeout=entry.timeout or timedelta(seconds=60),
        exit_codes=entry.exit_codes,
        output=entry.output,
        via=entry.via or via,
        expect=expect,
    )
