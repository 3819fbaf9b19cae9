"""The difference of two runs: what broke, what was mended, what got slower, and the causes that are known of it, likeliest first.

A cause is a fact in which the runs differ, or that the later one states, and that the expectation hangs on: its own rule's text, its own
step, the kinds of event that its rule reads on its own host. What a verdict failed at says which facts can have brought it about, and
in which order they are likely; that order is `_LIKELY`. Where no such fact is known, that is what is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from difflib import unified_diff
from enum import Enum, auto

from harness.core.cover import MET
from harness.core.record import ANY_ID
from harness.core.slower import slower
from harness.events.audit import setting_behind, settings_behind
from harness.model.changes import Cause, CauseKind, Change, ChangeKind, Line, PastVerdict
from harness.model.facts import FailureKind
from harness.model.report import Aspect, Circumstance, Clause, HostTelemetry, RuleRecord, RunRecord
from harness.model.verdicts import Inconclusive, Outcome

Times = Mapping[Line, tuple[Sequence[timedelta], Sequence[timedelta]]]
"""Of an expectation its times to detect: in the runs up to the earlier one, and in those after it up to the later one; oldest first."""

_NO_EXCUSE = (CauseKind.UNKNOWN, CauseKind.STEP_FAILED, CauseKind.MAPPING)
"""What does not explain a turn: a dynamic mapping grows by itself."""

_AGENT = "agent"
"""Among the settings of a host's logging: the program that ships its events, without which none arrives."""

_MOST_LINES = 6
_MOST_NAMED = 4
_LONGEST = 240
_LAG_BY = timedelta(seconds=1)
_LAG_TIMES = 2.0
_INTERVAL_TIMES = 1.25
"""An interval may be measured, not told: less than this is how measurements differ."""


def changes(before: RunRecord, after: RunRecord, times: Times | None = None) -> tuple[Change, ...]:
    """Every expectation whose verdict is another one, the gravest first, then as they were judged.

    Without `times` a detection is held to be slower by the two runs alone.
    """
    old, new = ({verdict.line: verdict for verdict in run.verdicts} for run in (before, after))
    known = _Between(before, after)
    found = [change for line in (old | new) if (change := _change(old.get(line), new.get(line), known, times)) is not None]
    order = list(ChangeKind)
    return tuple(sorted(found, key=lambda change: order.index(change.kind)))


def explaining(before: RunRecord, after: RunRecord) -> Callable[[Line], bool]:
    """What says whether a cause is known of what became of an expectation between two runs; false of one that either did not have."""
    old, new = ({verdict.line: verdict for verdict in run.verdicts} for run in (before, after))
    known = _Between(before, after)

    def explained(line: Line) -> bool:
        if line not in old or line not in new:
            return False
        return any(cause.kind not in _NO_EXCUSE for cause in _ranked(old[line], new[line], known, ""))

    return explained


def _change(old: PastVerdict | None, new: PastVerdict | None, known: _Between, times: Times | None) -> Change | None:
    if old is None or new is None:
        return Change(kind=ChangeKind.NEW if old is None else ChangeKind.GONE, before=old, after=new)
    pace = _pace(old, new, times)
    kind = _kind(old, new, pace)
    if kind is None:
        return None
    return Change(kind=kind, before=old, after=new, causes=_ranked(old, new, known, pace if kind is ChangeKind.SLOWER else ""))


def _pace(old: PastVerdict, new: PastVerdict, times: Times | None) -> str:
    if old.outcome is not Outcome.DETECTED or new.outcome is not Outcome.DETECTED or old.took is None or new.took is None:
        # Late before and later now is a change of nothing; what is in time and slower is the first sign.
        return ""
    earlier, later = (times or {}).get(new.line, ((), ()))
    return slower(earlier or (old.took,), later or (new.took,))


def _kind(old: PastVerdict, new: PastVerdict, pace: str) -> ChangeKind | None:
    was, is_now = old.outcome in MET, new.outcome in MET
    if was != is_now:
        return ChangeKind.BROKEN if was else ChangeKind.MENDED
    if old.outcome is not new.outcome:
        return ChangeKind.CHANGED
    return ChangeKind.SLOWER if pace else None


# --- which causes are likely ---------------------------------------------------------------------------------------------------


