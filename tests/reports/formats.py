"""What the published formats demand, written down from their specifications as far as our documents go: nothing else may be in them."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

Schema = dict[str, Any]


def record(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with these members and no others."""
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def every(items: Schema, **rest: object) -> Schema:
    return {"type": "array", "items": items, **rest}


TEXT: Schema = {"type": "string"}
SAID: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
TECHNIQUE: Schema = {"type": "string", "pattern": r"^T\d{4}(\.\d{3})?$"}
COLOUR: Schema = {"type": "string", "pattern": "^#[0-9a-f]{6}$"}
UTC_MILLIS: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}

# layers/spec/v4.5/layerformat.md of mitre-attack/attack-navigator
NAVIGATOR = record(
    {"name": TEXT, "domain": {"enum": ["enterprise-attack", "mobile-attack", "ics-attack"]}},
    {
        "versions": record(
            {"navigator": {"type": "string", "pattern": r"^(4\.9|4\.\d\d|[5-9]\.)"}, "layer": {"const": "4.5"}}, {"attack": TEXT}
        ),
        "description": TEXT,
        "sorting": {"enum": [0, 1, 2, 3]},
        "layout": record(
            {},
            {
                "layout": {"enum": ["side", "flat", "mini"]},
                "showID": {"type": "boolean"},
                "showName": {"type": "boolean"},
                "expandedSubtechniques": {"enum": ["none", "all", "annotated"]},
            },
        ),
        "hideDisabled": {"type": "boolean"},
        "techniques": every(
            record(
                {"techniqueID": TECHNIQUE},
                {
                    "comment": TEXT,
                    "enabled": {"type": "boolean"},
                    "score": {"type": "number"},
                    "metadata": every(record({"name": TEXT, "value": TEXT})),
                    "links": every(record({"label": TEXT, "url": {"type": "string", "pattern": "^https://"}})),
                },
            )
        ),
        "gradient": record({"colors": every(COLOUR, minItems=2), "minValue": {"type": "number"}, "maxValue": {"type": "number"}}),
        "legendItems": every(record({"label": TEXT, "color": COLOUR})),
        "showTacticRowBackground": {"type": "boolean"},
        "selectTechniquesAcrossTactics": {"type": "boolean"},
        "selectSubtechniquesWithParent": {"type": "boolean"},
    },
)

# the format's page and sample, and what Invoke-AtomicRedTeam's own logger writes
ATTIRE = record(
    {
        "attire-version": {"const": "1.1"},
        "execution-data": record(
            {
                "execution-command": TEXT,
                "execution-id": SAID,
                "execution-source": SAID,
                "execution-category": record({"name": SAID, "abbreviation": SAID}),
                "target": record({"host": TEXT, "ip": TEXT, "path": TEXT, "user": TEXT}),
                "time-generated": UTC_MILLIS,
            }
        ),
        "procedures": every(
            record(
                {
                    "procedure-name": SAID,
                    "procedure-description": TEXT,
                    "procedure-id": record({"type": {"const": "guid"}, "id": {"type": "string", "pattern": "^[0-9a-f-]{36}$"}}),
                    "order": {"type": "integer", "minimum": 1},
                    "steps": every(
                        record(
                            {
                                "order": {"type": "integer", "minimum": 1},
                                "time-start": UTC_MILLIS,
                                "time-stop": UTC_MILLIS,
                                "executor": SAID,
                                "command": TEXT,
                                "output": every(
                                    record({"content": TEXT, "level": {"enum": ["STDOUT", "STDERR"]}, "type": {"const": "console"}}),
                                    minItems=1,
                                ),
                            }
                        ),
                        minItems=1,
                    ),
                },
                {"mitre-technique-id": TECHNIQUE},
            )
        ),
    }
)

