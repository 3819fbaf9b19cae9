"""A Lucene query as an Elasticsearch watch, to be put with curl. It must never know where the query comes from.

The three faults of watches that old generators wrote (`harness.rules.watcher` names them) are avoided by asking for what they assumed: the
time is `@timestamp`, the count is `hits.total.value` and said to be that, and the hits that the action shows are fetched.

Form: https://www.elastic.co/docs/explore-analyze/alerts-cases/watcher/how-watcher-works.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from harness.model.intent import Rule

INDICES = ("winlogbeat-*", "logs-system.*", "logs-windows.*")
"""Where winlogbeat and Elastic Agent put Windows events."""

_MINUTES = 5
_HITS = 20


def watch(rule: Rule, description: str, query: str) -> str:
    """A command that puts the watch."""
    body = {
        "metadata": {"title": rule.title, "description": description, "techniques": list(rule.techniques), "query": query},
        "trigger": {"schedule": {"interval": f"{_MINUTES}m"}},
        "input": {
            "search": {
                "request": {
                    "indices": list(INDICES),
                    "rest_total_hits_as_int": False,
                    "body": {
                        "size": _HITS,
                        "track_total_hits": True,
                        "sort": [{"@timestamp": {"order": "asc"}}],
                        "query": {
                            "bool": {
                                "filter": [
                                    {"query_string": {"query": query, "analyze_wildcard": True}},
                                    {
                                        "range": {
                                            "@timestamp": {
                                                "gt": f"{{{{ctx.trigger.scheduled_time}}}}||-{_MINUTES}m",
                                                "lte": "{{ctx.trigger.scheduled_time}}",
                                            }
                                        }
                                    },
                                ]
                            }
                        },
                    },
                }
            }
        },
        "condition": {"compare": {"ctx.payload.hits.total.value": {"gt": 0}}},
        "actions": {
            "log_hits": {
                "logging": {
                    "level": "warn",
                    "text": "{{ctx.metadata.title}}: {{ctx.payload.hits.total.value}} events"
                    "{{#ctx.payload.hits.hits}}\n{{_index}}/{{_id}}{{/ctx.payload.hits.hits}}",
                }
            }
        },
    }
    put = "curl -s -X PUT -H 'Content-Type: application/json' --data-binary @- "
    return f"{put}'http://localhost:9200/_watcher/watch/{quote(rule.id, safe='')}' <<'EOF'\n{json.dumps(body, indent=2)}\nEOF"


NOTES = (
    f"Every {_MINUTES} minutes it looks at the {_MINUTES} minutes before: an event that is indexed after that is missed. "
    "Where ingest lags, lengthen the range.",
    "Its action writes to Elasticsearch's own log: put a mail or webhook in its place.",
)
