"""What is kept of a run beside its verdicts, so that a later one can be held against it.

A report keeps the rules, steps and circumstances that it was about; of a whole report `remembered` keeps what differences are computed
from. It must never know how either is written down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from harness.core.cover import GAPS, MET
from harness.events.fields import short_name
from harness.logic.explain import pattern_text, test_text
from harness.logic.needs import ANY_CHANNEL, ANY_EVENT_ID, wanted_by
from harness.logic.why import formula_text, near_kinds, shown
from harness.model.changes import PastVerdict
from harness.model.facts import Failure, Observed, SiemStatus
from harness.model.intent import Action, Connect, EnterPSSession, Expectation, InvokeCommand, PlannedStep, Rule, WinRS
from harness.model.report import Aspect, Circumstance, Clause, HostTelemetry, Report, RuleRecord, RunRecord, StepRecord
from harness.model.tree import And, Formula, Node, Not, Or, Test
from harness.model.verdicts import Gate, GateKind, GateState, Verdict

ANY_ID = "any"
"""In the place of an event's number, where a rule reads every event of a log."""
_MOST_KINDS = 60
NEVER = "never"


def recorded(verdicts: Iterable[Verdict], rules: Mapping[str, Rule]) -> tuple[RuleRecord, ...]:
    """The rules that the verdicts are about and that were loaded, by id."""
    about = {verdict.expectation.rule for verdict in verdicts}
    return tuple(_record(rules[name]) for name in sorted(about & rules.keys()))


def _record(rule: Rule) -> RuleRecord:
    return RuleRecord(
        id=rule.id,
        title=rule.title,
        source=rule.source,
        line=rule.line,
        language=rule.language,
        severity=rule.severity,
        techniques=rule.techniques,
        definition=rule.definition,
        clauses=tuple(dict.fromkeys(_clauses_of(rule))),
        kinds=_kinds_of(rule),
    )


def _clauses_of(rule: Rule) -> Iterator[Clause]:
    if rule.pattern is None:
        yield from _clauses(rule.logic)
        return
    for stage in rule.pattern.asked:
        yield from _clauses(stage.condition)
    yield Clause(field="", value="", text=pattern_text(rule.pattern))


def _clauses(node: Node, denied: str = "") -> Iterator[Clause]:
    match node:
        case Test(field=field):
            value = "" if node.value is None else shown(node.value)
            yield Clause(field=field or "", value=value, text=denied + test_text(node))
        case Formula(term=term):
            yield Clause(field="", value="", text=denied + formula_text(term))
        case Not(item=item):
            yield from _clauses(item, "" if denied else "not ")
        case And(items=items) | Or(items=items):
            for item in items:
                yield from _clauses(item, denied)


def _kinds_of(rule: Rule) -> tuple[str, ...]:
    found = {kind for node in wanted_by(rule) for kind in near_kinds(node)}
    named = sorted(kind_word(channel, None if number == ANY_EVENT_ID else number) for channel, number in found if channel != ANY_CHANNEL)
    return tuple(named[:_MOST_KINDS])


def kind_word(channel: str, event_id: int | None) -> str:
    """A kind of event as reports name it; logs are one in whatever case they are written."""
    return f"{channel} {ANY_ID if event_id is None else event_id}"


def steps_of(planned: Iterable[PlannedStep]) -> tuple[StepRecord, ...]:
    """What each step sends, and what counts as its success."""
    return tuple(StepRecord(planned=each.id, text="\n".join(_step_lines(each))) for each in planned)


def _step_lines(planned: PlannedStep) -> Iterator[str]:
    step = planned.step
    if step.via is not None:
        yield f"by way of {step.via}"
    yield from _action_lines(step.action)
    if step.cleanup is not None:
        yield "afterwards:"
        yield from _action_lines(step.cleanup)
    yield f"timeout: {step.timeout.total_seconds():g} s"
    yield f"success: exit code {' or '.join(map(str, step.exit_codes))}" + (f", output {step.output!r}" if step.output is not None else "")


def _action_lines(action: Action) -> Iterator[str]:
    match action:
        case EnterPSSession(lines=lines):
            yield "typed into a session:"
            yield from lines
        case InvokeCommand(script=script, arguments=arguments):
            yield "one remote call:"
            yield from script.splitlines()
            yield from (f"argument {name}: {value!r}" for name, value in sorted(arguments.items()))
        case WinRS(command=command):
            yield "one command line in a remote shell:"
            yield command
            yield from (f"variable {name}: {value!r}" for name, value in sorted(action.environment.items()))
            yield from (f"{name}: {value!r}" for name, value in (("directory", action.directory), ("input", action.stdin)) if value)
            yield f"code page: {action.code_page}"
        case Connect(transport=transport):
            yield f"a session of {transport.value}, in which nothing is run"


def circumstances_of(status: SiemStatus) -> tuple[Circumstance, ...]:
    """What the SIEM said of itself and of the rules that a run is about."""
    return tuple(_circumstances(status))


