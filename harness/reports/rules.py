"""Rules for people and for machines: the list, a rule's own text, its page, and what is wrong with it.

Rules are written by others: every text passes `inert` and is never read as markup. This module must never decide anything about a rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.errors import Problem
from harness.logic.explain import Explanation, Indicator, Predicate, kind_name, rule_event_kinds
from harness.logic.lint import Finding
from harness.logic.requirements import Requirement
from harness.model.intent import Rule
from harness.reports.words import inert, whole

_ROOM = 110
"""Columns of a terminal from which on the list is a table: an id alone takes 36."""


def list_json(catalog: str, rules: Sequence[Rule], refused: Sequence[Problem]) -> dict[str, object]:
    """The list as plain values."""
    return {"catalog": catalog, "rules": [rule_json(rule) for rule in rules], "refused": [asdict(problem) for problem in refused]}


def show_json(rule: Rule, header: Mapping[str, str]) -> dict[str, object]:
    """A rule with its own text, as plain values."""
    return {**rule_json(rule), "header": dict(header), "definition": rule.definition}


def explain_json(page: Explanation, needs: Sequence[Requirement], header: Mapping[str, str]) -> dict[str, object]:
    """The page as plain values."""
    return {
        **show_json(page.rule, header),
        "needs": [asdict(each) for each in needs],
        "variants": [asdict(variant) for variant in page.variants],
        "exclusions": [asdict(predicate) for predicate in page.exclusions],
        "indicators": [
            {**asdict(each.predicate), "other_rules": sum(each.others.values()), "by_language": dict(each.others)}
            for each in page.indicators
        ],
        "catalog": {"name": page.catalog, "rules": page.counted},
    }


def lint_json(findings: Sequence[Finding], problems: Sequence[Problem]) -> dict[str, object]:
    """What was found, as plain values."""
    found = [
        {
            "rule": each.rule.id,
            "title": each.rule.title,
            "path": each.rule.source,
            "line": line_of(each),
            "fault": each.fault,
            "what": each.what,
            "fix": each.fix,
        }
        for each in findings
    ]
    return {"findings": found, "problems": [asdict(problem) for problem in problems]}


def print_list(catalog: str, rules: Sequence[Rule], refused: Sequence[Problem], console: Console) -> None:
    """One row a rule, or a few lines where a row has no room; below it what is no rule that can be evaluated, and what is known as a
    rule and not evaluated, with the reasons."""
    table = _table("id", "title", "level", "language", "kinds of event", "techniques")
    for number in (0, 2, 3):
        table.columns[number].no_wrap = True
    for rule in rules:
        kinds = "not evaluated" if rule.not_evaluated else ", ".join(kind_name(kind) for kind in rule_event_kinds(rule))
        techniques = ", ".join(rule.techniques)
        if console.width >= _ROOM:
            table.add_row(*_cells(rule.id, rule.title, rule.severity, rule.language, kinds, techniques))
            continue
        console.print(Text.assemble((inert(rule.id), "bold"), f"  {rule.severity}  {inert(rule.language)}"), soft_wrap=True)
        for line in filter(None, (rule.title, kinds, techniques)):
            console.print(Padding(Text(inert(line)), (0, 0, 0, 4)))
    if table.row_count:
        console.print(table)
    if refused:
        console.print(Text("\nNot evaluable", style="bold"))
        for problem in refused:
            console.print(Text(f"  {whole(str(problem))}"), soft_wrap=True)
    unread = [rule for rule in rules if rule.not_evaluated]
    if unread:
        console.print(Text("\nNot evaluated", style="bold"))
        for rule in unread:
            console.print(Text(f"  {whole(rule.source)}: {inert(rule.title)}: {inert(rule.not_evaluated)}"), soft_wrap=True)
    counted = f"{len(rules)} rules, " + (f"{len(unread)} of them not evaluated, " if unread else "")
    console.print(Text(f"\n{counted}{len(refused)} not evaluable, in {inert(catalog)}", style="bold"))


def print_rule(rule: Rule, console: Console) -> None:
    """The rule's own text, as it was loaded."""
    console.print(Text(inert(rule.title), style="bold"))
    console.print(Text(f"{inert(rule.language)} · {rule.severity} · {inert(rule.id)}\n{whole(rule.source)}\n"), soft_wrap=True)
    if rule.not_evaluated:
        console.print(Text(f"Not evaluated: {inert(rule.not_evaluated)}\n", style="yellow"))
    if rule.elastic is not None and rule.elastic.repaired:
        console.print(Text(f"Repaired: {inert(rule.elastic.repaired)}\n", style="yellow"))
    body(rule, console)


