"""What stands on the page of a report: plain values, all lengths and places computed. It must never know markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from statistics import median

from harness.core.cover import GAPS, MET
from harness.core.standing import standing_in
from harness.model.changes import Line
from harness.model.facts import Detonation, Failure, StreamKind
from harness.model.intent import Action, EnterPSSession, InvokeCommand, WinRS
from harness.model.report import Report
from harness.model.verdicts import Basis, GateKind, GateState, Outcome, RuleCoverage, Verdict
from harness.reports import meanings, standing
from harness.reports.history import change_lines
from harness.reports.html.chart import Chart, Lane, Point, share, ticks
from harness.reports.html.glance import Glance, glance_of
from harness.reports.html.nights import Nights, nights_of
from harness.reports.html.tones import GRAVITY, MARK, STATUS_TONE, TONE, gravest
from harness.reports.ladder import GATE_WORD, gate_evidence, gate_time, outcome_word
from harness.reports.words import STATUS_ORDER, cleanup_trouble, clock, count_of, grouped, listed, named, seconds, short

_OPEN_AT_ONCE = 10
_PRINTED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """A gate of a ladder."""

    name: str
    state: str
    word: str
    at: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """A verdict as the page shows it. `key` stays the same from run to run, so that a link to it does."""

    key: str
    outcome: str
    word: str
    tone: str
    rule: str
    title: str
    asked: str
    marks: tuple[str, ...]
    cause: str
    time: str
    gates: tuple[GateRow, ...]
    sightings: tuple[str, ...]
    proof: str
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBlock:
    """A detonation, or a step that was not sent, with its verdicts."""

    key: str
    planned: str
    name: str
    scenario: str
    target: str
    technique: str
    facts: str
    command: str
    printed: str
    chart: Chart | None
    verdicts: tuple[VerdictRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What a rule did in a scenario; `key` is that of its gravest verdict."""

    tone: str
    mark: str
    count: str
    said: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """A rule over all scenarios."""

    rule: str
    title: str
    status: str
    tone: str
    times: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything on the page."""

    run_id: str
    heading: str
    tone: str
    facts: tuple[tuple[str, str], ...]
    glance: Glance
    counts: tuple[tuple[str, str, int], ...]
    scenarios: tuple[str, ...]
    matrix: tuple[MatrixRow, ...]
    untested: tuple[tuple[str, str], ...]
    times: Chart | None
    time_rows: tuple[tuple[str, str, str, str, str], ...]
    targets: tuple[str, ...]
    steps: tuple[StepBlock, ...]
    beside: tuple[str, ...]
    against: str
    changes: tuple[tuple[str, tuple[str, ...]], ...]
    marks: tuple[str, ...]
    nights: Nights | None
    words: tuple[tuple[str, str, str], ...]


def page_of(report: Report) -> Page:
    """The page of a report."""
    titles = {coverage.rule: coverage.title for coverage in report.coverage}
    environment = report.environment
    scenarios = tuple(dict.fromkeys(verdict.scenario for verdict in report.verdicts))
    outcomes = Counter(verdict.outcome for verdict in report.verdicts)
    meaning = standing.meaning(report) or f"exit {report.exit_code}"
    chart, time_rows = _times(report.verdicts, titles)
    ordered = sorted(report.coverage, key=lambda entry: (-STATUS_ORDER.index(entry.status), entry.title.casefold()))
    return Page(
        run_id=report.run_id,
        heading=meaning[:1].upper() + meaning[1:],
        tone={0: "good", 1: "bad"}.get(report.exit_code, "open"),
        facts=(
            ("Started", f"{report.started_at:%Y-%m-%d %H:%M:%S} UTC, {seconds(report.finished_at - report.started_at)}"),
            ("Targets", listed(environment.targets, 12)),
            ("SIEM", environment.siem),
            ("Clocks", ", ".join(f"{name} {offset:+.3f} s" for name, offset in sorted(environment.clock_offsets.items()))[:300]),
            ("Driver", f"harness {environment.harness}, Python {environment.python}, {environment.platform}"),
        ),
        glance=glance_of(report, titles, [_key(verdict) for verdict in report.verdicts]),
        counts=tuple((outcome.value, TONE[outcome], outcomes[outcome]) for outcome in Outcome if outcomes[outcome]),
        scenarios=scenarios,
        matrix=tuple(_matrix_row(entry, report.verdicts, scenarios) for entry in ordered if entry.outcomes),
        untested=tuple((short(entry.rule), entry.title) for entry in ordered if not entry.outcomes),
        times=chart,
        time_rows=time_rows,
        targets=tuple(dict.fromkeys(verdict.target for verdict in report.verdicts)),
        steps=_steps(report, titles),
        beside=tuple(_beside(report, titles)),
        against=standing.against(report),
        changes=tuple(_changes(report, titles)),
        marks=(
            *(f"Quarantine: {line}" for line in standing.quarantined(report, titles)),
            *(f"Objective not kept: {line}" for line in standing.breached(report.breaches, titles)),
            *(f"Flaky: {line}" for line in standing.flaky(report, titles)),
        ),
        nights=nights_of(report.trends, titles),
        words=tuple((outcome.value, TONE[outcome], said) for outcome, said in meanings.OUTCOMES.items() if outcomes[outcome]),
    )


# --- the runs before ------------------------------------------------------------------------------------------------------


def _changes(report: Report, titles: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A head for each group of what changed alike, and the lines below it."""
    lines = [line for line, _ in change_lines(standing.told(report), titles)]
    heads = [place for place, line in enumerate(lines) if not line.startswith(" ")]
    for start, end in pairwise([*heads, len(lines)]):
        yield lines[start], tuple(line.strip().removeprefix("- ") for line in lines[start + 1 : end])


