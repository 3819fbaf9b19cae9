"""The report as JSON: versioned, with a published schema, and exact: what was dumped is loaded as an equal `Report`.

Datetimes are ISO 8601 in UTC, lengths of time are seconds. This module must never decide anything about a run: it writes down.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from harness.errors import Problem, UsageError
from harness.files import read_bounded
from harness.model.replay import REPLAY_VERSION, Replay
from harness.model.report import REPORT_VERSION, Report

# Text of targets comes here as it is. What would steer a terminal or turn the reading direction is escaped; half a surrogate pair is no
# character in any encoding, and JSON readers refuse even its escape.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]")


MAX_BYTES = 64 * 1024 * 1024
"""Of a report that is read: a hundred times what the starter scenarios leave on two hosts."""


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return "\N{REPLACEMENT CHARACTER}" if "\ud800" <= character <= "\udfff" else json.dumps(character)[1:-1]


def _sound(value: Any) -> Any:
    """The same without halves of surrogate pairs in the names of its tables."""
    if isinstance(value, Mapping):
        return {name.encode("utf-8", "replace").decode() if type(name) is str else name: _sound(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map(_sound, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _sound(getattr(value, field.name)) for field in fields(value) if field.init})
    return value


@cache
def _adapter() -> TypeAdapter[tuple[Report]]:
    # A tuple of one, since pydantic takes no configuration for a dataclass that has none of its own, and the model must not know pydantic.
    # Built when first asked for: it takes longer than most commands.
    config = ConfigDict(extra="forbid", ser_json_timedelta="float", hide_input_in_errors=True)
    return TypeAdapter(tuple[Report], config=config)


def dump_report(report: Report) -> str:
    """The report as one JSON object, indented, with a line end."""
    return json_text(report_document(report))


def report_document(report: Report) -> dict[str, Any]:
    """The report as plain values, as JSON has them."""
    try:
        (document,) = _adapter().dump_python((report,), mode="json")
    except UnicodeEncodeError:
        # Of names in tables (an event's fields, its log) pydantic makes UTF-8 at once; other texts are seen to by `json_text`. It is as
        # rare as it is hostile, and looking through a whole report is dear.
        (document,) = _adapter().dump_python((_sound(report),), mode="json")
    assert isinstance(document, dict)
    return document


def json_text(document: object) -> str:
    """Plain values as JSON, indented, with a line end, in which no text can do anything to a terminal or to a reader."""
    return _UNSAFE.sub(_escape, json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def load_report(text: str, path: str = "") -> Report:
    """A report as it was dumped. `path` is named in errors. Raises `UsageError` where it is none, or of another version."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        line, column = (error.lineno, error.colno) if isinstance(error, json.JSONDecodeError) else (0, 0)
        raise UsageError(Problem(path=path, line=line, column=column, what="is not JSON")) from error
    version = document.get("version") if isinstance(document, dict) else None
    if version != REPORT_VERSION or isinstance(version, bool):
        what = "is not a report" if version is None else f"is a report of version {version!r:.20}, this harness reads {REPORT_VERSION}"
        raise UsageError(Problem(path=path, what=what))
    try:
        (report,) = _adapter().validate_json(f"[{text}]")
    except ValidationError as error:
        problems = (
            Problem(path=path, what=f"{'.'.join(str(part) for part in details['loc'][1:])}: {details['msg']}")
            for details in error.errors(include_url=False, include_input=False)
        )
        raise UsageError(*problems) from error
    return report


def read_report(path: Path) -> Report:
    """A report's file as `--json` wrote it. Raises `UsageError` where it cannot be read or is none."""
    try:
        raw = read_bounded(path, MAX_BYTES)
        if len(raw) > MAX_BYTES:
            raise UsageError(Problem(path=str(path), what=f"is bigger than {MAX_BYTES // 1024 // 1024} MB"))
        return load_report(raw.decode(), str(path))
    except OSError as error:
        raise UsageError(Problem(path=str(path), what=f"cannot be read: {error.strerror or type(error).__name__}")) from error
    except UnicodeDecodeError as error:
        raise UsageError(Problem(path=str(path), what="is not UTF-8 text")) from error


def report_schema() -> dict[str, Any]:
    """The JSON schema of a report."""
    schema = _adapter().json_schema(mode="validation", schema_generator=_Seconds)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"harness report, version {REPORT_VERSION}",
        "$ref": "#/$defs/Report",
        "$defs": schema["$defs"],
    }


@cache
def _replay_adapter() -> TypeAdapter[tuple[Replay]]:
    config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    return TypeAdapter(tuple[Replay], config=config)


def dump_replay(replay: Replay) -> str:
    """The replay as one JSON object, indented, with a line end."""
    (document,) = _replay_adapter().dump_python((replay,), mode="json")
    return json_text(document)


def replay_schema() -> dict[str, Any]:
    """The JSON schema of a replay."""
    schema = _replay_adapter().json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"harness replay, version {REPLAY_VERSION}",
        "$ref": "#/$defs/Replay",
        "$defs": schema["$defs"],
    }


class _Seconds(GenerateJsonSchema):
    """As it is written, not all that would be read."""

    def timedelta_schema(self, schema: Any) -> dict[str, Any]:
        return {"type": "number", "description": "seconds"}
