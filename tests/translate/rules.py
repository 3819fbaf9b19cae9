"""Sigma rules for translators, and what recordings say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from harness.detect import Detector
from harness.errors import UsageError
from harness.events.read import read_events
from harness.model.facts import Event
from harness.model.intent import Rule
from harness.rules.elastic import ElasticRules
from harness.rules.sigma import SigmaRules
from tests.needs import DATA
from tests.rules.sigma_data import upstream_rules

RECORDINGS = (DATA / "otrf" / "empire_psremoting_stager.zip", DATA / "otrf" / "covenant_psremoting_command.zip")


def sigma(selection: object, /, **more: Any) -> Rule:
    """A rule with this selection, about process creation unless `logsource` says otherwise."""
    document = {
        "title": "made",
        "id": "11111111-1111-4111-8111-111111111111",
        "level": "high",
        "logsource": {"product": "windows", "category": "process_creation"},
        "detection": {"selection": selection, "condition": more.pop("condition", "selection"), **more.pop("selections", {})},
        **more,
    }
    (rule,) = SigmaRules().parse(json.dumps(document), "made.yml")
    return rule


def on(channel: str, selection: Mapping[str, object], **more: Any) -> Rule:
    """A rule about one log."""
    return sigma({"Channel": channel, **selection}, logsource={"product": "windows"}, **more)


@cache
def upstream() -> tuple[Rule, ...]:
    """SigmaHQ's Windows rules, those that are evaluable."""
    found: list[Rule] = []
    for path, text in upstream_rules().items():
        try:
            found.extend(SigmaRules().parse(text, path))
        except UsageError:
            continue
    return tuple(found)


def sample(count: int, seed: int) -> list[Rule]:
    """Some of them, the same each time."""
    return Random(seed).sample(upstream(), count)


def elastic() -> list[Rule]:
    """Elastic's own rules."""
    return [rule for path in sorted((DATA / "elastic").rglob("*.toml")) for rule in ElasticRules().load(path)]


@cache
def recorded() -> tuple[Event, ...]:
    """The events of the two recordings of PowerShell Remoting."""
    return tuple(event for path in RECORDINGS for event in read_events(path))


@cache
def hits() -> Mapping[str, frozenset[int]]:
    """By rule, the numbers of the recorded events that it matches; only rules that match one."""
    return hits_of(upstream())


def hits_of(rules: tuple[Rule, ...]) -> Mapping[str, frozenset[int]]:
    """The same of any rules."""
    detector = Detector(rules)
    found: dict[str, set[int]] = {}
    for number, event in enumerate(recorded()):
        for rule in detector.matches(event):
            found.setdefault(rule.id, set()).add(number)
    return {rule: frozenset(numbers) for rule, numbers in found.items()}


def telling(count: int, seed: int) -> list[Rule]:
    """Every rule that matches something recorded, and some of the others."""
    matching = [rule for rule in upstream() if rule.id in hits()]
    return [*matching, *(rule for rule in sample(count, seed) if rule.id not in hits())]


def by_id(start: str) -> Rule:
    """SigmaHQ's rule whose id begins so."""
    return next(rule for rule in upstream() if rule.id.startswith(start))


def write_lines(path: Path) -> None:
    """The recorded documents, one a line."""
    path.write_text("".join(json.dumps(event.raw) + "\n" for event in recorded()), encoding="utf-8")
