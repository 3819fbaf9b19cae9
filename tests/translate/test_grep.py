"""grep's pattern finds, with the real grep, what the matcher finds."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.events.read import read_event
from harness.logic.match import matcher
from harness.model.intent import Rule
from harness.translate.grep import grep
from harness.translate.refusal import NotExpressible
from tests.needs import needs_recordings
from tests.translate.rules import hits, on, sample, telling, write_lines


def grepped(rule: Rule, path: Path) -> frozenset[int]:
    """The numbers, from 0, of the file's lines that the command prints, run by a shell as it stands."""
    command, _ = grep(rule)
    line = command.replace("grep -P", "grep -nP").replace(" events.jsonl", f" {shlex.quote(str(path))}")
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    ended = subprocess.run(["/bin/sh", "-c", line], capture_output=True, env=environment, timeout=60, check=False)
    assert ended.returncode in (0, 1), ended.stderr.decode()
    return frozenset(int(found.split(b":", 1)[0]) - 1 for found in ended.stdout.splitlines())


DOCUMENTS: list[dict[str, Any]] = [
    {"Image": "C:\\Windows\\System32\\cmd.exe", "CommandLine": 'cmd "x" /c\twhoami', "Count": "15", "User": "LAB\\Anna"},
    {"Image": "C:\\WINDOWS\\CMD.EXE", "CommandLine": "it's 100% é <b>", "Count": 7, "User": "SYSTEM"},
    {"Image": "D:\\a.txt", "SourceIp": "10.1.2.3", "Count": "150", "ParentUser": "LAB\\Anna", "User": "lab\\anna"},
    {"Image": "", "SourceIp": "fe80::1", "CommandLine": "line one\r\nline two*?"},
    {"CommandLine": '\\"Image\\":\\"C:\\\\cmd.exe\\"', "SourceIp": "::ffff:10.0.0.1", "Count": None},
    {"Image": "cmd.exe", "CommandLine": "u00e9 [brackets] (x) {y} ^$.|+"},
]


@pytest.mark.parametrize(
    "selection",
    [
        {"Image|endswith": "\\cmd.exe"},
        {"Image": "cmd.exe"},
        {"Image|startswith": "C:\\"},
        {"Image|contains|cased": "WINDOWS"},
        {"Image": "?:\\*.exe"},
        {"Image": ""},
        {"Image": None},
        {"Image|exists": True},
        {"Image|exists": False},
        {"Count": 7},
        {"Count": [15, 150]},
        {"Count|gt": 14},
        {"Count|lte": 15},
        {"Count|lt": 0},
        {"SourceIp|cidr": "10.0.0.0/8"},
        {"SourceIp|cidr": ["fe80::/10", "192.168.0.0/16"]},
        {"User|fieldref": "ParentUser"},
        {"User|fieldref|endswith": "ParentUser"},
        {"CommandLine|contains": ['"x"', "it's", "é <b>"]},
        {"CommandLine|contains": "\r\n"},
        {"CommandLine|contains": "two\\*\\?"},
        {"CommandLine|contains": "00e9"},
        {"CommandLine|contains": "[brackets] (x) {y} ^$.|+"},
        {"CommandLine|contains|all": ["line", "two"]},
        {"CommandLine|re": "^cmd .*\\s(?:/c)\\twho"},
        {"CommandLine|re": "WHOAMI"},
        {"CommandLine|re|i": "WHOAMI$"},
        {"commandline|re": "[^ -~]"},
        ["whoami", "é"],
        {"|re": "wh..mi"},
    ],
)
def test_every_test_finds_what_the_matcher_finds(selection: object, tmp_path: Path) -> None:
    rule = sigma_on_made(selection)
    head = {"EventID": 1, "Channel": "made", "Hostname": "ws1", "SourceName": "Made", "EventTime": "2026-01-01 00:00:00"}
    documents = [{**head, "@timestamp": "2026-01-01T00:00:00Z", **document} for document in DOCUMENTS]
    path = tmp_path / "events.jsonl"
    fits = matcher(rule.logic)
    for ascii_only in (True, False):
        path.write_text("".join(json.dumps(document, ensure_ascii=ascii_only) + "\n" for document in documents), encoding="utf-8")
        # NXLog writes every number as a text, and the reader takes numbers for the shipper's own: they are given as the texts they are.
        texts = [{key: str(value) if key == "Count" and value is not None else value for key, value in each.items()} for each in documents]
        expected = frozenset(number for number, each in enumerate(texts) if fits(read_event(each, str(number))))
        assert grepped(rule, path) == expected


def sigma_on_made(selection: object) -> Rule:
    if isinstance(selection, dict):
        return on("made", selection)
    return on("made", {}, selections={"words": selection}, condition="selection and words")


def test_negations_and_alternatives(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"Channel": "made", "A": "x"}\n{"channel":"Made","A":"y"}\n{"Channel": "made", "B": "x"}\n')
    rule = on("made", {}, selections={"a": {"A": "x"}, "b": {"B": "x"}}, condition="selection and (b or not a)")
    assert grepped(rule, path) == {1, 2}


@pytest.mark.parametrize(
    ("selection", "named"),
    [
        ({"A|re": "(?<=x)y"}, "group of the kind"),
        ({"A|gt": 1.5}, "whole numbers"),
        ({"A|re": "(?:[a-z]{1,900}x){1,9}"}, "repetitions"),
        ({"A|contains": ["x" * 100 + str(number) for number in range(600)]}, "characters"),
    ],
)
def test_what_grep_cannot_say_is_named(selection: dict[str, object], named: str) -> None:
    with pytest.raises(NotExpressible, match=named):
        grep(on("made", selection))


def test_a_keyword_is_told_to_be_looked_for_everywhere() -> None:
    assert any("whole line" in note for note in grep(sigma_on_made(["word"]))[1])


@needs_recordings
def test_recordings(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write_lines(path)
    seen = 0
    for rule in telling(30, seed=11):
        assert grepped(rule, path) == hits().get(rule.id, frozenset()), rule.id
        seen += bool(hits().get(rule.id))
    assert seen > 20


@needs_recordings
def test_grep_compiles_every_pattern_that_is_written(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text("{}\n")
    for rule in sample(60, seed=12):
        grepped(rule, path)
