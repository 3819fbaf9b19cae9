"""Sigma written to do harm: each text ends in a problem with its place, or in a rule, within a gigabyte, and never in a traceback."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable

import pytest

from harness.errors import RuleTooSlow, UsageError
from harness.logic.match import matcher
from harness.logic.regex_size import too_large
from harness.rules.sigma import SigmaRules
from tests.rules.sigma_data import event

HEAD = "title: A\nid: 6f0f1d1c-6a1e-4e6a-8d0c-000000000001\nlogsource: {product: windows, service: security}\n"


def detection(selection: str, condition: str = "selection") -> str:
    return f"{HEAD}detection:\n  selection:\n{selection}\n  condition: {condition}\n"


def values(count: int, key: str = "A") -> str:
    return f"    {key}:\n" + "\n".join(f"      - v{number}" for number in range(count))


NEST = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 20))
REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "ten megabytes of values": (lambda: detection(values(900_000)), ":49990:9: holds more than 50000 values"),
    "a hundred thousand values": (lambda: detection(values(100_000)), ":49990:9: holds more than 50000 values"),
    "more text than is read": (lambda: detection("    A: " + "x" * (17 << 20)), ": is longer than"),
    "aliases of aliases": (lambda: HEAD + NEST, "holds more than 50000 values (aliases count"),
    "an alias in itself": (lambda: HEAD + "x: &a [*a]\n", ":4:4: unfolds without end"),
    "flow brackets": (lambda: "a: " + "[" * 500_000, ":1:35: is nested deeper than 32 levels"),
    "block sequences": (lambda: "- " * 400_000, ":1:65: is nested deeper than 32 levels"),
    "a few brackets": (lambda: HEAD + "a: " + "[" * 60 + "]" * 60 + "\n", "is nested deeper than 32 levels"),
    "selections in selections": (lambda: detection("    " + "- " * 200 + "A: 1"), "is nested deeper than 32 levels"),
    "brackets of a condition": (lambda: detection("    A: 1", "(" * 5000 + "selection" + ")" * 5000), ":7:3: its condition is nested"),
    "negations": (lambda: detection("    A: 1", "not " * 5000 + "selection"), ":7:3: its condition is nested"),
    "twenty thousand selections": (
        lambda: HEAD + "detection:\n" + "".join(f"  s{n}:\n    A: {n}\n" for n in range(25_000)) + "  condition: 1 of s*\n",
        "holds more than 50000 values",
    ),
    "dashes that each take five forms": (lambda: detection("    A|windash: '" + " -a" * 20 + "'"), ":6:16: 'windash' varies at most 5"),
    "many values whose dashes take many forms": (
        lambda: detection("    A|windash:\n" + "".join(f"      - '-a -b -c -d {n}'\n" for n in range(100))),
        ":7:7: 'windash' would make 62500 forms",
    ),
    "a condition of a megabyte": (
        lambda: detection("    A: 1", " or ".join(["selection"] * 90_000)),
        ":7:3: its condition has more than 20000 words",
    ),
    "a thousand conditions": (
        lambda: detection("    A: 1", "[" + ", ".join(["selection"] * 1_000) + "]"),
        ":7:3: has more than 100 conditions",
    ),
    "repeats of repeats": (lambda: detection("    A|re: '((x{200}){200}){200}'"), ":6:5: 'A|re' is not evaluable"),
    "groups in groups": (lambda: detection("    A|re: '" + "(" * 20_000 + "a" + ")" * 20_000 + "'"), ":6:5: 'A|re' is not evaluable"),
    "a few groups in groups": (lambda: detection("    A|re: '" + "(" * 120 + "a" + ")" * 120 + "'"), ":6:5: 'A|re' is not evaluable"),
    "a repeat of a hundred digits": (lambda: detection("    A|re: 'x{" + "9" * 100 + "}'"), ":6:5: 'A|re' is not evaluable"),
    "a bracket that is not closed": (lambda: detection("    A|re: 'x('"), ":6:5: 'A|re' is not evaluable"),
    "half a character": (lambda: detection('    A: "\\uD800"'), ":6:11: is not YAML"),
    "a control character": (lambda: detection("    A: \0"), "is not YAML"),
    "numbers for names": (lambda: detection("    1: 2"), ":6:5: the key 1 is not a text (write it as '1')"),
    "nothing for a name": (lambda: detection("    null: 2"), ":6:5: the key null is not a text"),
    "a date for a name": (lambda: detection("    2020-01-01: 2"), ":6:5: the key 2020-01-01 is not a text"),
    "a list for a name": (lambda: detection("    ? [a]\n    : 2"), ":6:7: a key is not a plain text"),
    "a filter of the same": (
        lambda: HEAD + "filter:\n  rules: any\n  s: {A|windash: '" + " -a" * 20 + "'}\n  condition: not s\n",
        ":6:18: 'windash' varies",
    ),
    "a filter that nests": (
        lambda: HEAD + "filter:\n  rules: any\n  s: {A: 1}\n  condition: " + "(" * 900 + "s" + ")" * 900 + "\n",
        ":7:3: its condition is nested",
    ),
}
EVALUATED: dict[str, Callable[[], str]] = {
    "a long value": lambda: detection("    A: " + "x" * 1_000_000),
    "wildcards": lambda: detection("    A: '" + "*a" * 100_000 + "'"),
    "a long condition": lambda: detection("    A: 1", " and ".join(["selection"] * 5000)),
    "brackets within bounds": lambda: detection("    A: 1", "not (selection and " * 24 + "selection" + ")" * 24),
    "a null character": lambda: detection('    A: "a\\0b"'),
    "letters of any script": lambda: detection("    'Ä\u202e𝄞': '\u200b\U0001f600'"),
    "thousands of values": lambda: detection(values(20_000, "A|contains")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told_with_its_place(name: str) -> None:
    make, told = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        SigmaRules().parse(make(), "a.yml")
    assert str(caught.value).startswith("a.yml:")
    assert told in str(caught.value)


@pytest.mark.parametrize("name", EVALUATED)
def test_what_is_large_and_honest_is_evaluated(name: str) -> None:
    (rule,) = SigmaRules().parse(EVALUATED[name](), "a.yml")
    assert matcher(rule.logic)(event({"a": "nothing of it"})) in (True, False)


def test_all_of_it_together_stays_below_a_gigabyte() -> None:
    code = (
        "from tests.rules.test_sigma_hostile import EVALUATED, REFUSED\n"
        "from harness.rules.sigma import SigmaRules\n"
        "for make in [*EVALUATED.values(), *(make for make, _ in REFUSED.values())]:\n"
        "    SigmaRules().link([('a.yml', make())])\n"
    )
    limit = 1 << 30
    ended = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}!"])
def test_a_regular_expression_that_backtracks_is_stopped(pattern: str) -> None:
    (rule,) = SigmaRules().parse(detection(f"    A|re: '{pattern}'"), "a.yml")
    with pytest.raises(RuleTooSlow, match="did not end within 1 s on 65537 characters"):
        matcher(rule.logic)(event({"a": "a" * 65_536 + "b"}))


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("", True),
        (r"^C:\\Windows\\(System32|SysWOW64)\\[^\\]{1,40}\.exe$", True),
        ("(?:[A-Za-z0-9+/]{4}){50,}", True),
        (r"(\(){99}", True),
        ("[(]{1,9}" * 1000, True),
        ("(x{1,999}){1,999}", True),
        ("(x{300}){300}", True),
        ("(x{400}){400}", False),
        ("((ab){10}c){10000}", False),
        ("x" * 100_001, False),
        ("(" * 100, True),
        ("(" * 101, False),
        (")))", True),
    ],
)
def test_how_large_an_expression_becomes(pattern: str, fits: bool) -> None:
    assert (too_large(pattern) == "") is fits
