"""ElastAlert2 as an alert source: what it writes back to Elasticsearch. Its documents: https://elastalert2.readthedocs.io (metadata index).

A rule's id is not written: it is read from the rule's name. Of a run it writes how many matches it had, before or after their alerts
become searchable, which are in another index: a run that matched is taken as proof only once as many alerts are there. Else they are
on their way, or silenced, and either way the rule was not quiet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from harness.errors import SiemError
from harness.model.facts import RuleRun, RuleState
from harness.siem.elastic.source import Engine, Found, Names, Raised, all_of, rule_in, runs_still, since_, time_of
from harness.siem.elastic.wire import Answer, Hit, Search

NAME = "elastalert2"

# How far back a rule's last runs are looked for, and how many of them tell its interval.
_TRACES = timedelta(days=1)
_SILENCED = "._silence"
_LAST_RUNS = 6
_MOST_RULES = 10_000

# Its scheduler puts every run off by up to so much.
_JITTER = timedelta(seconds=5)


class ElastAlert:
    """The `AlertSource` over the indices of one ElastAlert2. `rule_interval` is promised for rules that ran but once."""

    def __init__(self, writeback: str, rule_interval: timedelta) -> None:
        self._writeback = writeback
        self._rule_interval = rule_interval
        self._names = Names("rule_name")

    @property
    def name(self) -> str:
        """See `AlertSource.name`."""
        return NAME

    @property
    def indices(self) -> Sequence[str]:
        """See `AlertSource.indices`."""
        return [f"{self._writeback}{suffix}" for suffix in ("", "_status", "_silence", "_error")]

    def searches(self, rules: frozenset[str], since: datetime) -> Sequence[Search]:
        """See `AlertSource.searches`. What is not searchable in its indices (hosts, a failure's rule) is sorted out in `read`."""
        status = f"{self._writeback}_status"
        return [
            Search(index=status, query={"match_all": {}}, size=0, aggregations={"last": {"max": {"field": "@timestamp"}}}),
            Search(index=self._writeback, query=since_("alert_time", since), sort="alert_time"),
            Search(index=f"{self._writeback}_silence", query=since_("until", since), sort="until"),
            Search(index=f"{self._writeback}_error", query=since_("@timestamp", since)),
            *(Search(index=status, query=all_of(since_("@timestamp", since), named)) for named in self._names.queries(rules)),
        ]

    def read(self, answers: Sequence[Answer]) -> Found:
        """See `AlertSource.read`."""
        last, alerts, silences, errors, *statuses = answers
        raised = [alert for hit in alerts.hits for alert in _raised(hit)]
        quiet = [silence for hit in silences.hits for silence in _silence(hit)]
        runs = [run for answer in statuses for hit in answer.hits for run in _run(hit, raised, quiet)]
        millis = last.aggregations.get("last", {}).get("value")
        return Found(
            alerts=raised,
            runs=[*runs, *(run for hit in errors.hits for run in _failed(hit))],
            last_run=datetime.fromtimestamp(millis / 1000, UTC) if millis is not None else None,
        )

    def searches_of_rules(self, now: datetime) -> Sequence[Search]:
        """See `AlertSource.searches_of_rules`."""
        newest = {"top_hits": {"size": _LAST_RUNS, "sort": [{"@timestamp": "desc"}]}}
        by_name = {"terms": {"field": "rule_name", "size": _MOST_RULES}, "aggs": {"newest": newest}}
        query = since_("@timestamp", now - _TRACES)
        # What people silence (--silence), unlike what its own realert does, bears this ending.
        silenced = all_of(since_("until", now), {"wildcard": {"rule_name": {"value": f"*{_SILENCED}"}}})
        return [
            Search(index=f"{self._writeback}_status", query=query, size=0, aggregations={"rules": by_name}),
            Search(index=f"{self._writeback}_silence", query=silenced, sort="until"),
        ]

    def engine(self, answers: Sequence[Answer], now: datetime) -> Engine:
        """See `AlertSource.engine`: rules that left a trace within a day. One is disabled where it stopped running and others did not."""
        answer, silences = answers
        silenced: dict[str, list[str]] = {}
        for hit in silences.hits:
            for key, since, until in _silence(hit):
                if since <= now and key.endswith(_SILENCED):
                    silenced.setdefault(rule_in(key.removesuffix(_SILENCED)), []).append(f"until {until:%Y-%m-%d %H:%M} UTC")
        if not answer.shards:
            fix = "has it run against this Elasticsearch, and is siem.writeback its writeback_index?"
            raise SiemError(f"there is no index {self._writeback}_status of ElastAlert2: {fix}")
        states: dict[str, tuple[datetime, RuleState]] = {}
        for bucket in answer.aggregations.get("rules", {}).get("buckets", ()):
            rule = self._names.learn(str(bucket["key"]))
            runs = [run for hit in bucket["newest"]["hits"]["hits"] for run in _run(hit, (), ())]
            if runs and (rule not in states or states[rule][0] < runs[0].finished_at):
                states[rule] = (runs[0].finished_at, self._state(rule, runs))
        alive = {rule for rule, (last, state) in states.items() if runs_still(last, state.interval, now)}
        found = {
            rule: replace(state, enabled=rule in alive or not alive, silences=tuple(dict.fromkeys(silenced.get(rule, ()))))
            for rule, (_, state) in states.items()
        }
        return Engine(rules=found, running=bool(alive))

    def _state(self, rule: str, newest_first: Sequence[RuleRun]) -> RuleState:
        ends = [run.finished_at for run in newest_first]
        gaps = sorted(later - earlier for later, earlier in pairwise(ends))
        windows = sorted(run.window_end - run.window_start for run in newest_first)
        return RuleState(
            rule=rule,
            deployed=True,
            enabled=True,
            interval=(gaps[len(gaps) // 2] if gaps else self._rule_interval) + _JITTER,
            look_back=windows[len(windows) // 2],
        )


def _raised(hit: Hit) -> Iterator[Raised]:
    document = hit["_source"]
    match = document.get("match_body")
    try:
        raised_at = time_of(document, "alert_time")
    except ValueError:
        return
    if not isinstance(document.get("rule_name"), str):
        return
    copies = {}
    if isinstance(match, Mapping) and isinstance(match.get("_index"), str) and isinstance(match.get("_id"), str):
        copies[(match["_index"], match["_id"])] = {"_source": match}
    yield Raised(
        id=hit["_id"],
        rule=rule_in(document["rule_name"]),
        severity=None,
        raised_at=raised_at,
        events=tuple(copies),
        copies=copies,
        host="",
    )


def _silence(hit: Hit) -> Iterator[tuple[str, datetime, datetime]]:
    """Of what name, from when, until when."""
    document = hit["_source"]
    try:
        yield str(document.get("rule_name")), time_of(document, "@timestamp"), time_of(document, "until")
    except ValueError:
        return


def _run(hit: Hit, raised: Sequence[Raised], silences: Sequence[tuple[str, datetime, datetime]]) -> Iterator[RuleRun]:
    document = hit["_source"]
    try:
        finished_at = time_of(document, "@timestamp")
        start, end = time_of(document, "starttime"), time_of(document, "endtime")
        started_at = finished_at - timedelta(seconds=float(document["time_taken"]))
        name, matches = str(document["rule_name"]), int(document["matches"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return
    rule = rule_in(name)
    # Its alerts are written while it runs; the times are cut differently, by less than a millisecond.
    grain = timedelta(milliseconds=1)
    there = sum(alert.rule == rule and started_at - grain <= alert.raised_at <= finished_at + grain for alert in raised) if matches else 0
    message = ""
    if there < matches:
        until = [until for key, since, until in silences if (key == name or key.startswith(f"{name}.")) and since <= finished_at < until]
        why = f"it is silenced until {max(until):%Y-%m-%d %H:%M:%S} UTC" if until else "the others are dropped, or not searchable yet"
        message = f"{matches} matches, {there} alerts of them: {why}"
    yield RuleRun(
        id=hit["_id"],
        rule=rule,
        window_start=start,
        window_end=end,
        started_at=started_at,
        finished_at=finished_at,
        ok=there >= matches,
        message=message,
    )


def _failed(hit: Hit) -> Iterator[RuleRun]:
    """A run that ended in an error leaves no status: the error stands for it, with a window that covers nothing."""
    document = hit["_source"]
    data = document.get("data")
    name = data.get("rule") if isinstance(data, Mapping) else None
    try:
        at = time_of(document, "@timestamp")
    except ValueError:
        return
    if not isinstance(name, str):
        return
    message = str(document.get("message", "")).strip().partition("\n")[0][:300]
    yield RuleRun(
        id=hit["_id"], rule=rule_in(name), window_start=at, window_end=at, started_at=at, finished_at=at, ok=False, message=message
    )