class _Mode(Enum):
    """What a verdict failed at."""

    NOT_EXECUTED = auto()
    NO_SIEM = auto()
    NOT_DEPLOYED = auto()
    NO_TELEMETRY = auto()
    NO_MATCH = auto()
    NO_ALERT = auto()  # the query matches and no alert came of it
    NO_RUN = auto()
    TOO_LATE = auto()
    OTHER_GRADE = auto()
    NOISE = auto()
    NOT_EXERCISABLE = auto()
    MET = auto()


_K = CauseKind
_ALWAYS = (_K.SETTING, _K.SIEM_VERSION, _K.HARNESS)
_RULE_ITSELF = (_K.RULE_REMOVED, _K.RULE_DISABLED)
_HOST = (_K.AUDIT, _K.SENSOR, _K.AGENT, _K.TELEMETRY)
_LIKELY: Mapping[_Mode, tuple[CauseKind, ...]] = {
    _Mode.NOT_EXECUTED: (_K.TARGET_DOWN, _K.UNAUTHORISED, _K.SCENARIO, _K.STEP_FAILED, *_ALWAYS),
    _Mode.NO_SIEM: (_K.SIEM_DOWN, _K.INTERRUPTED, *_ALWAYS),
    _Mode.NOT_DEPLOYED: (*_RULE_ITSELF, *_ALWAYS),
    _Mode.NO_TELEMETRY: (_K.AUDIT, _K.SENSOR, _K.SCENARIO, _K.RULE_TEXT, _K.AGENT, _K.TELEMETRY, _K.INGEST_LAG, _K.SCHEDULE, *_ALWAYS),
    _Mode.NO_MATCH: (_K.RULE_TEXT, _K.SCENARIO, *_HOST, _K.MAPPING, _K.RULE_REVISION, *_ALWAYS),
    _Mode.NO_ALERT: (
        _K.EXCEPTION,
        _K.SILENCE,
        _K.RULE_REVISION,
        _K.MAPPING,
        _K.RULE_INTERVAL,
        _K.INGEST_LAG,
        _K.RULE_TEXT,
        _K.AGENT,
        _K.SCENARIO,
        *_ALWAYS,
    ),
    _Mode.NO_RUN: (_K.SCHEDULE, _K.INGEST_LAG, _K.RULE_INTERVAL, _K.RULE_REVISION, _K.RULE_TEXT, _K.SILENCE, *_ALWAYS),
    _Mode.TOO_LATE: (_K.EXPECTATION, _K.INGEST_LAG, _K.RULE_INTERVAL, _K.SCHEDULE, _K.RULE_REVISION, _K.RULE_TEXT, _K.SCENARIO, *_ALWAYS),
    _Mode.OTHER_GRADE: (_K.EXPECTATION, _K.RULE_SEVERITY, _K.RULE_TEXT, _K.RULE_REVISION, *_ALWAYS),
    _Mode.NOISE: (_K.EXPECTATION, _K.RULE_TEXT, _K.SCENARIO, _K.EXCEPTION, _K.RULE_REVISION, *_HOST, _K.MAPPING, *_ALWAYS),
    _Mode.NOT_EXERCISABLE: (_K.SCENARIO, _K.RULE_TEXT, _K.EXPECTATION, *_ALWAYS),
    _Mode.MET: (
        _K.EXPECTATION,
        *_RULE_ITSELF,
        _K.RULE_TEXT,
        _K.RULE_SEVERITY,
        _K.SCENARIO,
        _K.EXCEPTION,
        _K.SILENCE,
        *_HOST,
        _K.INGEST_LAG,
        _K.RULE_INTERVAL,
        _K.SCHEDULE,
        _K.MAPPING,
        _K.RULE_REVISION,
        *_ALWAYS,
    ),
}
"""What can have brought a verdict about, by what it failed at, likeliest first. What is not named cannot."""


