"""The report as a layer of the ATT&CK Navigator, format 4.5, and the difference of two reports as one.

A technique's score is the share, in per cent, of the expectations met at steps of that technique; known gaps count as not met. Without
one rule there that should fire and was judged there is no score: silence alone is no coverage. No tactic is named, so that a technique
is marked wherever it stands. Format: layers/spec/v4.5/layerformat.md of github.com/mitre-attack/attack-navigator. This module must never
decide anything about a run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.core.cover import MET, UNMET
from harness.model.report import Report
from harness.model.verdicts import Verdict
from harness.reports.json import json_text
from harness.reports.words import grouped, inert, listed, named

_NAVIGATOR = "4.9.0"
"""The oldest version of the Navigator that reads this format. ATT&CK's own version is left to it: the layer names techniques alone."""
_RED, _YELLOW, _GREEN, _WHITE = "#d64545", "#f2c94c", "#3fa35b", "#ffffff"
_MOST_RULES = 40
_TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")


def dump_navigator(report: Report) -> str:
    """The layer as one JSON document with a line end."""
    titles = _titles(report)
    techniques = [_technique(name, verdicts, titles) for name, verdicts in _by_technique(report).items()]
    layer = _layer(f"harness run {report.run_id}", _about(report), techniques, colors=[_RED, _YELLOW, _GREEN], least=0)
    layer["legendItems"] = [
        {"label": "no expectation met", "color": _RED},
        {"label": "some met", "color": _YELLOW},
        {"label": "all met", "color": _GREEN},
    ]
    return json_text(layer)


def dump_navigator_diff(report: Report, baseline: Report) -> str:
    """What became of each technique's share since the baseline, as a layer: scores are the difference, from -100 to 100."""
    before, after = ({name: score(verdicts) for name, verdicts in _by_technique(each).items()} for each in (baseline, report))
    techniques: list[dict[str, object]] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None and new is None:
            continue
        entry: dict[str, object] = {"techniqueID": name, "enabled": True, "comment": f"{_share(old)} in the baseline, {_share(new)} now"}
        if old is not None and new is not None:
            entry["score"] = new - old
        techniques.append(entry)
    about = f"{_about(report)} Compared with run {inert(baseline.run_id)} of {baseline.started_at:%Y-%m-%d %H:%M} UTC."
    title = f"harness run {report.run_id} since {baseline.run_id}"
    layer = _layer(title, about, techniques, colors=[_RED, _WHITE, _GREEN], least=-100)
    layer["legendItems"] = [{"label": "less is met", "color": _RED}, {"label": "more is met", "color": _GREEN}]
    return json_text(layer)


def score(verdicts: Sequence[Verdict]) -> int | None:
    """The share of the judged expectations that were met, in per cent; None where no rule that should fire was judged."""
    judged = [verdict for verdict in verdicts if verdict.outcome in MET | UNMET]
    if not any(verdict.expectation.fires for verdict in judged):
        return None
    return round(100 * sum(verdict.outcome in MET for verdict in judged) / len(judged))


def _by_technique(report: Report) -> Mapping[str, Sequence[Verdict]]:
    """Verdicts by the technique of their step. A step that was not sent is known by the other targets' or not at all."""
    sent = {verdict.detonation.planned.id.partition("@")[0]: verdict.detonation for verdict in report.verdicts if verdict.detonation}
    found: dict[str, list[Verdict]] = {}
    for verdict in report.verdicts:
        detonation = sent.get(verdict.planned.partition("@")[0])
        technique = detonation.planned.step.technique if detonation is not None else None
        if technique is not None and _TECHNIQUE.fullmatch(technique):
            found.setdefault(technique, []).append(verdict)
    return dict(sorted(found.items()))


def _technique(name: str, verdicts: Sequence[Verdict], titles: Mapping[str, str]) -> dict[str, object]:
    met = score(verdicts)
    counted = sum(verdict.outcome in MET | UNMET for verdict in verdicts)
    rules = list(grouped(verdicts, lambda verdict: verdict.expectation.rule))
    metadata = [{"name": inert(named(rule, titles)), "value": _outcomes(found)} for rule, found in rules[:_MOST_RULES]]
    if len(rules) > _MOST_RULES:
        metadata.append({"name": "more rules", "value": str(len(rules) - _MOST_RULES)})
    return {
        "techniqueID": name,
        "enabled": True,
        **({"score": met} if met is not None else {}),
        "comment": f"{_share(met)} of {counted} judged expectations" if met is not None else "no rule that should fire was judged",
        "metadata": metadata,
        "links": [{"label": name, "url": f"https://attack.mitre.org/techniques/{name.replace('.', '/')}/"}],
    }


def _outcomes(verdicts: Sequence[Verdict]) -> str:
    return ", ".join(f"{len(found)} {outcome.value}" for outcome, found in grouped(verdicts, lambda verdict: verdict.outcome))


def _layer(
    name: str, description: str, techniques: Sequence[Mapping[str, object]], *, colors: Sequence[str], least: int
) -> dict[str, object]:
    return {
        "name": inert(name),
        "versions": {"navigator": _NAVIGATOR, "layer": "4.5"},
        "domain": "enterprise-attack",
        "description": description,
        "sorting": 0,
        "layout": {"layout": "side", "showID": True, "showName": True, "expandedSubtechniques": "annotated"},
        "hideDisabled": False,
        "techniques": list(techniques),
        "gradient": {"colors": list(colors), "minValue": least, "maxValue": 100},
        "showTacticRowBackground": False,
        "selectTechniquesAcrossTactics": True,
        "selectSubtechniquesWithParent": False,
    }


def _about(report: Report) -> str:
    environment = report.environment
    where = f"targets {inert(listed(environment.targets, 10))}, SIEM {inert(environment.siem)}"
    return f"{report.started_at:%Y-%m-%d %H:%M} UTC, {where}, harness {inert(environment.harness)}."


def _share(met: int | None) -> str:
    return "not judged" if met is None else f"{met} % met"


def _titles(report: Report) -> Mapping[str, str]:
    return {coverage.rule: coverage.title for coverage in report.coverage}
