"""Translations on the terminal, as JSON and as a page: whole, copyable, and harmless whoever wrote the rule."""

from __future__ import annotations

import io
import json

from rich.console import Console

from harness.model.intent import Rule, Severity
from harness.model.translation import Sheet, Translation, Trap
from harness.model.tree import Op, Test
from harness.reports.translation import print_sheet, sheet_json, sheet_page

TRAP = Trap(name="case", what="a | b <i>", remedy="do `this`", mended=False)
LONG = "x" * 3000


def sheet(text: str = "query", title: str = "title") -> Sheet:
    rule = Rule(
        id="id-1",
        title=title,
        source="a|b`.yml",
        language="sigma",
        severity=Severity.HIGH,
        techniques=("T1021.006",),
        logic=Test(field="Channel", op=Op.EQUALS, value="Security"),
        definition="title: title",
    )
    said = Translation(target="es-qs", title="Query", fence="", text=text, notes=("lost [this]",), traps=(TRAP,))
    return Sheet(rule=rule, translations=(said, Translation(target="eql", title="EQL", fence="", refused="compares two fields")))


def printed(made: Sheet) -> str:
    out = io.StringIO()
    print_sheet(made, Console(file=out, width=80, color_system=None))
    return out.getvalue()


def test_a_text_stands_whole_and_at_the_left_edge() -> None:
    shown = printed(sheet(f"first {LONG}\n  second"))
    assert f"\nfirst {LONG}\n  second\n" in shown
    assert "  not expressible: compares two fields\n" in shown
    assert "  - lost [this]\n" in shown
    assert "  - trap, open - case: a | b <i> do `this`\n" in shown


def test_nothing_steers_a_terminal() -> None:
    assert "\x1b" not in printed(sheet("a\x1b[31mb", title="t\x1b[2J"))


def test_json_says_what_cannot_be_said() -> None:
    document = json.loads(json.dumps(sheet_json(sheet())))
    assert [(each["target"], each["expressible"], each["refused"]) for each in document["translations"]] == [
        ("es-qs", True, ""),
        ("eql", False, "compares two fields"),
    ]
    assert document["translations"][0]["traps"] == [{"name": "case", "what": "a | b <i>", "remedy": "do `this`", "mended": False}]


def test_a_page_has_its_header_and_every_text_in_a_fence() -> None:
    page = sheet_page(
        sheet("a ``` b\n# no heading"), {"description": "one | two\n<script>", "author": "[x](y)"}, (("TA0008", "Lateral Movement"),)
    )
    assert page.startswith("# title\n")
    assert "| **Description** | one \\| two \\<script\\> |" in page
    assert "| **Author** | \\[x\\](y) |" in page
    assert "| **ATT&CK tactics** | [TA0008: Lateral Movement](https://attack.mitre.org/tactics/TA0008/) |" in page
    assert "[T1021.006](https://attack.mitre.org/techniques/T1021/006/)" in page
    assert "| **Source** | `a\\|b'.yml` |" in page
    assert "\n````\na ``` b\n# no heading\n````\n" in page
    assert "### eql\n\nEQL: not expressible. compares two fields" in page
    assert "- **Known trap, open: case.** a \\| b \\<i\\> do `this`" in page