def _mode(verdict: PastVerdict) -> _Mode:
    match verdict.outcome, verdict.inconclusive:
        case Outcome.INCONCLUSIVE, Inconclusive.NOT_EXECUTED:
            return _Mode.NOT_EXECUTED
        case Outcome.INCONCLUSIVE, Inconclusive.SIEM_LOST | Inconclusive.INTERRUPTED:
            return _Mode.NO_SIEM
        case Outcome.INCONCLUSIVE, Inconclusive.NOT_DEPLOYED:
            return _Mode.NOT_DEPLOYED
        case Outcome.INCONCLUSIVE, Inconclusive.NO_TELEMETRY:
            return _Mode.NO_TELEMETRY
        case Outcome.INCONCLUSIVE, _:
            return _Mode.NO_RUN
        case Outcome.BLIND, _:
            return _Mode.NO_TELEMETRY
        case Outcome.LATE, _:
            return _Mode.TOO_LATE
        case Outcome.MISGRADED, _:
            return _Mode.OTHER_GRADE
        case Outcome.NOISY, _:
            return _Mode.NOISE
        case Outcome.NOT_EXERCISABLE, _:
            return _Mode.NOT_EXERCISABLE
        case ((Outcome.MISSED | Outcome.KNOWN_GAP), _):
            if verdict.gates[1:2] in ("f", "u"):
                return _Mode.NO_TELEMETRY
            return _Mode.NO_ALERT if verdict.gates[2:3] == "p" else _Mode.NO_MATCH
        case _:
            return _Mode.MET


def _ranked(old: PastVerdict, new: PastVerdict, known: _Between, pace: str) -> tuple[Cause, ...]:
    mode = _Mode.TOO_LATE if pace else _mode(new)
    if mode is _Mode.MET and old.outcome not in MET:
        # What was mended has as its cause what had been wrong, gone: looked for by what the old verdict failed at.
        mode = _mode(old) if _mode(old) in (_Mode.TOO_LATE, _Mode.OTHER_GRADE) else _Mode.MET
    likely = _LIKELY[mode]
    found = [cause for cause in known.causes(old, new, mode) if cause.kind in likely]
    found.sort(key=lambda cause: (not cause.direct, likely.index(cause.kind)))
    if not found:
        found.append(Cause(kind=_K.UNKNOWN, what="nothing that is known of the two runs changed in what it hangs on"))
    if evidence := pace or new.cause:
        found[0] = Cause(
            kind=found[0].kind, what=found[0].what, evidence=tuple(dict.fromkeys([*found[0].evidence, evidence])), direct=found[0].direct
        )
    return tuple(found)


# --- in what two runs differ -----------------------------------------------------------------------------------------------------