def _key(verdict: Verdict) -> str:
    named_by = "\0".join((verdict.planned, verdict.expectation.rule, str(verdict.expectation.fires)))
    return f"v-{sha256(named_by.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


# --- coverage -------------------------------------------------------------------------------------------------------------


def _matrix_row(entry: RuleCoverage, verdicts: Sequence[Verdict], scenarios: Sequence[str]) -> MatrixRow:
    own: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.expectation.rule == entry.rule:
            own.setdefault(verdict.scenario, []).append(verdict)
    times = [seconds(time) for time in dict.fromkeys((entry.fastest, entry.slowest)) if time is not None]
    return MatrixRow(
        rule=short(entry.rule),
        title=entry.title,
        status=entry.status.value,
        tone=STATUS_TONE[entry.status],
        times=" to ".join(times),
        cells=tuple(_cell(own[scenario]) if scenario in own else None for scenario in scenarios),
    )


def _cell(verdicts: Sequence[Verdict]) -> Cell:
    tone = gravest(verdicts)
    worst = next(verdict for verdict in verdicts if TONE[verdict.outcome] == tone)
    counts = Counter(verdict.outcome.value for verdict in verdicts)
    met = sum(verdict.outcome in MET for verdict in verdicts)
    return Cell(
        tone=tone,
        mark=MARK[tone],
        count=f"{met}/{len(verdicts)}",
        said=", ".join(f"{count} {outcome}" for outcome, count in counts.items()),
        key=_key(worst),
    )


# --- times ----------------------------------------------------------------------------------------------------------------


def _times(verdicts: Sequence[Verdict], titles: Mapping[str, str]) -> tuple[Chart | None, tuple[tuple[str, str, str, str, str], ...]]:
    """How long detections took, rule by rule: a picture, and the same as rows of rule, count, fastest, median and slowest."""
    found: dict[str, list[tuple[timedelta, Outcome]]] = {}
    for verdict in verdicts:
        if verdict.time_to_detect is not None and verdict.expectation.fires:
            found.setdefault(verdict.expectation.rule, []).append((verdict.time_to_detect, verdict.outcome))
    if not found:
        return None, ()
    slowest = max(time for times in found.values() for time, _ in times)
    length = slowest if slowest > timedelta() else timedelta(seconds=1)
    lanes, rows = [], []
    for rule, times in sorted(found.items(), key=lambda item: -max(item[1])[0]):
        lengths = [time for time, _ in times]
        middle = timedelta(seconds=median(time.total_seconds() for time in lengths))
        points = tuple(Point(at=share(time, length), width=0, tone=TONE[outcome], said=seconds(time)) for time, outcome in times)
        lanes.append(Lane(name=named(rule, titles), points=points, middle=share(middle, length), note=seconds(middle)))
        rows.append((named(rule, titles), str(len(times)), seconds(min(lengths)), seconds(middle), seconds(max(lengths))))
    said = f"Times to detect of {count_of(len(rows), 'rule')}, up to {seconds(slowest)}; the table below has the numbers."
    return Chart(lanes=tuple(lanes), ticks=ticks(length), said=said), tuple(rows)


