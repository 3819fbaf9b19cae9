"""Elastic's TOML rules: what is loaded, what is repaired, what is refused and where, and what they find on recordings."""

from __future__ import annotations

import tomllib
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from harness.detect import Detector
from harness.errors import UsageError
from harness.events.read import read_events
from harness.logic.match import matcher
from harness.logic.needs import unexercisable
from harness.model.facts import Event, FlatValue
from harness.model.intent import EnterPSSession, Rule, Severity
from harness.rules.catalog import load_rules
from harness.rules.elastic import ElasticRules, mend
from tests.logic.tree_builders import SYSMON, event
from tests.needs import DATA, ROOT, needs_recordings

SEEDS = ROOT.parent / "shared" / "seeds"
REMOTING = "2772264c-6fb9-4d9d-9014-b416eed21254"

RULE = """
[metadata]
maturity = "development"

[rule]
building_block_type = "default"
from = "now-9m"
index = ["winlogbeat-*"]
interval = "10m"
language = "eql"
name = "A name"
risk_score = 47
rule_id = "00000000-0000-0000-0000-000000000001"
severity = "high"
type = "eql"
query = '''
process where process.name : "a.exe" and
  process.pid > 3
'''

[[rule.required_fields]]
name = "process.name"

[[rule.threat]]
framework = "MITRE ATT&CK"
[[rule.threat.technique]]
id = "T1021"
[[rule.threat.technique.subtechnique]]
id = "T1021.006"
[rule.threat.tactic]
id = "TA0008"
"""


def parse(text: str) -> Rule:
    [rule] = ElasticRules().parse(text, "r.toml")
    return rule


def problems(text: str) -> list[str]:
    with pytest.raises(UsageError) as error:
        parse(text)
    return [str(problem) for problem in error.value.problems]


def test_what_a_rule_says_of_itself() -> None:
    rule = parse(RULE)
    assert (rule.id[-1], rule.title, rule.language, rule.severity) == ("1", "A name", "eql", Severity.HIGH)
    assert rule.techniques == ("T1021", "T1021.006")
    assert rule.not_evaluated == ""
    elastic = rule.elastic
    assert elastic is not None
    assert (elastic.kind, elastic.index, elastic.risk_score, elastic.tactics) == ("eql", ("winlogbeat-*",), 47, ("TA0008",))
    assert (elastic.look_back, elastic.interval) == (timedelta(minutes=9), timedelta(minutes=10))
    assert (elastic.required_fields, elastic.building_block, elastic.repaired) == (("process.name",), True, "")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('rule_id = "00000000-0000-0000-0000-000000000001"', "", ["r.toml: has no id (rule_id)"]),
        ('name = "A name"', "", ["r.toml: has no name"]),
        ('severity = "high"', 'severity = "grave"', ["r.toml:14:1: the severity is 'grave' (one of low, medium, high, critical)"]),
        ("risk_score = 47", "risk_score = 470", ["r.toml:12:1: the risk score is 470 (a whole number from 0 to 100)"]),
        ('type = "eql"', 'type = "sql"', None),
        ('from = "now-9m"', 'from = "9m"', ["r.toml:7:1: from is '9m' (from = \"now-9m\")"]),
        ('interval = "10m"', "interval = 10", ['r.toml:9:1: the interval is 10 (interval = "5m")']),
        ('index = ["winlogbeat-*"]', 'index = "x"', ['r.toml:8:1: index is no list of texts (index = ["winlogbeat-*"])']),
        ('language = "eql"', 'language = "kuery"', ["r.toml:10:1: an eql rule is in the language 'kuery' (language = \"eql\")"]),
        ("process.pid > 3", "process.pid > >", ["r.toml:18:17: the query cannot be read: '>' cannot stand here"]),
        (
            "process where process",
            "process wher process",
            ["r.toml:17:9: the query cannot be read: 'wher process.name : \"a.exe\" an' cannot stand here"],
        ),
        ("[rule]", "[ruler]", None),
        ('name = "A name"', "name = ", ["r.toml:11:8: is not TOML: Invalid value"]),
    ],
)
def test_what_is_refused_and_where(old: str, new: str, expected: list[str] | None) -> None:
    found = problems(RULE.replace(old, new, 1))
    assert found if expected is None else found == expected


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("now-90s", timedelta(seconds=90)),
        ("now-1h-30m", timedelta(minutes=90)),
        ("now-1w", timedelta(weeks=1)),
        ("now", None),
        ("now-", None),
        ("now-5y", None),
        ("now-0m", None),
        ("now+5m", None),
    ],
)
def test_how_far_back_a_rule_looks(text: str, span: timedelta | None) -> None:
    changed = RULE.replace('from = "now-9m"', f'from = "{text}"')
    if span is None:
        assert problems(changed) == [f"r.toml:7:1: from is '{text}' (from = \"now-9m\")"]
    else:
        elastic = parse(changed).elastic
        assert elastic is not None
        assert elastic.look_back == span


