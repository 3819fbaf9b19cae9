"""Elastic Security as an alert source: its alerts, and Kibana's event log of rule executions as proof of runs.

Documents are read by `fields`, whose values are lists, since `_source` mixes dotted and nested keys. An EQL sequence writes a building
block for each of its events and one shell; together they are one alert, told once the shell is there. The event log names rules as
this installation does (`rule.id`, `rule.name`); what they are called elsewhere is learnt from alerts, from titles, or from the name itself.
It does not say what an execution searched: its window is taken to begin where the execution before began, or as far back as an
alert says that the rule looks, if that is further.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from harness.events.fields import iso_time, short_name
from harness.model.facts import RuleRun, RuleState
from harness.model.intent import Severity
from harness.siem.elastic.source import Engine, Found, Raised, all_of, any_of, rule_in, runs_still, since_
from harness.siem.elastic.wire import Answer, Hit, Reference, Search

NAME = "elastic-security"

_EVENT_LOG = ".kibana-event-log-*"
_ALERT_FIELDS = (
    "@timestamp",
    "host.name",
    "kibana.alert.ancestors.*",
    "kibana.alert.building_block_type",
    "kibana.alert.group.id",
    "kibana.alert.last_detected",
    "kibana.alert.rule.parameters.exceptions_list.list_id",
    "kibana.alert.rule.parameters.from",
    "kibana.alert.rule.revision",
    "kibana.alert.rule.rule_id",
    "kibana.alert.rule.uuid",
    "kibana.alert.severity",
    "kibana.alert.suppression.docs_count",
)
_RUN_FIELDS = (
    "@timestamp",
    "error.message",
    "event.end",
    "event.outcome",
    "event.start",
    "kibana.alerting.outcome",
    "rule.id",
    "rule.name",
)

# How far back rules are looked for in the event log, and how many of their runs tell an interval; how far back alerts tell a rule's id.
_TRACES = timedelta(days=1)
_LAST_RUNS = 6
_ALERTS_KNOWN = timedelta(days=30)
_MOST_RULES = 10_000
_LOOK_BACK = re.compile(r"now-(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Suppressed:
    """Of what rule (this installation's id), and between when, alerts were folded into one."""

    uuid: str
    first: datetime
    last: datetime
    alert: str


class ElasticSecurity:
    """The `AlertSource` over one Kibana space. `titles` are those of the rules that are known here, by which the event log names them.

    It remembers what it learnt of rules, and when they ran.
    """

    def __init__(self, space: str, titles: Mapping[str, str], rule_interval: timedelta) -> None:
        self._space = space
        self._alerts = f".alerts-security.alerts-{space}"
        self._titles = titles
        self._ids: dict[str, str] = {}
        self._bearers: dict[str, set[str]] = defaultdict(set)
        self._rule_interval = rule_interval
        self._look_back: dict[str, timedelta] = {}
        self._revisions: dict[str, str] = {}
        self._exceptions: dict[str, tuple[str, ...]] = {}
        self._starts: dict[str, list[datetime]] = defaultdict(list)

    @property
    def name(self) -> str:
        """See `AlertSource.name`."""
        return NAME

    @property
    def indices(self) -> Sequence[str]:
        """See `AlertSource.indices`."""
        return [self._alerts, _EVENT_LOG]

    def searches(self, rules: frozenset[str], since: datetime) -> Sequence[Search]:
        """See `AlertSource.searches`. Runs of all rules are read: what a rule is called is known only afterwards."""
        changed = any_of([since_("@timestamp", since), since_("kibana.alert.last_detected", since)])
        last = {"last": {"max": {"field": "@timestamp"}}}
        return [
            Search(index=_EVENT_LOG, query=self._executions(), size=0, aggregations=last),
            Search(index=self._alerts, query=changed, fields=_ALERT_FIELDS),
            Search(index=_EVENT_LOG, query=all_of(self._executions(), since_("@timestamp", since)), fields=_RUN_FIELDS),
        ]

    def read(self, answers: Sequence[Answer]) -> Found:
        """See `AlertSource.read`."""
        last, alerts, runs = answers
        for hit in alerts.hits:
            self._learn(hit)
        suppressed = [one for hit in alerts.hits for one in _suppressed(hit)]
        millis = last.aggregations.get("last", {}).get("value")
        return Found(
            alerts=list(_grouped(alerts.hits)),
            runs=self._runs(runs.hits, suppressed),
            last_run=datetime.fromtimestamp(millis / 1000, UTC) if millis is not None else None,
        )

    def searches_of_rules(self, now: datetime) -> Sequence[Search]:
        """See `AlertSource.searches_of_rules`."""

        def newest(field: str, fields: Sequence[str], size: int) -> Mapping[str, Any]:
            hits = {"size": size, "sort": [{"@timestamp": "desc"}], "_source": False, "fields": list(fields)}
            return {"rules": {"terms": {"field": field, "size": _MOST_RULES}, "aggs": {"newest": {"top_hits": hits}}}}

        known, executions = since_("@timestamp", now - _ALERTS_KNOWN), all_of(self._executions(), since_("@timestamp", now - _TRACES))
        return [
            Search(index=self._alerts, query=known, size=0, aggregations=newest("kibana.alert.rule.uuid", _ALERT_FIELDS, 1)),
            Search(index=_EVENT_LOG, query=executions, size=0, aggregations=newest("rule.id", _RUN_FIELDS, _LAST_RUNS)),
        ]

    def engine(self, answers: Sequence[Answer], now: datetime) -> Engine:
        """See `AlertSource.engine`: rules that were executed within a day. One that no longer is, while others are, is disabled."""
        alerts, executions = answers
        for hit in _of_buckets(alerts):
            self._learn(hit)
        by_rule: dict[str, list[RuleRun]] = defaultdict(list)
        for run in self._runs(list(_of_buckets(executions)), ()):
            by_rule[run.rule].append(run)
        states: dict[str, tuple[RuleState, bool]] = {}
        for rule, runs in by_rule.items():
            starts = sorted(run.started_at for run in runs)
            gaps = sorted(later - earlier for earlier, later in pairwise(starts))
            interval = gaps[len(gaps) // 2] if gaps else self._rule_interval
            look_back = max(self._look_back.get(rule, timedelta(0)), interval)
            state = RuleState(
                rule=rule,
                deployed=True,
                enabled=True,
                interval=interval,
                look_back=look_back,
                revision=self._revisions.get(rule, ""),
                exceptions=self._exceptions.get(rule, ()),
            )
            states[rule] = (state, runs_still(starts[-1], interval, now))
        running = any(alive for _, alive in states.values())
        found = {rule: replace(state, enabled=alive or not running) for rule, (state, alive) in states.items()}
        return Engine(rules=found, running=running)

    def _executions(self) -> Mapping[str, Any]:
        return all_of(
            {"term": {"event.provider": "alerting"}},
            {"term": {"event.action": "execute"}},
            {"prefix": {"rule.category": "siem."}},
            {"term": {"kibana.space_ids": self._space}},
        )

    def _learn(self, hit: Hit) -> None:
        fields = hit.get("fields", {})
        rule, uuid = _first(fields, "kibana.alert.rule.rule_id"), _first(fields, "kibana.alert.rule.uuid")
        if rule and uuid:
            self._ids[uuid] = rule
        if rule:
            self._revisions[rule] = _first(fields, "kibana.alert.rule.revision")
            lists = fields.get("kibana.alert.rule.parameters.exceptions_list.list_id", ())
            self._exceptions[rule] = tuple(f"list {name}" for name in lists)
        reach = _LOOK_BACK.fullmatch(_first(fields, "kibana.alert.rule.parameters.from"))
        if rule and reach is not None:
            self._look_back[rule] = timedelta(**{_UNITS[reach[2]]: int(reach[1])})

    def _runs(self, hits: Sequence[Hit], suppressed: Sequence[_Suppressed]) -> list[RuleRun]:
        read = [run for hit in hits for run in self._run(hit, suppressed)]
        for run in read:
            starts = self._starts[run.rule]
            # Failed ones too: the next does not make up for what one of them has left out.
            if run.started_at not in starts:
                insort(starts, run.started_at)
        return [replace(run, window_start=self._window_start(run)) for run in read]

    def _window_start(self, run: RuleRun) -> datetime:
        starts = self._starts[run.rule]
        before = bisect_left(starts, run.started_at)
        since = starts[before - 1] if before else run.started_at
        return min(since, run.started_at - self._look_back.get(run.rule, timedelta(0)))

    def _called(self, uuid: str, name: str) -> str:
        """A rule's id, as alerts tell it, else as its name does; a name that several rules bear tells of none of them."""
        self._bearers[name].add(uuid)
        if (told := self._ids.get(uuid)) is not None or len(self._bearers[name]) > 1:
            return told or uuid
        # pySigma puts its name before a rule's title.
        return self._titles.get(name) or self._titles.get(name.removeprefix("SIGMA - ")) or rule_in(name)

    def _run(self, hit: Hit, suppressed: Sequence[_Suppressed]) -> Iterator[RuleRun]:
        fields = hit.get("fields", {})
        uuid, name = _first(fields, "rule.id"), _first(fields, "rule.name")
        try:
            started_at = iso_time(_first(fields, "event.start"))
            finished_at = iso_time(_first(fields, "event.end") or _first(fields, "@timestamp"))
        except ValueError:
            return
        succeeded = _first(fields, "event.outcome") == "success" and _first(fields, "kibana.alerting.outcome") in ("", "success")
        # The alert tells the last execution that folded some into it, and how many there were: any since it was written may have.
        folded = [one.alert for one in suppressed if one.uuid == uuid and started_at <= one.last and one.first <= finished_at]
        message = "" if succeeded else (_first(fields, "error.message") or "the execution did not succeed")[:300]
        yield RuleRun(
            id=hit["_id"],
            rule=self._called(uuid, name),
            window_start=started_at,
            window_end=started_at,
            started_at=started_at,
            finished_at=finished_at,
            ok=succeeded and not folded,
            message=message or (f"it may have suppressed further alerts into {folded[0]}" if folded else ""),
        )


def _grouped(hits: Sequence[Hit]) -> Iterator[Raised]:
    """Alerts one by one; of a group its shell alone."""
    for hit in hits:
        fields = hit.get("fields", {})
        group = _first(fields, "kibana.alert.group.id")
        if group and _first(fields, "kibana.alert.building_block_type"):
            continue
        rule = _first(fields, "kibana.alert.rule.rule_id")
        try:
            raised_at = iso_time(_first(fields, "@timestamp"))
        except ValueError:
            continue
        if not rule:
            continue
        level = _first(fields, "kibana.alert.severity")
        yield Raised(
            id=group or hit["_id"],
            rule=rule,
            severity=next((severity for severity in Severity if severity.value == level), None),
            raised_at=raised_at,
            events=_sources(fields),
            copies={},
            host=short_name(_first(fields, "host.name")),
        )


def _sources(fields: Mapping[str, Any]) -> tuple[Reference, ...]:
    """The events that an alert follows from: its ancestors that are no alerts. None where the lists of their parts do not fit together.

    A threshold's alert names an index pattern and an id of its own making: that is no document.
    """
    parts = [fields.get(f"kibana.alert.ancestors.{part}", []) for part in ("type", "index", "id")]
    if len({len(part) for part in parts}) != 1:
        return ()
    events = ((index, id) for kind, index, id in zip(*parts, strict=True) if kind == "event" and index and not set(index) & set("*,"))
    return tuple(dict.fromkeys(events))


def _suppressed(hit: Hit) -> Iterator[_Suppressed]:
    fields = hit.get("fields", {})
    try:
        count = int(_first(fields, "kibana.alert.suppression.docs_count") or "0")
        times = [iso_time(text) for field in ("@timestamp", "kibana.alert.last_detected") if (text := _first(fields, field))]
    except ValueError:
        return
    if count > 0 and times:
        yield _Suppressed(uuid=_first(fields, "kibana.alert.rule.uuid"), first=min(times), last=max(times), alert=hit["_id"])


def _of_buckets(answer: Answer) -> Iterator[Hit]:
    for bucket in answer.aggregations.get("rules", {}).get("buckets", ()):
        yield from bucket["newest"]["hits"]["hits"]


def _first(fields: Mapping[str, Any], name: str) -> str:
    """A field's first value as text; "" where it has none."""
    values = fields.get(name)
    return str(values[0]) if isinstance(values, list) and values else ""