# SARIF 2.1.0, OASIS Standard: 3.13, 3.14, 3.19, 3.20, 3.27, 3.29, 3.35, 3.49, 3.58. A plain text message is 3.11.
_MESSAGE = record({"text": SAID})
SARIF = record(
    {
        "version": {"const": "2.1.0"},
        "runs": every(
            record(
                {
                    "tool": record(
                        {
                            "driver": record(
                                {"name": SAID},
                                {
                                    "semanticVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
                                    "rules": every(
                                        record(
                                            {"id": SAID},
                                            {
                                                "shortDescription": _MESSAGE,
                                                "properties": record(
                                                    {},
                                                    {
                                                        "tags": every(TEXT, uniqueItems=True),
                                                        "security-severity": {"type": "string", "pattern": r"^\d+\.\d$"},
                                                    },
                                                ),
                                            },
                                        ),
                                        uniqueItems=True,
                                    ),
                                },
                            )
                        }
                    ),
                    "results": every(
                        record(
                            {"message": _MESSAGE, "ruleId": SAID, "ruleIndex": COUNT},
                            {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "partialFingerprints": {"type": "object", "additionalProperties": SAID},
                                "baselineState": {"enum": ["new", "unchanged", "updated", "absent"]},
                                "occurrenceCount": {"type": "integer", "minimum": 1},
                                "locations": every(
                                    record(
                                        {
                                            "physicalLocation": record(
                                                {
                                                    "artifactLocation": record(
                                                        {"uri": {"type": "string", "format": "uri-reference", "pattern": r"^[\x21-\x7e]+$"}}
                                                    ),
                                                    "region": record({"startLine": {"type": "integer", "minimum": 1}}),
                                                }
                                            )
                                        }
                                    )
                                ),
                                "suppressions": every(
                                    record(
                                        {"kind": {"enum": ["inSource", "external"]}},
                                        {"justification": TEXT, "status": {"enum": ["accepted", "underReview", "rejected"]}},
                                    ),
                                    uniqueItems=True,
                                ),
                            },
                        )
                    ),
                },
                {
                    "automationDetails": record({"id": SAID}),
                    "invocations": every(
                        record(
                            {"executionSuccessful": {"type": "boolean"}},
                            {
                                "startTimeUtc": {"type": "string", "format": "date-time"},
                                "endTimeUtc": {"type": "string", "format": "date-time"},
                                "exitCode": {"type": "integer"},
                                "toolExecutionNotifications": every(
                                    record({"message": _MESSAGE}, {"level": {"enum": ["error", "warning", "note"]}})
                                ),
                            },
                        )
                    ),
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                },
            )
        ),
    },
    {"$schema": {"type": "string", "format": "uri"}},
)

# docs.gitlab.com, "Code Quality report format"
GITLAB = every(
    record(
        {
            "description": SAID,
            "check_name": {"type": "string", "pattern": "^harness/[a-z_]+$"},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            # A path from the repository's root, without "./".
            "location": record(
                {"path": {"type": "string", "pattern": r"^(?!\./)[^/]"}, "lines": record({"begin": {"type": "integer", "minimum": 1}})}
            ),
        }
    )
)

# JUnit has no specification; these are what Jenkins' junit-10.xsd allows of what we write, and which attributes it demands.
_CASE_CHILDREN = {"skipped", "error", "failure", "system-out", "system-err"}
_ALLOWED: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors", "skipped"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"skipped", "time", "timestamp", "hostname"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": ({"name", "classname"}, {"time"}, _CASE_CHILDREN),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
    "system-err": (set(), set(), set()),
}


def junit_faults(root: Element) -> list[str]:
    """Where a document is no JUnit; empty where it is."""
    faults = [] if root.tag == "testsuites" else [f"the root is {root.tag}"]
    for element in root.iter():
        demanded, optional, children = _ALLOWED.get(element.tag, (set(), set(), set()))
        if element.tag not in _ALLOWED:
            faults.append(f"unknown element {element.tag}")
        if demanded - element.attrib.keys():
            faults.append(f"{element.tag} lacks {demanded - element.attrib.keys()}")
        if element.attrib.keys() - demanded - optional:
            faults.append(f"{element.tag} has {element.attrib.keys() - demanded - optional}")
        faults += [f"{child.tag} in {element.tag}" for child in element if child.tag not in children]
        for counted, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"), ("tests", "testcase")):
            if counted in element.attrib and int(element.attrib[counted]) != len(list(element.iter(tag))):
                faults.append(f"{element.tag}: {counted} is {element.attrib[counted]}")
    return faults