def print_page(page: Explanation, needs: Sequence[Requirement], header: Mapping[str, str], console: Console) -> None:
    """Header, techniques, event coverage, what it needs, body, stages and predicates, exclusions, indicators."""
    rule = page.rule
    console.print(Text(inert(rule.title), style="bold"))
    console.print(pairs({"id": rule.id, "language": rule.language, "level": rule.severity, **header}))
    console.print(Text.assemble(("  source  ", "bright_black"), whole(rule.source)), soft_wrap=True)
    heading("MITRE ATT&CK coverage", console)
    console.print(Text(f"  {inert(', '.join(rule.techniques)) or 'the rule names no technique'}"))
    if rule.not_evaluated:
        heading("Not evaluated", console)
        console.print(Text(f"  {inert(rule.not_evaluated)}"))
        heading("Rule body", console)
        body(rule, console)
        return
    heading("Event coverage", console)
    kinds = _table("provider", "event", "title", "channel")
    for kind in page.kinds:
        event = "every event" if kind.event_id is None else f"Event ID {kind.event_id}"
        kinds.add_row(*_cells(kind.provider or "any", event, kind.title or "-", kind.channel or "any"))
    console.print(Padding(kinds, (0, 0, 0, 2)))
    _needs(needs, console)
    heading("Rule body", console)
    body(rule, console)
    _stages(page, console)
    _exclusions(page.exclusions, console)
    _indicators(page, console)


def print_lint(findings: Sequence[Finding], problems: Sequence[Problem], looked_at: str, console: Console) -> None:
    """One finding a paragraph, where it is, what, and how to mend it; the count last."""
    for problem in problems:
        console.print(Text(whole(str(problem))), soft_wrap=True)
    for each in findings:
        problem = Problem(path=each.rule.source, line=line_of(each), what=f"{each.fault}: {each.what}", fix=each.fix)
        console.print(Text(f"{whole(str(problem))}\n    {inert(each.rule.id)}  {inert(each.rule.title)}"), soft_wrap=True)
    count = len(findings) + len(problems)
    console.print(Text(f"{count} found in {inert(looked_at)}" if count else f"nothing found in {inert(looked_at)}", style="bold"))


def line_of(finding: Finding) -> int:
    """The line, from 1, of the rule's text in which what the finding is about is first written; 0 where it is not found."""
    if not finding.value:
        return 0
    lines = enumerate(finding.rule.definition.splitlines(), 1)
    return next((number for number, line in lines if finding.value in line), 0)


def rule_json(rule: Rule) -> dict[str, object]:
    """What a list says of a rule, as plain values."""
    return {
        "id": rule.id,
        "title": rule.title,
        "level": rule.severity,
        "language": rule.language,
        "not_evaluated": rule.not_evaluated,
        "kinds": [asdict(kind) for kind in rule_event_kinds(rule)],
        "techniques": list(rule.techniques),
        "source": rule.source,
    }


def body(rule: Rule, console: Console) -> None:
    """Every line whole and unbroken, so that it can be taken out of the page."""
    for line in rule.definition.rstrip().splitlines():
        console.print(Text("    " + whole(line)), soft_wrap=True)


def _needs(needs: Sequence[Requirement], console: Console) -> None:
    heading("What it needs", console)
    table = _table("need", "what", "setting, or the smallest thing that gives it")
    for each in needs:
        table.add_row(*_cells(each.need, each.what, each.how or "-"))
    console.print(Padding(table, (0, 0, 0, 2)))


def _stages(page: Explanation, console: Console) -> None:
    heading("Stages and predicates", console)
    for variant in page.variants:
        if variant.label:
            console.print(Text(f"  On {inert(variant.label)}", style="italic"))
        console.print(Text("  Stage 0: condition", style="bold"))
        console.print(Text(f"      {inert(variant.condition) or 'every event of these kinds'}"))
        for number, stage in enumerate(variant.stages, 1):
            console.print(Text(f"  Stage {number}: {inert(stage.name)}", style="bold"))
            for line in stage.lines:
                console.print(Text(f"      {inert(line)}"))


def _exclusions(exclusions: Sequence[Predicate], console: Console) -> None:
    heading("Exclusions", console)
    console.print(Text("  What the rule suppresses: the tests under a NOT that stands at the top of its condition."))
    if not exclusions:
        console.print(Text("  none"))
        return
    table = _table("field", "kind", "excluded value")
    for each in exclusions:
        table.add_row(*_cells(each.field, each.kind, _visible(each.value)))
    console.print(Padding(table, (0, 0, 0, 2)))


def _indicators(page: Explanation, console: Console) -> None:
    heading("Indicators", console)
    counted = f"{page.counted} rules of {inert(page.catalog)}"
    console.print(Text(f"  What the rule matches, and how many other rules look for the same field, kind and value. Counted: {counted}."))
    table = _table("field", "kind", "value", "other rules")
    for each in page.indicators:
        predicate = each.predicate
        table.add_row(*_cells(predicate.field, predicate.kind, _visible(predicate.value), _corpus(each)))
    console.print(Padding(table, (0, 0, 0, 2)))


def _corpus(indicator: Indicator) -> str:
    """Blank where nobody else looks for it."""
    if not indicator.others:
        return ""
    return f"{sum(indicator.others.values())} ({', '.join(f'{language} {count}' for language, count in indicator.others.items())})"


def _visible(value: str) -> str:
    return f"'{value}'" if value != value.strip() else value


def heading(text: str, console: Console) -> None:
    """The heading of a page's section."""
    console.print(Text(f"\n{text}", style="bold underline"))


def pairs(pairs: Mapping[str, str]) -> Table:
    """Names and what they stand for, a row each."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        table.add_row(Text(f"  {name}", style="bright_black"), Text(inert(value)))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _cells(*values: str) -> Iterable[Text]:
    return (Text(inert(value)) for value in values)
