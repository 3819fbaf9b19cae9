"""What a report keeps of the rules that a run was about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.model.intent import Rule
from harness.model.report import RuleRecord
from harness.model.verdicts import Verdict


def recorded(verdicts: Iterable[Verdict], rules: Mapping[str, Rule]) -> tuple[RuleRecord, ...]:
    """The rules that the verdicts are about and that were loaded, by id."""
    about = {verdict.expectation.rule for verdict in verdicts}
    return tuple(_record(rules[name]) for name in sorted(about & rules.keys()))


def _record(rule: Rule) -> RuleRecord:
    return RuleRecord(
        id=rule.id,
        title=rule.title,
        source=rule.source,
        line=rule.line,
        language=rule.language,
        severity=rule.severity,
        techniques=rule.techniques,
        definition=rule.definition,
    )