EQL = 'process where process.name : "a.exe" and\n  process.pid > 3\n'
PLAIN = RULE.replace('type = "eql"', 'type = "query"').replace('language = "eql"', 'language = "kuery"')


def query_rule(query: str, *, language: str = "kuery", more: str = "") -> Rule:
    """A rule with this query and these tables behind it."""
    return parse(PLAIN.replace(EQL, query).replace("kuery", language) + more)


SEEN = event(SYSMON, 1, image="C:\\a.exe", processid="4")


@pytest.mark.parametrize(
    ("language", "query"), [("kuery", "process.name : a.exe and process.pid > 3"), ("lucene", "+process.name:a* -process.pid:3")]
)
def test_plain_queries_are_evaluated(language: str, query: str) -> None:
    rule = query_rule(query, language=language)
    assert (rule.language, rule.not_evaluated, rule.pattern) == (language, "", None)
    assert matcher(rule.logic)(SEEN)
    assert not matcher(rule.logic)(event(SYSMON, 1, image="C:\\b.exe", processid="3"))


def test_a_plain_query_without_a_language_is_kql() -> None:
    rule = parse(PLAIN.replace('language = "kuery"\n', "").replace(EQL, "process.name : a.exe"))
    assert (rule.language, rule.not_evaluated) == ("kuery", "")
    assert matcher(rule.logic)(SEEN)


@pytest.mark.parametrize(
    ("language", "query", "why"),
    [
        ("kuery", "a : b and\nc : { d : e }", "its query is not evaluated here: 18:1: nested fields are not read here"),
        ("lucene", "a:b~2", "its query is not evaluated here: 17:4: fuzzy words and distances are not read here"),
        ("sql", "a", "the language sql is not evaluated here"),
    ],
)
def test_a_query_that_asks_for_what_is_not_read_says_so_and_matches_nothing(language: str, query: str, why: str) -> None:
    rule = query_rule(query, language=language)
    assert rule.not_evaluated == why
    assert not matcher(rule.logic)(SEEN)


def test_a_query_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"r.toml:17:9: the query cannot be read: the query ends too early"):
        query_rule("a : b or")
    assert problems(RULE.replace("query = '''", "quer = '''")) == ["r.toml: has no query"]


FILTER = r"""
[[rule.filters]]
[rule.filters.meta]
negate = true
[rule.filters.query.wildcard."process.executable"]
case_insensitive = true
value = "?:\\\\A.exe"
"""


def test_filters_count_for_every_event_that_a_query_reads() -> None:
    single = query_rule("process.pid : 4", more=FILTER)
    assert single.not_evaluated == ""
    assert not matcher(single.logic)(SEEN)
    assert matcher(single.logic)(event(SYSMON, 1, image="D:\\x\\a.exe", processid="4"))
    sequence = parse(RULE.replace(EQL, "sequence [process where true] [any where true] until [any where true]") + FILTER)
    assert sequence.pattern is not None
    stages = [*sequence.pattern.stages, sequence.pattern.until]
    assert len(stages) == 3
    assert not any(matcher(stage.condition)(SEEN) for stage in stages if stage is not None)
    assert not matcher(sequence.logic)(SEEN)


def test_a_filter_that_is_not_read_is_named() -> None:
    rule = query_rule("process.pid : 4", more="[[rule.filters]]\nquery.script.source = 'x'\n")
    assert rule.not_evaluated == "it is not evaluated here: a filter's clause script is not read here"
    assert not matcher(rule.logic)(SEEN)