# --- detonations ----------------------------------------------------------------------------------------------------------


def _steps(report: Report, titles: Mapping[str, str]) -> tuple[StepBlock, ...]:
    """What failed stands first; else as it was run."""
    verdicts = report.verdicts
    flaky = {trend.line for trend in report.trends.lines if trend.flaky} if report.trends is not None else set()
    marks = {_key(verdict): tuple(_marks(report, verdict, flaky)) for verdict in verdicts}
    blocks = sorted(grouped(verdicts, lambda verdict: verdict.planned), key=lambda block: GRAVITY.index(gravest(block[1])))
    failing = sum(verdict.outcome in GAPS for verdict in verdicts)
    return tuple(_step(planned, found, titles, marks, open_failures=failing <= _OPEN_AT_ONCE) for planned, found in blocks)


def _marks(report: Report, verdict: Verdict, flaky: Collection[Line]) -> Iterator[str]:
    """How it stands to the runs before and to what people said of it, a word each."""
    stands = standing_in(report, verdict)
    if stands is not None and (report.comparison is not None or verdict.expectation.quarantine is not None):
        yield stands.value
    if (verdict.planned, verdict.expectation.rule, verdict.expectation.fires) in flaky:
        yield "flaky"


def _step(
    planned: str, verdicts: Sequence[Verdict], titles: Mapping[str, str], marks: Mapping[str, tuple[str, ...]], *, open_failures: bool
) -> StepBlock:
    detonation = next((verdict.detonation for verdict in verdicts if verdict.detonation is not None), None)
    step = detonation.planned.step if detonation is not None else None
    ordered = sorted(verdicts, key=lambda verdict: GRAVITY.index(TONE[verdict.outcome]))
    return StepBlock(
        key=f"d-{sha256(planned.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}",
        planned=planned,
        name=step.name if step is not None else "not sent",
        scenario=verdicts[0].scenario,
        target=verdicts[0].target,
        technique=(step.technique or "") if step is not None else "",
        facts=_facts(detonation) if detonation is not None else "",
        command=_command(detonation.planned.action) if detonation is not None else "",
        printed=_printed(detonation) if detonation is not None else "",
        chart=_timeline(detonation, verdicts) if detonation is not None else None,
        verdicts=tuple(
            _verdict(verdict, titles, marks[_key(verdict)], is_open=open_failures and verdict.outcome in GAPS) for verdict in ordered
        ),
    )


def _facts(detonation: Detonation) -> str:
    took = seconds(detonation.finished_at - detonation.started_at)
    outcome = detonation.outcome
    if isinstance(outcome, Failure):
        return f"failed after {took}: {outcome.kind.value}: {outcome.message}"
    code = "" if outcome.exit_code is None else f", exit code {outcome.exit_code}"
    via = detonation.planned.target.via
    way = f", by way of {via.name}" if via is not None else ""
    return f"ran in {took} at {clock(detonation.started_at)} UTC{way}{code}" + (
        f", ended by {outcome.terminated}" if outcome.terminated else ""
    )


def _command(action: Action) -> str:
    match action:
        case EnterPSSession(lines=lines):
            return " ⏎ ".join(lines)
        case InvokeCommand(script=script):
            return script
        case WinRS(command=command):
            return command
        case _:
            return "a session was opened and closed"


def _printed(detonation: Detonation) -> str:
    outcome = detonation.outcome
    if isinstance(outcome, Failure):
        return ""
    errors = (record.text for record in outcome.records if record.stream is StreamKind.ERROR)
    lines = [line for line in outcome.output if line.strip()]
    rest = [f"and {len(lines) - _PRINTED} lines more"] if len(lines) > _PRINTED else []
    return " ⏎ ".join([*lines[:_PRINTED], *rest, *errors])