class _Between:
    """Two runs, and in which facts they differ. What does not hang on a single expectation is found once."""

    def __init__(self, before: RunRecord, after: RunRecord) -> None:
        self._before = before
        self._after = after
        self._old, self._new = _by_place(before.environment.circumstances), _by_place(after.environment.circumstances)
        self._hosts = _hosts_of(before) | _hosts_of(after)
        self._settings = tuple(self._of_settings())
        self._everywhere = (*self._of_siem(), *self._of_driver())

    def causes(self, old: PastVerdict, new: PastVerdict, mode: _Mode) -> Iterator[Cause]:
        """Every fact in which they differ and on which this expectation hangs."""
        yield from self._of_sending(new, mode)
        yield from self._of_rule_state(new.rule)
        yield from self._of_rule(old, new, mode)
        yield from self._of_step(old, new)
        yield from self._of_host(new, mode)
        yield from (cause for about, cause in self._settings if about in ("", new.target))
        yield from self._everywhere

    # --- what became of the step

    def _of_sending(self, new: PastVerdict, mode: _Mode) -> Iterator[Cause]:
        if mode is _Mode.NOT_EXECUTED:
            match new.failure:
                case FailureKind.AUTHENTICATION | FailureKind.REFUSED:
                    yield Cause(kind=_K.UNAUTHORISED, what=f"the target {new.target} refused us", direct=True)
                case FailureKind.CONNECT | FailureKind.CONNECTION_LOST | FailureKind.NOT_SENT | FailureKind.TIMEOUT:
                    yield self._down(new)
                case _:
                    yield Cause(kind=_K.STEP_FAILED, what=f"the step did not succeed on {new.target}")
        elif new.inconclusive is Inconclusive.SIEM_LOST:
            yield Cause(kind=_K.SIEM_DOWN, what="the SIEM did not answer", direct=True)
        elif new.inconclusive is Inconclusive.INTERRUPTED:
            yield Cause(kind=_K.INTERRUPTED, what="the run was interrupted", direct=True)

    def _down(self, new: PastVerdict) -> Cause:
        """What was not sent was not because of what happened to the target before: its first failure is the one to tell."""
        own = [verdict for verdict in self._after.verdicts if verdict.target == new.target and verdict.failure is not None]
        first = next((verdict for verdict in own if verdict.failure is not FailureKind.NOT_SENT), new)
        if first.failure in (FailureKind.AUTHENTICATION, FailureKind.REFUSED):
            return Cause(kind=_K.UNAUTHORISED, what=f"the target {new.target} refused us", evidence=(first.cause,), direct=True)
        fell = {verdict.planned for verdict in own}
        evidence = (f"{len(fell)} of its steps did not run",)
        return Cause(kind=_K.TARGET_DOWN, what=f"the target {new.target} could not be driven", evidence=evidence, direct=True)

    # --- the rule

    def _of_rule_state(self, rule: str) -> Iterator[Cause]:
        was, is_now = (states.get((Aspect.RULE, rule, "state"), "") for states in (self._old, self._new))
        if was != is_now and was and is_now:
            kind = _K.RULE_REMOVED if "not deployed" in (was, is_now) else _K.RULE_DISABLED
            yield Cause(kind=kind, what=f"the rule was {was} and is {is_now} in the SIEM", direct=True)
        for aspect, kind, word in ((Aspect.EXCEPTION, _K.EXCEPTION, "exception"), (Aspect.SILENCE, _K.SILENCE, "silence")):
            yield from self._withheld(rule, aspect, kind, word)
        for name, kind in (("interval", _K.RULE_INTERVAL), ("revision", _K.RULE_REVISION)):
            was, is_now = (states.get((Aspect.RULE, rule, name), "") for states in (self._old, self._new))
            if was and is_now and was != is_now and (name != "interval" or _moved(was, is_now)):
                yield Cause(kind=kind, what=f"the rule's {name} was {was}, now it is {is_now}")

    def _withheld(self, rule: str, aspect: Aspect, kind: CauseKind, word: str) -> Iterator[Cause]:
        old, new = (
            {(name, value) for (of, about, name), value in states.items() if (of, about) == (aspect, rule)}
            for states in (self._old, self._new)
        )
        for name, value in sorted(new - old):
            yield Cause(kind=kind, what=f"the {word} {name} was added to the rule", evidence=(value,) if value else (), direct=True)
        for name, value in sorted(old - new):
            yield Cause(kind=kind, what=f"the {word} {name} of the rule is gone", evidence=(value,) if value else (), direct=True)

    def _of_rule(self, old: PastVerdict, new: PastVerdict, mode: _Mode) -> Iterator[Cause]:
        was, is_now = self._before.rules.get(new.rule), self._after.rules.get(new.rule)
        if was is None or is_now is None:
            if was is not None and (Aspect.RULE, new.rule, "state") not in self._new:
                yield Cause(kind=_K.RULE_REMOVED, what=f"the rule ({was.source}) is no longer there", direct=True)
            return
        if was.severity is not is_now.severity:
            what = f"the rule's severity was {was.severity.value}, now it is {is_now.severity.value}"
            yield Cause(kind=_K.RULE_SEVERITY, what=what, evidence=(is_now.source,), direct=True)
        if was.definition != is_now.definition:
            yield _text_changed(was, is_now, old, new, mode)

    # --- the scenario

    def _of_step(self, old: PastVerdict, new: PastVerdict) -> Iterator[Cause]:
        if old.terms != new.terms:
            what = f"the expectation changed: it was {old.terms or 'without terms'}, now it is {new.terms or 'without terms'}"
            yield Cause(kind=_K.EXPECTATION, what=what, direct=True)
        was, is_now = self._before.steps.get(new.planned), self._after.steps.get(new.planned)
        if was is not None and is_now is not None and was != is_now:
            yield Cause(kind=_K.SCENARIO, what=f"the scenario changed: step {new.planned}", evidence=_diff(was, is_now), direct=True)

    # --- the host and what arrives of it

    def _of_host(self, new: PastVerdict, mode: _Mode) -> Iterator[Cause]:
        rule = self._after.rules.get(new.rule) or self._before.rules.get(new.rule)
        kinds = rule.kinds if rule is not None else ()
        host = new.host or self._hosts.get(new.target, "")
        yield from self._of_switches(new.target, host, kinds, mode)
        was, is_now = self._before.telemetry.get(host), self._after.telemetry.get(host)
        if was is not None and is_now is not None and was.agents != is_now.agents and was.agents and is_now.agents:
            what = f"the agent of {new.target} was {', '.join(was.agents)}, now it is {', '.join(is_now.agents)}"
            yield Cause(kind=_K.AGENT, what=what)
        if was is not None and new.failure is None and mode is not _Mode.NOT_EXECUTED:
            yield from self._of_kinds(new, host, kinds, was, is_now)
        yield from self._of_lag(new, was, is_now)

    def _of_switches(self, target: str, host: str, kinds: Sequence[str], mode: _Mode) -> Iterator[Cause]:
        needed = {name: kind for kind in kinds for name in _settings_behind(kind)}
        for aspect, kind in ((Aspect.AUDIT, _K.AUDIT), (Aspect.SENSOR, _K.SENSOR)):
            for place in sorted(self._old.keys() & self._new.keys()):
                of, about, name = place
                was, is_now = self._old[place], self._new[place]
                if of is not aspect or about not in ("", target, host) or was == is_now:
                    continue
                on = f" on {about}" if about else ""
                yield Cause(
                    kind=kind,
                    what=f"the {aspect.value} setting {name}{on} was {was}, now it is {is_now}",
                    evidence=(f"the rule reads {needed[name]}, which is not logged without it",) if name in needed else (),
                    direct=mode is _Mode.NO_TELEMETRY and (name in needed or name == _AGENT),
                )

    def _of_kinds(
        self, new: PastVerdict, host: str, kinds: Sequence[str], was: HostTelemetry, is_now: HostTelemetry | None
    ) -> Iterator[Cause]:
        """Of the kinds that the rule reads, those that came and no longer do: of any of them one is enough for the rule."""
        had = {kind: count for kind, count in was.kinds.items() if _read(kinds, kind)}
        if not had:
            return
        has = {kind for kind in (is_now.kinds if is_now is not None else ()) if _read(kinds, kind)}
        stopped = sorted(had.keys() - has)
        if not stopped:
            return
        named = ", ".join(stopped[:_MOST_NAMED])
        others = [
            name
            for name, found in self._after.telemetry.items()
            if name != host and any(kind in found.kinds for kind in stopped) and name in self._before.telemetry
        ]
        elsewhere = [name for name in self._before.telemetry if name != host]
        where = f"{new.target} ({host})" if others or not elsewhere else f"any host, {new.target} among them"
        rest = (
            f"others of the host still do ({len(is_now.kinds)} kinds)" if is_now is not None and is_now.kinds else "nor does anything else"
        )
        evidence = [f"before: {', '.join(f'{kind} {had[kind]}x' for kind in stopped[:_MOST_NAMED])}; now none, {rest}"]
        evidence += [f"it still arrives from {', '.join(others[:_MOST_NAMED])}"] if others else []
        settings = sorted({setting_behind(channel, int(number)) for channel, number in map(_parted, stopped) if number.isdecimal()} - {""})
        evidence += [f"the setting behind it: {', '.join(settings)}"] if settings else []
        yield Cause(kind=_K.TELEMETRY, what=f"{named} no longer arrives from {where}", evidence=tuple(evidence), direct=not has)

    def _of_lag(self, new: PastVerdict, was: HostTelemetry | None, is_now: HostTelemetry | None) -> Iterator[Cause]:
        if was is None or is_now is None:
            return
        old, now = was.lag_p50, is_now.lag_p50
        if abs(now - old) < _LAG_BY or max(old, now) < min(old, now) * _LAG_TIMES:
            return
        evidence = (f"95 % of {is_now.host}'s events: {_span(was.lag_p95)}, now {_span(is_now.lag_p95)}",)
        what = f"the ingest lag of {new.target} was {_span(old)}, now it is {_span(now)}"
        yield Cause(kind=_K.INGEST_LAG, what=what, evidence=evidence, direct=now > old)

    # --- what all expectations hang on

    def _of_siem(self) -> Iterator[Cause]:
        was, is_now = self._before.environment.siem, self._after.environment.siem
        if was != is_now and was and is_now:
            yield Cause(kind=_K.SIEM_VERSION, what=f"the SIEM was {was}, now it is {is_now}")
        for name, kind in (("version", _K.SIEM_VERSION), ("rule schedule", _K.SCHEDULE)):
            was, is_now = (states.get((Aspect.SIEM, "", name), "") for states in (self._old, self._new))
            if was != is_now and was and is_now:
                what = f"the SIEM's {name} was {was}, now it is {is_now}"
                yield Cause(kind=kind, what=what, direct=kind is _K.SCHEDULE and is_now != "running")
        for place in sorted(self._old.keys() & self._new.keys()):
            if place[0] is Aspect.MAPPING and self._old[place] != self._new[place]:
                yield Cause(
                    kind=_K.MAPPING, what=f"the mapping of {place[1]} changed", evidence=(f"{self._old[place]}, {self._new[place]}",)
                )

    def _of_settings(self) -> Iterator[tuple[str, Cause]]:
        """Each with whose setting it is. What only one of the runs tells is not known of the other."""
        for place in sorted(self._old.keys() & self._new.keys()):
            was, is_now = self._old[place], self._new[place]
            if place[0] is Aspect.SETTING and was != is_now:
                yield place[1], Cause(kind=_K.SETTING, what=f"the setting {place[2]} was {was}, now it is {is_now}")

    def _of_driver(self) -> Iterator[Cause]:
        old, new = self._before.environment, self._after.environment
        for what, was, is_now in (
            ("harness", old.harness, new.harness),
            ("driver's Python", old.python, new.python),
            ("driver's platform", old.platform, new.platform),
        ):
            if was != is_now:
                yield Cause(kind=_K.HARNESS, what=f"the {what} was {was}, now it is {is_now}")