SUPPRESSION = """
[rule.alert_suppression]
group_by = ["host.id", "user.id"]
duration = {value = 5, unit = "h"}
[[rule.exceptions_list]]
list_id = "endpoint_list"
namespace_type = "agnostic"
"""


def test_suppression_and_exceptions_are_kept() -> None:
    elastic = parse(RULE + SUPPRESSION).elastic
    assert elastic is not None
    assert (elastic.suppressed_by, elastic.suppressed_for) == (("host.id", "user.id"), timedelta(hours=5))
    assert elastic.exceptions == ("endpoint_list",)
    for wrong in (SUPPRESSION.replace('"h"', '"y"'), SUPPRESSION.replace('["host.id", "user.id"]', "5")):
        assert ["alert_suppression names no fields" in problem for problem in problems(RULE + wrong)] == [True]
    lists = problems(RULE.replace('type = "eql"', 'type = "eql"\nfilters = [5]\nexceptions_list = 4'))
    assert [problem.rpartition(": ")[2] for problem in lists] == ["filters is no list of tables", "exceptions_list is no list of tables"]


def test_every_problem_is_told_at_once() -> None:
    assert len(problems("[rule]\nindex = 1\nthreat = 2\n")) == 6


@pytest.mark.parametrize(
    ("kind", "language", "why"),
    [
        ("esql", "esql", "ES|QL"),
        ("threshold", "kuery", "threshold"),
        ("new_terms", "kuery", "new terms"),
        ("machine_learning", "", "machine learning"),
    ],
)
def test_what_is_not_evaluated_is_known_says_why_and_matches_nothing(kind: str, language: str, why: str) -> None:
    text = RULE.replace('type = "eql"', f'type = "{kind}"').replace('language = "eql"', f'language = "{language}"' if language else "")
    rule = parse(text)
    assert rule.not_evaluated.startswith(why)
    assert rule.not_evaluated.endswith("not evaluated here")
    assert rule.techniques == ("T1021", "T1021.006")


def test_a_rule_on_one_line_is_repaired_and_says_so() -> None:
    whole, flat = parse(RULE), parse(" ".join(RULE.split("\n")))
    assert flat.elastic is not None
    assert "one line" in flat.elastic.repaired
    assert (flat.id, flat.logic, flat.techniques, flat.severity) == (whole.id, whole.logic, whole.techniques, whole.severity)


@pytest.mark.parametrize("value", ['["[rule]", "a = b"]', "'''[x] a = 1'''", '"a [[b]] c = 2"', "{ x = 1, y = [1] }", "[ [1], [2] ]"])
def test_values_that_look_like_tables_or_keys_are_left_alone(value: str) -> None:
    text = f"[rule]\na = {value}\nb = 1\n[[rule.c]]\nd = 2\n"
    mended = mend(" ".join(text.split("\n")))
    assert mended is not None
    assert tomllib.loads(mended) == tomllib.loads(text)


def test_a_fault_of_another_kind_is_not_repaired() -> None:
    assert mend("[rule]\nname = ") is None
    assert "is not TOML" in problems('[rule] name = "x" = "y"')[0]


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"[rule]\n" + b"#" * 10_000_001)
    with pytest.raises(UsageError, match="longer than"):
        load_rules([huge], [ElasticRules()])
    assert problems("[rule]\nx = " + "[" * 100_000)
    assert problems("[rule] x = " + "[" * 100_000)
    (tmp_path / "settings.toml").write_text("[scope]\n")
    assert not ElasticRules().takes(tmp_path / "settings.toml")


# --- on recordings and the seeds -------------------------------------------------------------------------------------------------


def all_rules() -> tuple[Rule, ...]:
    return load_rules([DATA / "elastic"], [ElasticRules()])


def script_block(text: str) -> Event:
    return event("Microsoft-Windows-PowerShell/Operational", 4104, scriptblocktext=text)


def directory_change(**flat: FlatValue) -> Event:
    return event("Security", 5136, attributeldapdisplayname="msPKIAccountCredentials", operationtype="%%14674", **flat)


def hits(rules: tuple[Rule, ...], recording: str) -> dict[str, int]:
    detector = Detector(rules)
    found = [hit for event in read_events(DATA / "otrf" / recording) for hit in detector.feed(event)] + [*detector.finish()]
    assert detector.late == 0
    return dict(Counter(hit.rule.id for hit in found))


