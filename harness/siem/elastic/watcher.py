"""Watcher as an alert source: its history. A watch's id bears the rule's, as `harness rules translate --to xpack-watcher` writes it.

A watch whose condition is met has detected, also where its actions were throttled or acknowledged. Each event that its search brought
back is an alert of its own, once, however many executions find it again. What an execution searched is read from the request that it
kept; where that cannot be told, the execution is proof of nothing. So it is where a search brought back fewer events than it found.

Form: https://www.elastic.co/docs/explore-analyze/alerts-cases/watcher/how-watcher-works (watch history, watch records).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from harness.events.fields import iso_time
from harness.model.facts import RuleRun, RuleState
from harness.siem.elastic.source import Engine, Found, Names, Raised, all_of, rule_in, runs_still, since_, time_of
from harness.siem.elastic.wire import Answer, Hit, Reference, Search

NAME = "watcher"

_HISTORY = ".watcher-history-*"
_TRIGGERED = "trigger_event.triggered_time"

# How far back watches are looked for in the history, and how many of their executions tell an interval.
_TRACES = timedelta(days=1)
_LAST_RUNS = 6
_MOST_WATCHES = 10_000

# What came to its end, whether its condition was met or not. Others failed, wait, or were never begun.
_ENDED = frozenset({"executed", "execution_not_needed", "throttled", "acknowledged"})
_WAITING = frozenset({"awaits_execution", "checking"})

_MATH = re.compile(r"(?P<anchor>now|.+?\|\|)(?P<steps>(?:[+-]\d{1,6}[smhd])*)")
_STEP = re.compile(r"([+-])(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Watcher:
    """The `AlertSource` over Watcher's history. `rule_interval` is promised for watches that were executed but once."""

    def __init__(self, rule_interval: timedelta) -> None:
        self._rule_interval = rule_interval
        self._names = Names("watch_id")

    @property
    def name(self) -> str:
        """See `AlertSource.name`."""
        return NAME

    @property
    def indices(self) -> Sequence[str]:
        """See `AlertSource.indices`."""
        return [_HISTORY]

    def searches(self, rules: frozenset[str], since: datetime) -> Sequence[Search]:
        """See `AlertSource.searches`. A watch that detects by itself, of no rule here, is asked too: by its condition."""
        met = all_of(since_(_TRIGGERED, since), {"term": {"result.condition.met": True}})
        return [
            Search(index=_HISTORY, query={"match_all": {}}, size=0, aggregations={"last": {"max": {"field": _TRIGGERED}}}),
            Search(index=_HISTORY, query=met, sort=_TRIGGERED),
            *(
                Search(index=_HISTORY, query=all_of(since_(_TRIGGERED, since), named), sort=_TRIGGERED)
                for named in self._names.queries(rules)
            ),
        ]

    def read(self, answers: Sequence[Answer]) -> Found:
        """See `AlertSource.read`."""
        last, met, *executions = answers
        millis = last.aggregations.get("last", {}).get("value")
        alerts: dict[str, Raised] = {}
        for hit in met.hits:
            for raised in _raised(hit):
                alerts.setdefault(raised.id, raised)
        return Found(
            alerts=list(alerts.values()),
            runs=[run for answer in executions for hit in answer.hits for run in _run(hit)],
            last_run=datetime.fromtimestamp(millis / 1000, UTC) if millis is not None else None,
        )

    def searches_of_rules(self, now: datetime) -> Sequence[Search]:
        """See `AlertSource.searches_of_rules`."""
        newest = {"top_hits": {"size": _LAST_RUNS, "sort": [{_TRIGGERED: "desc"}]}}
        by_watch = {"terms": {"field": "watch_id", "size": _MOST_WATCHES}, "aggs": {"newest": newest}}
        return [Search(index=_HISTORY, query=since_(_TRIGGERED, now - _TRACES), size=0, aggregations={"rules": by_watch})]

    def engine(self, answers: Sequence[Answer], now: datetime) -> Engine:
        """See `AlertSource.engine`: watches that were executed within a day. One that no longer is, while others are, is inactive."""
        (answer,) = answers
        by_rule: dict[str, list[RuleRun]] = defaultdict(list)
        for bucket in answer.aggregations.get("rules", {}).get("buckets", ()):
            self._names.learn(str(bucket["key"]))
            for hit in bucket["newest"]["hits"]["hits"]:
                for run in _run(hit):
                    by_rule[run.rule].append(run)
        states = {}
        for rule, runs in by_rule.items():
            starts = sorted(run.started_at for run in runs)
            gaps = sorted(later - earlier for earlier, later in pairwise(starts))
            interval = gaps[len(gaps) // 2] if gaps else self._rule_interval
            look_back = max(run.window_end - run.window_start for run in runs)
            state = RuleState(rule=rule, deployed=True, enabled=True, interval=interval, look_back=look_back)
            states[rule] = (state, runs_still(starts[-1], interval, now))
        running = any(alive for _, alive in states.values())
        return Engine(
            rules={rule: replace(state, enabled=alive or not running) for rule, (state, alive) in states.items()}, running=running
        )


def _result(document: Mapping[str, Any]) -> Mapping[str, Any]:
    found = document.get("result")
    return found if isinstance(found, Mapping) else {}


def _at(part: object, *path: str) -> object:
    for name in path:
        part = part.get(name) if isinstance(part, Mapping) else None
    return part


def _raised(hit: Hit) -> Iterator[Raised]:
    """An alert for each event that the watch's search brought back; one without events where it brought back none."""
    document = hit["_source"]
    result = _result(document)
    watch = document.get("watch_id")
    try:
        raised_at = time_of(result, "execution_time")
    except ValueError:
        return
    if not isinstance(watch, str) or _at(result, "condition", "met") is not True:
        return
    copies = {reference: {"_source": event["_source"]} for reference, event in _events(result) if isinstance(event.get("_source"), Mapping)}
    references: list[tuple[Reference, ...]] = [(reference,) for reference, _ in _events(result)] or [()]
    for events in references:
        yield Raised(
            id="/".join((watch, *(id for _, id in events))) if events else hit["_id"],
            rule=rule_in(watch),
            severity=None,
            raised_at=raised_at,
            events=events,
            copies={reference: copies[reference] for reference in events if reference in copies},
            host="",
        )


def _events(result: Mapping[str, Any]) -> Iterator[tuple[Reference, Mapping[str, Any]]]:
    """The hits of the search; of a chain of inputs, those of each."""
    payload = _at(result, "input", "payload")
    parts = [payload, *payload.values()] if isinstance(payload, Mapping) else []
    for part in parts:
        hits = _at(part, "hits", "hits")
        for event in hits if isinstance(hits, list) else ():
            if isinstance(event, Mapping) and isinstance(event.get("_index"), str) and isinstance(event.get("_id"), str):
                yield (event["_index"], event["_id"]), event


def _run(hit: Hit) -> Iterator[RuleRun]:
    document = hit["_source"]
    watch, state, result = document.get("watch_id"), document.get("state"), _result(document)
    try:
        triggered = _at(document, "trigger_event", "triggered_time")
        started_at = iso_time(str(result.get("execution_time") or triggered))
        finished_at = started_at + timedelta(milliseconds=float(result.get("execution_duration") or 0))
    except (ValueError, TypeError, OverflowError):
        return
    if not isinstance(watch, str) or state in _WAITING:
        return
    start, end = _window(result, started_at)
    message = _fault(document, result) or ("" if start < end else "what it searched cannot be told from its request")
    yield RuleRun(
        id=hit["_id"],
        rule=rule_in(watch),
        window_start=start,
        window_end=end,
        started_at=started_at,
        finished_at=finished_at,
        ok=not message,
        message=message,
    )


def _fault(document: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Why the execution is no proof, or nothing."""
    if document.get("state") not in _ENDED:
        messages = document.get("messages")
        return str(messages[0] if isinstance(messages, list) and messages else f"its state is {document.get('state')}")[:300]
    for part in ("input", "condition"):
        if _at(result, part, "status") == "failure":
            return f"its {part} failed: {_at(result, part, 'reason') or _at(result, part, 'error', 'reason') or 'no reason given'}"[:300]
    total = _at(result, "input", "payload", "hits", "total")
    count = _at(total, "value") if isinstance(total, Mapping) else total
    shown = sum(1 for _ in _events(result))
    if isinstance(count, int) and shown < count and _at(result, "condition", "met") is True:
        return f"it found {count} events and kept {shown} of them"
    return ""


def _window(result: Mapping[str, Any], at: datetime) -> tuple[datetime, datetime]:
    """Which events' time the search covered; nothing where its request does not tell."""
    bounds = list(_ranges(_at(result, "input", "search", "request", "body", "query")))
    if len(bounds) != 1:
        return at, at
    start = next((found for key in ("gte", "gt", "from") if (found := moment(bounds[0].get(key), at)) is not None), None)
    if start is None:
        return at, at
    told = [bounds[0].get(key) for key in ("lte", "lt", "to")]
    ends = [moment(value, at) for value in told if value is not None]
    end = at if not ends else ends[0]
    return (start, min(end, at)) if end is not None else (at, at)


def _ranges(query: object) -> Iterator[Mapping[str, Any]]:
    """The ranges over time that every event found lies in."""
    todo = [query]
    while todo:
        part = todo.pop()
        if not isinstance(part, Mapping):
            continue
        if isinstance(bounds := _at(part, "range", "@timestamp"), Mapping):
            yield bounds
        if isinstance(clauses := part.get("bool"), Mapping):
            for kind in ("filter", "must"):
                below = clauses.get(kind)
                todo.extend(below if isinstance(below, list) else [below])


def moment(value: object, at: datetime) -> datetime | None:
    """A bound of a range: a time, or one and steps from it (`now-5m`, `2026-01-01T00:00:00Z||-5m`)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / 1000, UTC) if 0 <= value < 1e14 else None
    if not isinstance(value, str):
        return None
    math = _MATH.fullmatch(value)
    try:
        moment = at if math and math["anchor"] == "now" else iso_time(math["anchor"].removesuffix("||") if math else value)
    except ValueError:
        return None
    for sign, count, unit in _STEP.findall(math["steps"] if math else ""):
        length = timedelta(**{_UNITS[unit]: int(count)})
        moment = moment + length if sign == "+" else moment - length
    return moment
