"""A rule's translations for people, for machines, and as a page in Markdown.

Rules are written by others: on the terminal every text passes `inert`, on the page it stands in fences that it cannot close, or escaped.
This module must never decide anything about a rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from harness.errors import Problem
from harness.logic.explain import event_kinds
from harness.model.intent import Rule
from harness.model.translation import Sheet, Translation, Trap
from harness.reports.words import inert, whole

_PART = 400
"""Characters of a line that are made inert at once: `inert` cuts what is longer, and a query is shown whole."""


def sheet_json(sheet: Sheet) -> dict[str, object]:
    """The sheet as plain values."""
    rule = sheet.rule
    return {
        "rule": {"id": rule.id, "title": rule.title, "language": rule.language, "level": rule.severity, "source": rule.source},
        "translations": [asdict(each) | {"expressible": not each.refused} for each in sheet.translations],
    }


def print_sheet(sheet: Sheet, console: Console) -> None:
    """Each translation under its name, its text at the left edge, so that it can be copied, and its notes below."""
    rule = sheet.rule
    console.print(Text(inert(rule.title), style="bold"))
    console.print(Text(f"{inert(rule.language)} · {rule.severity} · {inert(rule.id)} · {inert(rule.source)}"))
    for each in sheet.translations:
        console.print(Text(f"\n{each.target}: {each.title}", style="bold underline"))
        if each.refused:
            console.print(Text(f"  not expressible: {inert(each.refused)}"), soft_wrap=True)
        for line in each.text.splitlines():
            parts = (inert(line[at : at + _PART]) for at in range(0, len(line), _PART))
            console.print(Text("".join(parts)), soft_wrap=True)
        if each.notes or each.traps:
            console.print()
        for note in each.notes:
            console.print(Text(f"  - {inert(note)}"), soft_wrap=True)
        for trap in each.traps:
            console.print(Text(f"  - {inert(_trap(trap))}"), soft_wrap=True)


Files = Sequence[tuple[Rule, Translation, str]]
"""Rules, their translation, and the file that it was written to: none where there is none to write."""


def files_json(files: Files, refused: Sequence[Problem]) -> dict[str, object]:
    """The files as plain values."""
    return {
        "rules": [{"id": rule.id, "title": rule.title, "source": rule.source, "file": path, **asdict(said)} for rule, said, path in files],
        "not_evaluable": [asdict(problem) for problem in refused],
    }


def print_files(files: Files, refused: Sequence[Problem], console: Console) -> None:
    """A line a file, with the traps that the rule came near; below, the rules without one; last, what holds for all files."""
    for rule, said, path in files:
        if not path:
            continue
        console.print(Text(f"{inert(path)}: {inert(rule.title)}"), soft_wrap=True)
        for trap in said.traps:
            console.print(Text(f"  - {'mended' if trap.mended else 'open'}: {trap.name}"), soft_wrap=True)
    for rule, said, path in files:
        if not path:
            console.print(
                Text(f"no file: {inert(rule.title)} ({inert(rule.source)}): {inert(said.refused)}", style="yellow"), soft_wrap=True
            )
    for problem in refused:
        console.print(Text(f"no file: {inert(str(problem))}", style="yellow"), soft_wrap=True)
    traps = {trap.name: trap for _, said, _ in files for trap in said.traps}
    for trap in traps.values():
        console.print(Text(f"- {inert(_trap(trap))}"), soft_wrap=True)
    for note in dict.fromkeys(note for _, said, _ in files for note in said.notes):
        of = [rule.title for rule, said, _ in files if note in said.notes]
        console.print(Text(f"- {inert(note)}{f' ({inert(of[0])})' if len(of) == 1 and len(files) > 1 else ''}"), soft_wrap=True)
    count = sum(bool(path) for _, _, path in files)
    console.print(Text(f"{count} files, {len(files) - count + len(refused)} rules without one", style="bold"))


def _trap(trap: Trap) -> str:
    return f"trap, {'mended' if trap.mended else 'open'} - {trap.name}: {trap.what} {trap.remedy}"


def sheet_page(sheet: Sheet, header: Mapping[str, str], tactics: tuple[tuple[str, str], ...]) -> str:
    """The sheet as a page. `header` is what the rule's text says of it beside its logic, by name; `tactics` by id and name."""
    return "\n".join(_page(sheet, header, tactics))


def _page(sheet: Sheet, header: Mapping[str, str], tactics: tuple[tuple[str, str], ...]) -> Iterator[str]:
    rule = sheet.rule
    yield f"# {_escaped(rule.title)}\n"
    yield "| | |"
    yield "|:--|:--|"
    rows = {
        "Id": f"`{_code(rule.id)}`",
        "Description": _escaped(header.get("description", "")),
        "ATT&CK tactics": _links((id, name, f"tactics/{id}") for id, name in tactics),
        "ATT&CK techniques": _links((id, "", f"techniques/{id.replace('.', '/')}") for id in rule.techniques),
        "Events needed": "<br>".join(_kinds(sheet)),
        "Severity": str(rule.severity),
        **{name.capitalize(): _escaped(value) for name, value in header.items() if name != "description"},
        "Source": f"`{_code(rule.source)}`",
    }
    for name, value in rows.items():
        if value:
            yield f"| **{name}** | {value} |"
    yield "\n## Translations"
    for each in sheet.translations:
        yield f"\n### {each.target}\n"
        yield f"{each.title}.\n" if not each.refused else f"{each.title}: not expressible. {_escaped(each.refused)}\n"
        if each.text:
            yield from _fenced(each)
        if each.notes or each.traps:
            yield ""
        yield from (f"- {_escaped(note)}" for note in each.notes)
        for trap in each.traps:
            state = "mended here" if trap.mended else "open"
            yield f"- **Known trap, {state}: {_escaped(trap.name)}.** {_escaped(trap.what)} {_escaped(trap.remedy)}"
    yield ""


def _fenced(translation: Translation) -> Iterator[str]:
    """The text in a fence that is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", translation.text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{translation.fence}"
    # Tabs are the text's own; what is not to be seen there must be, even if it can then not be copied.
    yield "\n".join("\t".join(map(whole, line.split("\t"))) for line in translation.text.split("\n"))
    yield fence


def _kinds(sheet: Sheet) -> Iterator[str]:
    for kind in event_kinds(sheet.rule.logic):
        event = "every event" if kind.event_id is None else f"event {kind.event_id}"
        yield _escaped(" ".join(part for part in (kind.channel or "any log", event, f"({kind.title})" if kind.title else "") if part))


def _links(found: Iterator[tuple[str, str, str]]) -> str:
    return "<br>".join(
        f"[{_escaped(f'{id}: {name}' if name else id)}](https://attack.mitre.org/{_path(path)}/)" for id, name, path in found
    )


def _path(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9/]", "", path)


def _code(text: str) -> str:
    """A text inside a code span of a table."""
    return whole(" ".join(text.replace("`", "'").replace("|", "\\|").split()))


def _escaped(text: str) -> str:
    """A text that is neither markup nor a cell's end. Names in code spans stay as they are."""
    parts = re.split(r"(`[^`|]*`)", whole(" ".join(text.split())))
    return "".join(part if number % 2 else re.sub(r"([\\\[\]|*_<>`#~])", r"\\\1", part) for number, part in enumerate(parts))