def _circumstances(status: SiemStatus) -> Iterator[Circumstance]:
    if status.version:
        yield Circumstance(aspect=Aspect.SIEM, about="", name="version", value=status.version)
    schedule = "running" if status.schedule_running else "standing still"
    yield Circumstance(aspect=Aspect.SIEM, about="", name="rule schedule", value=schedule)
    for pattern, digest in sorted(status.mappings.items()):
        yield Circumstance(aspect=Aspect.MAPPING, about=pattern, name="fields", value=digest)
    for rule, state in sorted(status.rules.items()):
        word = "enabled" if state.enabled else "disabled" if state.deployed else "not deployed"
        yield Circumstance(aspect=Aspect.RULE, about=rule, name="state", value=word)
        if state.deployed:
            yield Circumstance(aspect=Aspect.RULE, about=rule, name="interval", value=f"{_rounded(state.interval):g} s")
            yield Circumstance(aspect=Aspect.RULE, about=rule, name="look back", value=f"{_rounded(state.look_back):g} s")
        if state.revision:
            yield Circumstance(aspect=Aspect.RULE, about=rule, name="revision", value=state.revision)
        for aspect, lines in ((Aspect.EXCEPTION, state.exceptions), (Aspect.SILENCE, state.silences)):
            for line in lines:
                name, _, value = line.partition(": ")
                yield Circumstance(aspect=aspect, about=rule, name=name, value=value)


def _rounded(length: timedelta) -> float:
    """To two digits: an interval that is measured is never twice the same."""
    return float(f"{length.total_seconds():.2g}")


def telemetry_of(observed: Mapping[str, Sequence[tuple[Observed, timedelta]]]) -> tuple[HostTelemetry, ...]:
    """What arrived of each host; its events with how long each took."""
    return tuple(_host_telemetry(host, events) for host, events in sorted(observed.items()) if events)


def _host_telemetry(host: str, events: Sequence[tuple[Observed, timedelta]]) -> HostTelemetry:
    kinds = Counter(kind_word(seen.event.channel, seen.event.event_id) for seen, _ in events)
    lags = sorted(lag for _, lag in events)
    return HostTelemetry(
        host=host,
        agents=tuple(sorted({agent for seen, _ in events if (agent := _agent(seen.event.raw))})),
        kinds=dict(sorted(kinds.items())),
        lag_p50=lags[len(lags) // 2],
        lag_p95=lags[len(lags) * 95 // 100],
    )


def _agent(document: Mapping[str, object]) -> str:
    """The shipper and its version, as ECS has them (agent.type, agent.version); empty where the document does not tell."""
    agent = document.get("agent")
    known = agent if isinstance(agent, Mapping) else {}
    return " ".join(str(known[key]) for key in ("type", "version") if known.get(key))[:80]


# --- what the history remembers ---------------------------------------------------------------------------------------------


def remembered(report: Report) -> RunRecord:
    """The run as later ones are held against it."""
    return RunRecord(
        run_id=report.run_id,
        started_at=report.started_at,
        finished_at=report.finished_at,
        exit_code=report.exit_code,
        green=is_green(report),
        environment=report.environment,
        rules={record.id: record for record in report.rules},
        steps={record.planned: record.text for record in report.steps},
        telemetry={found.host: found for found in report.telemetry},
        verdicts=tuple(past(verdict) for verdict in report.verdicts),
    )


def is_green(report: Report) -> bool:
    """Whether the run may stand for how things should be: it ended with 0, judged something, and gaps were to count."""
    counted = {"gap", "new"} & set(report.fail_on) or {outcome.value.lower() for outcome in GAPS} <= set(report.fail_on)
    return report.exit_code == 0 and bool(counted) and any(verdict.outcome in MET for verdict in report.verdicts)


def past(verdict: Verdict) -> PastVerdict:
    """A verdict as the history remembers it."""
    detonation = verdict.detonation
    failure = detonation.outcome if detonation is not None else None
    target = detonation.planned.target if detonation is not None else None
    is_met = verdict.outcome in MET
    return PastVerdict(
        planned=verdict.planned,
        target=verdict.target,
        host=short_name(target.computer or target.host) if target is not None else "",
        scenario=verdict.scenario,
        rule=verdict.expectation.rule,
        fires=verdict.expectation.fires,
        outcome=verdict.outcome,
        inconclusive=verdict.inconclusive,
        cause="" if is_met else verdict.cause,
        gates="".join(gate.state.value[0] for gate in verdict.gates),
        killed="" if is_met else _killed(verdict.gates),
        failure=failure.kind if isinstance(failure, Failure) else None,
        terms=", ".join(_terms(verdict.expectation)),
        took=verdict.time_to_detect if verdict.expectation.fires else None,
    )


def _killed(gates: Sequence[Gate]) -> str:
    query = next((gate for gate in gates if gate.kind is GateKind.QUERY), None)
    return query.evidence[-1] if query is not None and query.state is GateState.FAILED and query.evidence else ""


def _terms(expectation: Expectation) -> Iterator[str]:
    if expectation.within is not None:
        yield f"within {expectation.within.total_seconds():g} s"
    if expectation.severity is not None:
        yield f"severity {expectation.severity.value}"
    if expectation.priority is not None:
        yield f"priority {expectation.priority.value}"
    if expectation.known_gap is not None:
        yield f"known gap: {expectation.known_gap}"
