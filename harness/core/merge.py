"""The reports of a plan's parts as the one report of the whole, as if one run had made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from harness.core.cover import cover
from harness.core.standing import exit_code
from harness.errors import Problem, UsageError
from harness.model.facts import Alert
from harness.model.report import Environment, HostTelemetry, Report, RuleRecord
from harness.model.verdicts import Sighting


def merge(reports: Mapping[str, Report]) -> Report:
    """One report of the parts' reports, given by where each came from; no matter in which order.

    Raises `UsageError` where they are not all the parts of one plan, each once, judged by the same rules and the same harness.
    """
    _check_parts(reports)
    parts = [report for _, report in sorted(reports.items(), key=_number)]
    rules = _rules(reports)
    verdicts = tuple(verdict for part in parts for verdict in part.verdicts)
    unexpected = tuple({(s.detonation, s.alert.id): s for part in parts for s in part.unexpected}.values())
    interrupted = any(part.interrupted for part in parts)
    return Report(
        run_id=_name(parts),
        environment=_environment(parts),
        started_at=min(part.started_at for part in parts),
        finished_at=max(part.finished_at for part in parts),
        interrupted=interrupted,
        verdicts=verdicts,
        coverage=cover(verdicts, {row.rule: row.title for part in parts for row in part.coverage}),
        unexpected=unexpected,
        unattributed=_unattributed(parts, [*(s for verdict in verdicts for s in verdict.sightings), *unexpected]),
        cleanups=tuple(cleanup for part in parts for cleanup in part.cleanups),
        exit_code=exit_code(verdicts, interrupted=interrupted, day=min(part.started_at for part in parts).date()),
        rules=rules,
        steps=tuple(step for part in parts for step in part.steps),
        telemetry=_telemetry(parts),
    )


def _check_parts(reports: Mapping[str, Report]) -> None:
    wrong: list[Problem] = []
    whole = [path for path, report in reports.items() if report.shard is None]
    if whole:
        raise UsageError(*(Problem(path=path, what="is not the report of a part", fix="make it with --shard I/N") for path in whole))
    first_path, first = next(iter(reports.items()))
    assert first.shard is not None
    seen: dict[int, str] = {}
    for path, report in reports.items():
        shard = report.shard
        assert shard is not None
        if (shard.plan, shard.count) != (first.shard.plan, first.shard.count):
            what = f"is part {shard.number}/{shard.count} of another plan than {first_path}"
            wrong.append(Problem(path=path, what=what, fix="run all parts with the same scenarios, targets, rules and N"))
        elif shard.number in seen:
            wrong.append(Problem(path=path, what=f"is part {shard.number} again, beside {seen[shard.number]}", fix="give each part once"))
        if report.environment.harness != first.environment.harness:
            versions = f"{report.environment.harness}, {first_path} of {first.environment.harness}"
            wrong.append(Problem(path=path, what=f"is of harness {versions}", fix="run all parts with one version"))
        seen.setdefault(shard.number, path)
    missing = sorted(set(range(1, first.shard.count + 1)) - seen.keys())
    if missing and not wrong:
        lacking = ", ".join(f"{number}/{first.shard.count}" for number in missing)
        wrong.append(Problem(path="", what=f"no report of {lacking} was given", fix="run it, the whole cannot be told without it"))
    if wrong:
        raise UsageError(*wrong)


def _number(named: tuple[str, Report]) -> int:
    shard = named[1].shard
    assert shard is not None
    return shard.number


def _rules(reports: Mapping[str, Report]) -> tuple[RuleRecord, ...]:
    found: dict[str, tuple[str, RuleRecord]] = {}
    wrong = []
    for path, report in reports.items():
        for record in report.rules:
            first_path, first = found.setdefault(record.id, (path, record))
            if first.definition != record.definition:
                what = f"judged by another text of rule {record.id} than {first_path}"
                wrong.append(Problem(path=path, what=what, fix="run all parts with the same rules"))
    if wrong:
        raise UsageError(*wrong)
    return tuple(record for _, (_, record) in sorted(found.items()))


def _name(parts: Sequence[Report]) -> str:
    """The same for the same parts: merged twice, they are one run in the history."""
    ids = "\n".join(part.run_id for part in parts)
    return f"{min(part.started_at for part in parts):%Y%m%dT%H%M%SZ}-{sha256(ids.encode(errors='surrogatepass')).hexdigest()[:6]}"


def _environment(parts: Sequence[Report]) -> Environment:
    found = [part.environment for part in parts]
    offsets: dict[str, float] = {}
    for environment in found:
        for name, seconds in environment.clock_offsets.items():
            offsets[name] = max(offsets.get(name, 0.0), seconds, key=abs)
    return Environment(
        harness=found[0].harness,
        python=_each(environment.python for environment in found),
        platform=_each(environment.platform for environment in found),
        targets=tuple(dict.fromkeys(target for environment in found for target in environment.targets)),
        siem=_each(environment.siem for environment in found),
        clock_offsets=offsets,
        circumstances=tuple(dict.fromkeys(each for environment in found for each in environment.circumstances)),
    )


def _telemetry(parts: Sequence[Report]) -> tuple[HostTelemetry, ...]:
    """Counts are added up; of several lags of a host the largest is told."""
    found: dict[str, HostTelemetry] = {}
    for telemetry in (each for part in parts for each in part.telemetry):
        first = found.get(telemetry.host)
        found[telemetry.host] = telemetry if first is None else _together(first, telemetry)
    return tuple(found[host] for host in sorted(found))


def _together(one: HostTelemetry, other: HostTelemetry) -> HostTelemetry:
    return HostTelemetry(
        host=one.host,
        agents=tuple(sorted({*one.agents, *other.agents})),
        kinds=dict(sorted((Counter(one.kinds) + Counter(other.kinds)).items())),
        lag_p50=max(one.lag_p50, other.lag_p50),
        lag_p95=max(one.lag_p95, other.lag_p95),
    )


def _each(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, names)))


def _unattributed(parts: Sequence[Report], sightings: Iterable[Sighting]) -> tuple[Alert, ...]:
    """What is nobody's in a part may be another part's, where both look at one SIEM."""
    somebodys = {sighting.alert.id for sighting in sightings}
    loose = {alert.id: alert for part in parts for alert in part.unattributed if alert.id not in somebodys}
    return tuple(sorted(loose.values(), key=lambda alert: (alert.raised_at, alert.id)))