def _by_place(circumstances: Sequence[Circumstance]) -> Mapping[tuple[Aspect, str, str], str]:
    return {(each.aspect, each.about, each.name): each.value for each in circumstances}


def _hosts_of(run: RunRecord) -> dict[str, str]:
    return {verdict.target: verdict.host for verdict in run.verdicts if verdict.host}


def _text_changed(was: RuleRecord, is_now: RuleRecord, old: PastVerdict, new: PastVerdict, mode: _Mode) -> Cause:
    """The rule's text: the clause that kills now and was not there before, beside the one that it took the place of."""
    gone = [clause for clause in was.clauses if clause not in is_now.clauses]
    come = [clause for clause in is_now.clauses if clause not in was.clauses]
    lines = _diff(was.definition, is_now.definition)
    killing = next((clause for clause in come if _kills(clause, new.killed)), None)
    if killing is not None:
        replaced = next((clause for clause in gone if clause.field.lower() == killing.field.lower()), None)
        instead = f" in place of {_short(replaced.text)}" if replaced is not None else ""
        what = f"the rule's text changed ({is_now.source}): it now wants {_short(killing.text)}{instead}"
        return Cause(kind=_K.RULE_TEXT, what=what, evidence=(new.killed, *lines), direct=True)
    logic = "" if come or gone else ", not in what it matches"
    direct = bool(come or gone) and (mode is not _Mode.NO_MATCH or new.killed != old.killed) and not new.killed
    return Cause(kind=_K.RULE_TEXT, what=f"the rule's text changed ({is_now.source}){logic}", evidence=lines, direct=direct)


