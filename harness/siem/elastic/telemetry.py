"""Events as shippers put them into Elasticsearch: what finds those of some hosts, and what an answer holds.

Documents of another form than winlogbeat's, Elastic Agent's Windows logs' and the Elastic Endpoint's are left out: they hold no event of a
host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.events import endpoint, winlogbeat
from harness.events.fields import iso_time
from harness.model.facts import Event
from harness.siem.elastic.source import CLAUSES, all_of, any_of, since_
from harness.siem.elastic.wire import Answer, Hit, Reference, Search

# Where shippers keep a machine's name: whole or short, in whatever case.
_HOST_FIELDS = ("winlog.computer_name", "host.name", "host.hostname")
_PER_HOST = 2 * len(_HOST_FIELDS) + 1

# The 99th percentile means little below a hundred events.
_LAGS_WANTED = 1000
_LAGS_NEEDED = 100

# What is looked at once more, so that whatever became searchable late or out of order is found.
OVERLAP = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Events of one host since a time of its clock. Up to `seen` (the same clock) they were handed out, at `swept` (the SIEM's)."""

    host: str
    since: datetime
    seen: datetime | None = None
    swept: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """An event, its document, and its `@timestamp`, by which it was found: Sysmon's own time of an event is another."""

    event: Event
    reference: Reference
    timestamp: datetime


class Telemetry:
    """The indices that events are in."""

    def __init__(self, indices: Sequence[str]) -> None:
        self.index = ",".join(indices)

    def searches(self, wanted: Sequence[Wanted]) -> Sequence[Search]:
        """What finds these hosts' events, and perhaps others'."""
        return [Search(index=self.index, query=query) for query in of_hosts(wanted)]

    def read(self, answers: Sequence[Answer], wanted: Sequence[Wanted]) -> Sequence[Logged]:
        """The events of these hosts."""
        hosts = {want.host for want in wanted}
        found = ((hit, event_of(hit)) for answer in answers for hit in answer.hits)
        return [
            Logged(event=event, reference=(hit["_index"], hit["_id"]), timestamp=iso_time(hit["sort"][0]))
            for hit, event in found
            if event is not None and event.host in hosts
        ]

    def clock(self) -> Search:
        """What makes the SIEM tell its clock, which needs no right but to read: it works out what "now" is for a search of nothing."""
        now = {"date_range": {"field": "@timestamp", "ranges": [{"to": "now"}]}}
        return Search(index=self.index, query={"match_none": {}}, size=0, aggregations={"now": now})

    def recent(self, now: datetime) -> Search:
        """The newest events that say when they were ingested."""
        query = all_of({"exists": {"field": "event.ingested"}}, since_("@timestamp", now - timedelta(days=1)))
        return Search(index=self.index, query=query, size=_LAGS_WANTED, whole=False)


def of_hosts(wanted: Sequence[Wanted]) -> Sequence[Mapping[str, Any]]:
    """Queries that together find these hosts' events, and perhaps others'."""
    step = CLAUSES // _PER_HOST
    return [any_of([_of_host(want) for want in wanted[start : start + step]]) for start in range(0, len(wanted), step)]


def time_told(answer: Answer) -> datetime | None:
    """What `Telemetry.clock` made the SIEM say; None where there is no index to ask."""
    buckets = answer.aggregations.get("now", {}).get("buckets", ())
    return datetime.fromtimestamp(buckets[0]["to"] / 1000, UTC) if buckets else None


def ingest_lag(answer: Answer) -> timedelta | None:
    """From an event's time to ingested, the 99th percentile; None where too few events tell."""
    lags = []
    for hit in answer.hits:
        event = hit["_source"].get("event")
        try:
            lags.append(iso_time(event["ingested"]) - iso_time(hit["_source"]["@timestamp"]))
        except (KeyError, TypeError, ValueError):
            continue
    return sorted(lags)[len(lags) * 99 // 100] if len(lags) >= _LAGS_NEEDED else None


def event_of(hit: Hit) -> Event | None:
    """The event that a document holds, by its id; None where it holds none."""
    document: Mapping[str, Any] = hit["_source"]
    try:
        return endpoint.read(document, hit["_id"]) if endpoint.holds(document) else winlogbeat.read(document, hit["_id"])
    except (ValueError, KeyError):
        return None


def _of_host(want: Wanted) -> Mapping[str, Any]:
    name = [
        clause
        for field in _HOST_FIELDS
        for clause in (
            {"term": {field: {"value": want.host, "case_insensitive": True}}},
            {"prefix": {field: {"value": f"{want.host}.", "case_insensitive": True}}},
        )
    ]
    if want.seen is None or want.swept is None:
        return all_of(any_of(name), since_("@timestamp", want.since))
    # By the host's own clock, which may be wrong by hours; and by the SIEM's, where a pipeline stamps what comes late.
    fresh = any_of([since_("@timestamp", max(want.since, want.seen - OVERLAP)), since_("event.ingested", want.swept - OVERLAP)])
    return all_of(any_of(name), since_("@timestamp", want.since), fresh)
