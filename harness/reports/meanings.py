"""What the words of a verdict mean, in a sentence each: for the page's legend and for the reference.

The words themselves are `harness.model.verdicts`'s and `harness.model.changes`'s; what makes a verdict one of them is `harness.core`'s.
This module must never know a format.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.changes import CauseKind, ChangeKind, GapStanding
from harness.model.verdicts import Basis, CoverageStatus, GateKind, GateState, Inconclusive, Outcome

OUTCOMES: Mapping[Outcome, str] = {
    Outcome.DETECTED: "An alert of the rule is attributed to this step, in time and as grave as asked.",
    Outcome.LATE: "Detected, but after the time that `within` allows.",
    Outcome.MISGRADED: "Detected, with another severity than asked, or another priority by the rule's detection strategy.",
    Outcome.MISSED: "The step's telemetry arrived, no alert did, and a run of the rule proves that it looked at all of it.",
    Outcome.BLIND: "The kinds of event that the rule reads did not arrive, though the SIEM answers.",
    Outcome.KNOWN_GAP: "Missed or blind, as its author wrote down with the reason.",
    Outcome.GAP_CLOSED: "Detected, though written down as a known gap: the line can go.",
    Outcome.NOT_EXERCISABLE: "This action on this target cannot make the rule fire; said before anything is sent.",
    Outcome.QUIET: "The rule was to stay quiet and did, which a run of the rule proves.",
    Outcome.NOISY: "The rule was to stay quiet and raised an alert on this step.",
    Outcome.INCONCLUSIVE: "It could not be judged; the kind says why. Never counted as missed.",
}
STATUSES: Mapping[CoverageStatus, str] = {
    CoverageStatus.VALIDATED: "At least one DETECTED and no gap.",
    CoverageStatus.PARTIAL: "At least one DETECTED, and gaps.",
    CoverageStatus.FAILING: "Gaps alone.",
    CoverageStatus.INCONCLUSIVE: "Neither detected nor a gap, and something could not be judged.",
    CoverageStatus.UNTESTED: "Nothing in this run tests it; the reason stands beside it.",
}
GATES: Mapping[GateKind, str] = {
    GateKind.EXECUTED: "The action ran on the target and ended as a success.",
    GateKind.TELEMETRY: "Events of this session that the rule reads can be found in the SIEM.",
    GateKind.QUERY: "The rule's own logic matches them.",
    GateKind.ALERT: "The SIEM raised an alert of the rule that is attributed to this session.",
}
GATE_STATES: Mapping[GateState, str] = {
    GateState.PASSED: "It holds, since the time beside it.",
    GateState.FAILED: "It does not; the evidence says what stands in the way.",
    GateState.UNREACHED: "An earlier gate decided, or nothing could be known.",
}
INCONCLUSIVE: Mapping[Inconclusive, str] = {
    Inconclusive.NOT_EXECUTED: "The step did not run, or did not end as its author calls a success.",
    Inconclusive.SIEM_LOST: "The SIEM stopped answering before it could be known.",
    Inconclusive.NO_PROOF_OF_RUN: "No alert, and no run of the rule is known to have looked at everything.",
    Inconclusive.NOT_DEPLOYED: "The SIEM does not have the rule, or has it switched off.",
    Inconclusive.NO_TELEMETRY: "Nothing at all arrived of the target, so that nothing can be said of the rule.",
    Inconclusive.AMBIGUOUS: "The alerts or events fit several sessions at once.",
    Inconclusive.INTERRUPTED: "The run was interrupted first.",
}
BASES: Mapping[Basis, str] = {
    Basis.EXACT: "Its events bear a key of this session: sockets, a process, a logon, an engine's id.",
    Basis.WINDOW: "They bear no session's key; host, user and time fit, and no other session was there at that time.",
    Basis.AMBIGUOUS: "The same, but another session was there. Never counts as evidence.",
}
CHANGES: Mapping[ChangeKind, str] = {
    ChangeKind.BROKEN: "It was met and is not, or can no longer be judged.",
    ChangeKind.CHANGED: "Another outcome, as little met as before.",
    ChangeKind.SLOWER: "Detected, and more slowly than chance explains.",
    ChangeKind.MENDED: "It was not met and is.",
    ChangeKind.NEW: "The earlier run did not have this expectation.",
    ChangeKind.GONE: "The later run does not have this expectation.",
}
CAUSES: Mapping[CauseKind, str] = {
    CauseKind.TARGET_DOWN: "No connection to the target came about, or it was cut.",
    CauseKind.UNAUTHORISED: "The target did not accept the credentials.",
    CauseKind.STEP_FAILED: "The step ran otherwise than its author calls a success.",
    CauseKind.SIEM_DOWN: "The SIEM did not answer.",
    CauseKind.INTERRUPTED: "The run was interrupted.",
    CauseKind.RULE_REMOVED: "The SIEM no longer has the rule.",
    CauseKind.RULE_DISABLED: "The rule was switched off.",
    CauseKind.RULE_TEXT: "The rule's text changed; the clause is named.",
    CauseKind.RULE_SEVERITY: "The rule's severity changed.",
    CauseKind.RULE_INTERVAL: "The rule runs at another interval, or looks back another time.",
    CauseKind.RULE_REVISION: "The SIEM has another revision of the rule.",
    CauseKind.SCHEDULE: "The SIEM's rule schedule stands still, or runs again.",
    CauseKind.EXCEPTION: "An exception of the rule was added, changed or taken away.",
    CauseKind.SILENCE: "A silence of the rule's alerts was added or taken away.",
    CauseKind.EXPECTATION: "Something else is expected.",
    CauseKind.SCENARIO: "The step was changed.",
    CauseKind.AUDIT: "A setting of the target's auditing or logging changed.",
    CauseKind.SENSOR: "A setting of a sensor such as Sysmon changed.",
    CauseKind.AGENT: "The target's shipper of events is another, or of another version.",
    CauseKind.TELEMETRY: "A kind of event that the rule reads no longer arrives from the target.",
    CauseKind.MAPPING: "Fields that the rule asks for are mapped otherwise in the SIEM.",
    CauseKind.INGEST_LAG: "Events take longer until they can be found.",
    CauseKind.SETTING: "Another setting of the run changed.",
    CauseKind.SIEM_VERSION: "The SIEM is of another version.",
    CauseKind.HARNESS: "The harness is of another version.",
    CauseKind.UNKNOWN: "Nothing that is known of the two runs differs.",
}
STANDINGS: Mapping[GapStanding, str] = {
    GapStanding.NEW: "The baseline did not have this gap.",
    GapStanding.KNOWN: "The baseline had it.",
    GapStanding.QUARANTINED: "It does not count until a day.",
    GapStanding.EXPIRED: "Its quarantine is over: it counts again.",
}