def _kills(clause: Clause, killed: str) -> bool:
    """Whether what killed the match says this clause: its sentence names the field, and the value that is wanted of it."""
    if not killed or not (clause.field or clause.value):
        return False
    return clause.field.lower() in killed.lower() and clause.value in killed


def _diff(was: str, is_now: str) -> tuple[str, ...]:
    """The lines that went (-) and came (+), the first few of them."""
    lines = unified_diff(was.splitlines(), is_now.splitlines(), n=0, lineterm="")
    changed = [_short(f"{line[0]} {line[1:].strip()}") for line in lines if not line.startswith(("---", "+++", "@@"))]
    return (*changed[:_MOST_LINES], *([f"and {len(changed) - _MOST_LINES} lines more"] if len(changed) > _MOST_LINES else []))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _moved(was: str, is_now: str) -> bool:
    old, new = (float(text.partition(" ")[0]) for text in (was, is_now))
    return max(old, new) >= min(old, new) * _INTERVAL_TIMES


def _parted(kind: str) -> tuple[str, str]:
    channel, _, number = kind.rpartition(" ")
    return channel, number


def _settings_behind(kind: str) -> Iterator[str]:
    channel, number = _parted(kind)
    if number.isdecimal():
        yield from (setting.name for setting in settings_behind(channel, int(number)))


def _read(wanted: Sequence[str], kind: str) -> bool:
    """Whether a kind of event that arrived is one of those that a rule reads."""
    channel, number = _parted(kind.lower())
    return any(name.lower() == channel and id in (number, ANY_ID) for name, id in map(_parted, wanted))


def _span(length: timedelta) -> str:
    return f"{length.total_seconds():.1f} s"