@needs_recordings
def test_all_of_elastics_rules_are_loaded_and_all_but_esql_are_evaluated() -> None:
    rules = all_rules()
    assert Counter(rule.not_evaluated for rule in rules) == {"": 35, "ES|QL is not evaluated here": 1}
    assert Counter(rule.language for rule in rules) == {"eql": 32, "kuery": 3, "esql": 1}


@needs_recordings
@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        # The arguments are seen by both logs: the rule exempts Sysmon, by its data set, from what it leaves out of the system's account.
        ("empire_psremoting_stager.zip", {REMOTING: 1, "83bf249e-4348-47ba-9741-1202a09556ad": 2}),
        ("covenant_psremoting_command.zip", {}),
        ("covenant_persistwmi.tar.gz", {}),
        ("cmd_bitsadmin_download_psh_script.zip", {}),
    ],
)
def test_elastics_rules_on_recordings(recording: str, expected: dict[str, int]) -> None:
    assert hits(all_rules(), recording) == expected


TAMPERING = "$what = @{DisableRealtimeMonitoring = $true}; Set-MpPreference @what"
MODULE = "function Set-MpPreference { [Microsoft.PowerShell.Cmdletization.GeneratedTypes.MpPreference.SubmitSamplesConsentType] }"


@needs_recordings
@pytest.mark.parametrize(
    ("title", "seen", "expected"),
    [
        ("PowerShell Script with Windows Defender Tampering Capabilities", script_block(TAMPERING), True),
        ("PowerShell Script with Windows Defender Tampering Capabilities", script_block(TAMPERING.upper()), True),
        # Elastic's analyzer keeps a parameter's hyphen, the rule asks for its name without: a gap of the rule, shown and not mended.
        (
            "PowerShell Script with Windows Defender Tampering Capabilities",
            script_block("Set-MpPreference -DisableScriptScanning 1"),
            False,
        ),
        ("PowerShell Script with Windows Defender Tampering Capabilities", script_block("Set-MpPreference -Force"), False),
        ("PowerShell Script with Windows Defender Tampering Capabilities", script_block(f"{TAMPERING}\n{MODULE}"), False),
        ("Potential AMSI Bypass via RPC Runtime Hooking", script_block("'NdrClientCall2', [Kernel32]::VirtualProtect()"), True),
        ("Potential AMSI Bypass via RPC Runtime Hooking", script_block("NdrClientCall22 VirtualProtect"), False),
        ("Modification of the msPKIAccountCredentials", directory_change(subjectusersid="S-1-5-21-1"), True),
        ("Modification of the msPKIAccountCredentials", directory_change(subjectusersid="S-1-5-18"), False),
    ],
)
def test_elastics_kql_rules_on_events_made_for_them(title: str, seen: Event, expected: bool) -> None:
    rule = next(rule for rule in all_rules() if rule.title == title)
    assert matcher(rule.logic)(seen) is expected


@needs_recordings
def test_the_seeds_rule_is_repaired_and_never_fires_for_want_of_a_protocol() -> None:
    [path] = SEEDS.glob("004*.txt")
    rule = parse(path.read_text())
    assert rule.elastic is not None
    assert (rule.id, rule.severity, rule.elastic.risk_score) == (REMOTING, Severity.MEDIUM, 47)
    assert "one line" in rule.elastic.repaired
    assert rule.techniques == ("T1021", "T1021.006", "T1059", "T1059.001")
    assert hits((rule,), "empire_psremoting_stager.zip") == hits((rule,), "covenant_psremoting_command.zip") == {}
    without = parse(path.read_text().replace('and network.protocol == "http"', ""))
    assert hits((without,), "empire_psremoting_stager.zip") == {REMOTING: 1}
    assert hits((without,), "covenant_psremoting_command.zip") == {}


@needs_recordings
def test_remoting_without_a_child_process_cannot_exercise_the_sequence() -> None:
    rule = next(rule for rule in all_rules() if rule.id == REMOTING)
    reason = unexercisable(rule, EnterPSSession(lines=("Get-Service WinRM",)), driver_is_windows=False)
    assert reason is not None
    assert (reason.need, reason.remedy) == ("child process", "whoami.exe")
    assert unexercisable(rule, EnterPSSession(lines=("whoami.exe",)), driver_is_windows=False) is None
