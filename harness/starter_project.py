"""A small project that works at once: what `harness init` writes. Texts alone; it must never know how any of them is run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from string import Template

_SETTINGS = """\
# What may be touched: nothing is ever sent to a machine whose name or address is not listed. The embedded lab needs no entry.
[scope]
hosts = ["*.lab.example", "10.0.5.0/24"]
expires = $expires

[rules]
paths = ["rules"]

# A machine of your own lab; `harness run --target ws6` and `pytest --harness-config harness.toml` send scenarios to it.
# [[target]]
# name = "ws6"
# host = "ws6.lab.example"
# auth = "negotiate"
# user = 'LAB\\purple'
# password = "env:LAB_PASSWORD"      # env:, file: or keyring:, never the secret itself

# [siem]
# kind = "elasticsearch"
# url = "https://siem.lab.example:9200"
# api_key = "env:ES_API_KEY"
"""

_RULE = """\
title: whoami in a remote PowerShell session
id: $rule
status: experimental
description: The host process of a remote PowerShell session started whoami.exe.
tags: [attack.t1021.006, attack.t1033]
logsource:
  product: windows
  category: process_creation
detection:
  selection:
    ParentImage|endswith: '\\wsmprovhost.exe'
    Image|endswith: '\\whoami.exe'
  condition: selection
level: medium
"""

_SCENARIO = """\
id: whoami-in-a-session
title: whoami inside an interactive session
technique: T1021.006
tags: [interactive]
steps:
  - name: whoami
    technique: T1033
    enter_pssession: [whoami.exe /groups]
    expect:
      - rule: $rule
        severity: medium
        within: 2m
"""

_TWIN = """\
# What administrators do all day: it looks much the same, and must raise nothing.
id: benign-twin
title: "Benign twin: another program inside an interactive session"
technique: T1021.006
tags: [interactive, benign-twin]
steps:
  - name: hostname
    technique: T1082
    enter_pssession: [hostname.exe]
    expect:
      - rule: $rule
        fires: false
"""

_TESTS = '''\
"""What a scenario file cannot say is said in Python: the same steps, the same verdicts."""

RULE = "$rule"


def test_whoami_by_one_call_is_detected_too(detonate):
    whoami = detonate(invoke_command="whoami.exe")
    assert whoami.output
    assert whoami.detects(RULE, within="2m")
'''

_PYTEST = """\
[pytest]
testpaths = scenarios tests
# On the embedded lab. For your own machines: pytest --harness-config harness.toml
harness_lab = true
"""

_IGNORED = """\
__pycache__/
.pytest_cache/
.venv/
report.*
"""

_FILES: Mapping[str, str] = {
    "harness.toml": _SETTINGS,
    "rules/whoami_in_a_session.yml": _RULE,
    "scenarios/whoami.scenario.yml": _SCENARIO,
    "scenarios/benign_twin.scenario.yml": _TWIN,
    "tests/test_detections.py": _TESTS,
    "pytest.ini": _PYTEST,
    ".gitignore": _IGNORED,
}


def project_files(rule: str, expires: date) -> Mapping[str, str]:
    """The files of a new project by their path in it; `rule` is the id of its own rule, `expires` the last day of its scope."""
    return {path: Template(text).substitute(rule=rule, expires=expires.isoformat()) for path, text in _FILES.items()}
