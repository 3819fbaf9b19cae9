"""What was run, as ATTiRe 1.1 (Attack Tool Timing and Reporting), which VECTR imports: a procedure for each detonation.

ATTiRe says what was executed and when, not what was detected. It knows one target: of several, each procedure's name bears its own.
Format: the page and the sample of github.com/SecurityRiskAdvisors/attire. This module must never decide anything about a run.
"""

from __future__ import annotations

import re
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from harness.model.facts import Detonation, Failure, StreamKind
from harness.model.intent import Action, EnterPSSession, InvokeCommand, WinRS, remoting
from harness.model.report import Report
from harness.reports.json import json_text

_PROCEDURES = uuid5(NAMESPACE_URL, "https://github.com/SecurityRiskAdvisors/attire")
"""Makes ids of step names: VECTR takes two procedures of one id for the same test case, in this run and in the next."""
_MOST = 65_536
"""Characters of one output that are told."""


def dump_attire(report: Report) -> str:
    """The run's detonations as one JSON document with a line end."""
    sent = {verdict.detonation.planned.id: verdict.detonation for verdict in report.verdicts if verdict.detonation is not None}
    targets = {detonation.planned.target.name: detonation.planned.target for detonation in sent.values()}
    return json_text(
        {
            "attire-version": "1.1",
            "execution-data": {
                "execution-command": "harness run",
                "execution-id": report.run_id,
                "execution-source": f"harness {report.environment.harness}",
                "execution-category": {"name": "Purple harness", "abbreviation": "PH"},
                "target": {
                    "host": ", ".join(target.computer or target.name for target in targets.values()),
                    "ip": ", ".join(target.host for target in targets.values()),
                    "path": "",
                    "user": ", ".join(dict.fromkeys(target.user for target in targets.values() if target.user)),
                },
                "time-generated": _moment(report.finished_at),
            },
            "procedures": [_procedure(number, detonation) for number, detonation in enumerate(sent.values(), 1)],
        }
    )


def _procedure(order: int, detonation: Detonation) -> dict[str, object]:
    planned = detonation.planned
    step, _, target = planned.id.rpartition("@")
    technique = planned.step.technique
    return {
        "procedure-name": f"{planned.step.name} ({step} on {target})",
        "procedure-description": f"Step {planned.id}",
        "procedure-id": {"type": "guid", "id": str(uuid5(_PROCEDURES, planned.id))},
        **({"mitre-technique-id": technique} if technique is not None and re.fullmatch(r"T\d{4}(\.\d{3})?", technique) else {}),
        "order": order,
        "steps": [
            {
                "order": 1,
                "time-start": _moment(detonation.started_at),
                "time-stop": _moment(detonation.finished_at),
                "executor": remoting(planned.action).value,
                "command": _command(planned.action),
                "output": _output(detonation),
            }
        ],
    }


def _command(action: Action) -> str:
    match action:
        case EnterPSSession(lines=lines):
            return "\n".join(lines)
        case InvokeCommand(script=script):
            return script
        case WinRS(command=command):
            return command
        case _:
            return ""


def _output(detonation: Detonation) -> list[dict[str, str]]:
    """Both streams where there is any; one that is empty where there is none, as the format's own tools write it."""
    outcome = detonation.outcome
    if isinstance(outcome, Failure):
        said, wrong = "", f"{outcome.kind.value}: {outcome.message}"
    else:
        said = "\n".join(outcome.output)
        wrong = "\n".join([*(record.text for record in outcome.records if record.stream is StreamKind.ERROR), outcome.terminated]).strip()
    streams = [("STDOUT", said), ("STDERR", wrong)]
    told = [(level, text) for level, text in streams if text] or streams[:1]
    return [{"content": _cut(text), "level": level, "type": "console"} for level, text in told]


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[:_MOST]}\n({len(text) - _MOST} more characters)"


def _moment(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: its readers parse this and nothing else."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
