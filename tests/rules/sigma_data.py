"""SigmaHQ's rules and regression recordings, where the shared data is; and events for Sigma rules to read."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import strategies as st

from harness.model.facts import Event, FlatValue
from tests.needs import DATA, ROOT

LAB_RULES = ROOT / "lab" / "rules"

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=True), st.text("ab*?\\%|^$(.", max_size=6), st.dates()
)
KEYS = st.one_of(
    st.text("ab|_* ", max_size=4),
    st.sampled_from(
        ["A|re", "A|contains|re", "A|cidr", "A|fieldref", "A|exists", "A|expand", "|all", "A|base64offset|contains", "A|wide", "A|lt"]
    ),
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)), max_leaves=6
)
"""Values of whatever kind, as YAML may hold them."""


def event(flat: Mapping[str, FlatValue], channel: str = "Security", event_id: int = 4688) -> Event:
    """An event with these fields (flat names)."""
    fields = {"channel": channel, "eventid": event_id, **flat}
    time = datetime(2026, 1, 1, tzinfo=UTC)
    return Event(id="1", channel=channel, event_id=event_id, host="ws1", time=time, provider="", flat=fields, raw={})


def upstream_rules() -> dict[str, str]:
    """SigmaHQ's Windows rules: text by path inside the archive."""
    with zipfile.ZipFile(DATA / "sigma" / "rules-windows.zip") as archive:
        return {name: archive.read(name).decode() for name in archive.namelist() if name.startswith("rules/") and name.endswith(".yml")}


def regressions() -> dict[str, tuple[int, list[Event]]]:
    """SigmaHQ's own recordings for its rules: by rule id the least number of matches, and the events."""
    found: dict[str, tuple[int, list[Event]]] = {}
    with zipfile.ZipFile(DATA / "sigma" / "regression.zip") as archive:
        names = archive.namelist()
        for name in names:
            if name.endswith(".json"):
                info = archive.read(str(Path(name).with_name("info.yml"))).decode()
                count = re.search(r"match_count: (\d+)", info)
                found[Path(name).stem] = (int(count[1]) if count else 1, _recorded(archive.read(name).decode()))
    return found


def regression_entries() -> frozenset[str]:
    """The recordings of every entry, whatever their form: their paths without the ending, which is the form."""
    with zipfile.ZipFile(DATA / "sigma" / "regression.zip") as archive:
        return frozenset(name.rpartition(".")[0] for name in archive.namelist() if not name.endswith(("/", "info.yml")))


def _recorded(text: str) -> list[Event]:
    """The events of an evtx dump: JSON documents, one after the other."""
    decoder, at = json.JSONDecoder(), 0
    events: list[Event] = []
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
        events.extend(_event(each) for each in (document if isinstance(document, list) else [document]))
    return events


def _event(document: Mapping[str, Mapping[str, Mapping[str, object]]]) -> Event:
    system = document["Event"]["System"]
    number = system["EventID"]
    data = next((value for key, value in document["Event"].items() if key in ("EventData", "UserData")), None) or {}
    fields: dict[str, FlatValue] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            fields |= {inner.lower(): text for inner, text in value.items() if isinstance(text, str | int | bool | float)}
        elif isinstance(value, str | int | float | bool):
            fields[name.lower()] = value
    provider = system["Provider"]["#attributes"]["Name"]  # type: ignore[index]
    fields["provider_name"] = str(provider)
    event_id = number if isinstance(number, int) else number["#text"]  # type: ignore[index]
    return event(fields, channel=str(system["Channel"]), event_id=int(event_id))
