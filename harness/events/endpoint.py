"""Events of the Elastic Endpoint (Elastic Defend), which are no Windows events: they have no log, no number, and ECS fields alone.

As an `Event` one has its data set for a channel and 0 for a number; its flat view has the document's own fields under their whole names in
lower case. This file must not know who stores the documents or what a rule asks of them.

Form: the field lists and sample events of https://github.com/elastic/endpoint-package (custom_documentation/doc/endpoint, one page a kind
of event). Data sets are those that its agents write to; `logs-endpoint.alerts` and the agent's own state are none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.events.fields import iso_time, short_name
from harness.model.facts import Event, FlatValue

PREFIX = "endpoint.events."
"""What all its data sets begin with."""

EVENT_ID = 0
"""The number of every such event: they have none, and no Windows event has this one."""

_DEPTH = 16
"""How deep a document's objects are followed; ECS has no field nearly as deep."""


def is_endpoint(channel: str) -> bool:
    """Whether the channel of an event stands for a data set of the Endpoint."""
    return channel.startswith(PREFIX)


def kind_text(channel: str, event_id: int) -> str:
    """A kind of event, of Windows' or of the Endpoint's, in a line for people."""
    return channel if is_endpoint(channel) else f"{channel} {event_id}"


def holds(document: Mapping[str, object]) -> bool:
    """Whether a document is the Endpoint's: what of it comes from the Windows security log has a part `winlog`, too, but no log."""
    return any(isinstance(name, str) and is_endpoint(name) for name in _datasets(document))


def read(document: Mapping[str, object], id: str) -> Event:
    """The event that a document of the Endpoint holds. Raises ValueError naming what it lacks."""
    flat = dict(leaves(document))
    dataset = next((name for name in _datasets(document) if isinstance(name, str) and is_endpoint(name)), None)
    if dataset is None:
        raise ValueError("it is of no data set of the Elastic Endpoint")
    host = flat.get("host.hostname") or flat.get("host.name")
    if not isinstance(host, str):
        raise ValueError("host.name is missing")
    time = flat.get("@timestamp")
    if not isinstance(time, str):
        raise ValueError("@timestamp is missing")
    provider = flat.get("event.provider")
    return Event(
        id=id,
        channel=dataset,
        event_id=EVENT_ID,
        host=short_name(host),
        time=iso_time(time),
        provider=provider if isinstance(provider, str) else "",
        flat=flat,
        raw=document,
    )


def _datasets(document: Mapping[str, object]) -> Iterator[object]:
    for above in ("data_stream", "event"):
        part = document.get(above)
        yield part.get("dataset") if isinstance(part, Mapping) else document.get(f"{above}.dataset")


def leaves(document: Mapping[str, object]) -> Iterator[tuple[str, FlatValue]]:
    """A document's values under their whole names in lower case; dotted and nested names are the same."""
    todo: list[tuple[str, object, int]] = [(name, value, 0) for name, value in document.items()]
    while todo:
        name, value, depth = todo.pop()
        if isinstance(value, Mapping):
            if depth < _DEPTH:
                todo.extend((f"{name}.{inner}", below, depth + 1) for inner, below in value.items())
        elif isinstance(value, str | int | float):
            yield name.lower(), value
        elif isinstance(value, list) and value:
            yield name.lower(), [str(item) for item in value if isinstance(item, str | int | float)]
