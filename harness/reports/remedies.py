"""What to do about the likeliest cause of a change, a sentence a kind: for whoever reads the difference first in the morning.

It must never know a run: what is said holds for every cause of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.changes import CauseKind

REMEDY: Mapping[CauseKind, str] = {
    CauseKind.TARGET_DOWN: "start the machine, or see what is between it and here (harness doctor asks it); then run again",
    CauseKind.UNAUTHORISED: "see whether the account is locked or its password has changed (harness doctor says what the target answers)",
    CauseKind.STEP_FAILED: "look at the step's output in the report: it was sent and did not succeed, so nothing is proven of the rule",
    CauseKind.SIEM_DOWN: "see whether the SIEM is up and takes our credentials (harness doctor asks it); then run again",
    CauseKind.INTERRUPTED: "run it again to its end",
    CauseKind.RULE_REMOVED: "deploy the rule again, or take the expectation out of the scenario",
    CauseKind.RULE_DISABLED: "enable the rule in the SIEM, or take the expectation out of the scenario",
    CauseKind.RULE_TEXT: "take the change back or mend it; if it is meant, say known_gap in the scenario",
    CauseKind.RULE_SEVERITY: "take the change back, or state the new severity in the scenario if it is meant",
    CauseKind.RULE_INTERVAL: "give the rule its interval back, or a longer `within` in the scenario",
    CauseKind.RULE_REVISION: "see in the SIEM what was changed in the rule, and by whom",
    CauseKind.SCHEDULE: "see in the SIEM why its rules are not run as they were",
    CauseKind.EXCEPTION: "ask whose exception it is, and make it narrower: what the scenario does is held back by it",
    CauseKind.SILENCE: "ask whose silence it is and when it ends; put the expectation under quarantine until then",
    CauseKind.EXPECTATION: "the scenario asks for something else than it did: see whether that was meant",
    CauseKind.SCENARIO: "the step does something else than it did: take the change back, or expect what fits it",
    CauseKind.AUDIT: "put the audit setting back on the target, and see which policy took it away",
    CauseKind.SENSOR: "put the sensor's setting back on the target, and see who took it away",
    CauseKind.AGENT: "see whether the agent's new version or settings still send what the rule reads",
    CauseKind.TELEMETRY: "see on the target whether its log still has them: then it is the agent or the pipeline, else its settings",
    CauseKind.MAPPING: "see what changed in the index's fields: a field of another type no longer matches",
    CauseKind.INGEST_LAG: "see what holds the pipeline up: the rule cannot fire before its events are there",
    CauseKind.SETTING: "put the setting back, if the change was not meant",
    CauseKind.SIEM_VERSION: "see what the SIEM's new version changed for rules of this kind",
    CauseKind.HARNESS: "hold this run against one of the same version: harness history list",
    CauseKind.UNKNOWN: "run it again: what goes both ways is flaky; else the ladder shows at which gate it stops",
}
"""Every kind has one. Lower case and without a full stop, as the sentences that it stands beside."""