def _timeline(detonation: Detonation, verdicts: Sequence[Verdict]) -> Chart:
    """From sent to alert, by our clock: times of the target's are put on it by what the session measured."""
    started = detonation.started_at
    offset = detonation.footprint.clock_offset if detonation.footprint is not None else timedelta()
    events = [event.time - offset for verdict in verdicts for sighting in verdict.sightings for event in sighting.alert.events]
    lanes: list[tuple[str, list[tuple[datetime, str]]]] = [("events logged", [(at, "info") for at in events])]
    for name, kind, state in (
        ("searchable", GateKind.TELEMETRY, GateState.PASSED),
        ("rule matches", GateKind.QUERY, GateState.PASSED),
        ("rule ran, no alert", GateKind.ALERT, GateState.FAILED),
        ("alert", GateKind.ALERT, GateState.PASSED),
    ):
        passed = [
            (gate.at, TONE[verdict.outcome])
            for verdict in verdicts
            for gate in verdict.gates
            if gate.kind is kind and gate.state is state and gate.at is not None
        ]
        lanes.append((name, passed))
    last = max([detonation.finished_at, *(at for _, found in lanes for at, _ in found)])
    length = max(last - started, timedelta(milliseconds=1))
    took = detonation.finished_at - started
    sent = Point(at=0, width=max(share(took, length), 0.4), tone="none", said=f"sent, executed after {seconds(took)}")
    drawn = [Lane(name="sent, executed", points=(sent,))]
    for name, found in lanes:
        points = [Point(at=share(at - started, length), width=0, tone=tone, said=seconds(at - started)) for at, tone in sorted(set(found))]
        drawn.append(Lane(name=name, points=tuple(points)))
    said = "; ".join(f"{lane.name}: {listed([point.said for point in lane.points], 4) or 'nothing'}" for lane in drawn)
    return Chart(lanes=tuple(drawn), ticks=ticks(length), said=f"Timeline. {said}.")


def _verdict(verdict: Verdict, titles: Mapping[str, str], marks: tuple[str, ...], *, is_open: bool) -> VerdictRow:
    expectation = verdict.expectation
    asked = [] if expectation.fires else ["must stay quiet"]
    if expectation.within is not None:
        asked.append(f"within {seconds(expectation.within)}")
    asked += [f"{name} {value}" for name, value in (("severity", expectation.severity), ("priority", expectation.priority)) if value]
    if expectation.known_gap is not None:
        asked.append(f"known gap: {expectation.known_gap}")
    started = verdict.detonation.started_at if verdict.detonation is not None else None
    return VerdictRow(
        key=_key(verdict),
        outcome=verdict.outcome.value,
        word=outcome_word(verdict),
        tone=TONE[verdict.outcome],
        rule=expectation.rule,
        title=titles.get(expectation.rule, expectation.rule),
        asked=", ".join(asked),
        marks=marks,
        cause=verdict.cause,
        time=seconds(verdict.time_to_detect) if verdict.time_to_detect is not None else "",
        gates=tuple(
            GateRow(
                name=gate.kind.value,
                state=gate.state.value,
                word=GATE_WORD[gate.state],
                at=gate_time(gate, started),
                evidence=tuple(gate_evidence(gate)),
            )
            for gate in verdict.gates
        ),
        sightings=tuple(
            f"{sighting.alert.source} alert {sighting.alert.id}, {sighting.alert.severity}, after {seconds(sighting.time_to_detect)}, "
            f"{sighting.basis.value}: {', '.join(sighting.keys)}"
            + (", the transport alone would have raised it" if sighting.transport_caused else "")
            + (", does not count" if sighting.basis is Basis.AMBIGUOUS else "")
            for sighting in verdict.sightings
        ),
        proof=verdict.proof or "",
        open=is_open,
    )


# --- beside ---------------------------------------------------------------------------------------------------------------


def _beside(report: Report, titles: Mapping[str, str]) -> Iterable[str]:
    for (rule, transport), sightings in grouped(report.unexpected, lambda sighting: (sighting.alert.rule, sighting.transport_caused)):
        where = listed(sorted({sighting.detonation for sighting in sightings}))
        why = "Raised by the transport alone" if transport else "Unexpected"
        yield f"{why}: {named(rule, titles)}, {count_of(len(sightings), 'alert')} at {where}"
    for (rule, host), alerts in grouped(report.unattributed, lambda alert: (alert.rule, alert.host)):
        when = f"{clock(min(alert.raised_at for alert in alerts))} to {clock(max(alert.raised_at for alert in alerts))}"
        yield f"Unattributed: {named(rule, titles)}, {count_of(len(alerts), 'alert')} on {host}, {when}"
    for cleanup in report.cleanups:
        if trouble := cleanup_trouble(cleanup):
            yield f"Cleanup failed: {cleanup.planned.id}: {trouble}"
