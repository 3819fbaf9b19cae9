"""Values that people type in scenario, strategy and settings files, and the one way in which a wrong one is told.

The edge models of `harness.scenarios`, `harness.settings` and `harness.rules.strategy` are pydantic models made of these types. `check`
turns what pydantic found into `Problem`s with places, in our own words: a problem's text never repeats the value of a secret field, since
it never repeats a value at all, only keys.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
)
from pydantic.json_schema import WithJsonSchema
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from harness.documents import Document, Loc
from harness.errors import Problem

M = TypeVar("M", bound=BaseModel)

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?(?:(\d{1,6})ms)?", re.ASCII)
LONGEST = timedelta(days=1)


def wrong(kind: str, what: str, fix: str = "", at: str = "") -> PydanticCustomError:
    """A validator's error: `kind` names it for tests, `at` is a key below the value that is to be blamed."""
    # Through the context, since a message template would read braces in it.
    return PydanticCustomError(f"harness_{kind}", "{what}", {"what": what, "fix": fix, "at": at})


def nearest(word: str, known: Iterable[str], likeness: float = 0.7) -> str:
    """A hint at the known word that was probably meant, or "". `likeness`, from 0 to 1, is how much alike they must be."""
    by_folded = {item.casefold(): item for item in known}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=likeness)
    return f"did you mean {by_folded[found[0]]}?" if found else ""


def parse_duration(text: str) -> timedelta:
    """A length of time as people type it: 90s, 6m, 1h30m, 250ms. Raises `ValueError`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise ValueError(text)
    hours, minutes, seconds, milliseconds = (int(group or 0) for group in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)


def _duration(value: object) -> timedelta:
    fix = "write it as 90s, 6m or 1h30m"
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise wrong("duration", "must be a length of time with its unit", fix)
    try:
        length = parse_duration(value)
    except ValueError:
        raise wrong("duration", "is not a length of time", fix) from None
    if length > LONGEST:
        raise wrong("duration", "is longer than a day")
    return length


def _some_duration(value: timedelta) -> timedelta:
    if not value:
        raise wrong("duration", "must be longer than nothing")
    return value


def _day(value: object) -> object:
    if isinstance(value, datetime):
        raise wrong("date", "must be a day without a time", "write it as 2027-03-31")
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise wrong("date", "is not a date", "write it as 2027-03-31") from None


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise wrong("regex", f"is not a regular expression: {error}") from None
    return value


class Omittable:
    """Marks `T | None` as a key that may be left out, yet not written without a value: None is ours, not the author's."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (inner,) = (argument for argument in get_args(source) if argument is not type(None))
        return handler.generate_schema(inner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Marks a text that must be of one form, in models and in their JSON schema alike."""

    expression: str
    wanted: str
    fix: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, core_schema.str_schema(strict=True))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^(?:{self.expression})$"}

    def _check(self, value: str) -> str:
        if re.fullmatch(self.expression, value) is None:
            raise wrong("shape", f"must be {self.wanted}", self.fix)
        return value


_DURATION_SCHEMA = {
    "type": "string",
    "pattern": r"^\s*(?:\d{1,6}h)?(?:\d{1,6}m)?(?:\d{1,6}s)?(?:\d{1,6}ms)?\s*$",
    "minLength": 2,
    "examples": ["90s", "6m", "1h30m"],
}
_REGEX_SCHEMA = {"type": "string", "format": "regex", "minLength": 1}

HyphenId = Annotated[str, Shape(expression=r"[a-z0-9]+(-[a-z0-9]+)*", wanted="lower-case words and numbers joined by hyphens")]
Technique = Annotated[str, Shape(expression=r"T[0-9]{4}(\.[0-9]{3})?", wanted="an ATT&CK technique", fix="write it as T1021 or T1021.006")]
RuleId = Annotated[str, Shape(expression=r"[A-Za-z0-9][A-Za-z0-9._-]*", wanted="a rule's full id")]
Text = Annotated[str, StringConstraints(strict=True, min_length=1, pattern=r"\S")]
Duration = Annotated[timedelta, BeforeValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
PositiveDuration = Annotated[Duration, AfterValidator(_some_duration)]
Regex = Annotated[str, StringConstraints(strict=True, min_length=1), AfterValidator(_regex), WithJsonSchema(_REGEX_SCHEMA)]


class Entry(BaseModel):
    """The base of every edge model: unknown keys are refused, nothing is changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def check(model: type[M], document: Document, context: Mapping[str, object] | None = None) -> tuple[M | None, tuple[Problem, ...]]:
    """The document as a model, or every problem of it."""
    try:
        return model.model_validate(document.value, context=dict(context or {})), ()
    except ValidationError as error:
        # A list with wrong entries is also told to be too short, since only its right ones are counted.
        real = (details for details in error.errors(include_url=False) if details["type"] != "too_short" or not details["input"])
        return None, tuple(_problem(model, document, details) for details in real)


def schema_of(model: type[BaseModel], title: str, meanings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON schema of a file's model, for editors. `meanings` describe the keys, by their path, that the model itself does not."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_without_null_defaults(model.model_json_schema()),
        "title": title,
    }
    for key in keys_of(schema):
        if key.path in (meanings or {}):
            key.schema.setdefault("description", (meanings or {})[key.path])
    return schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of a schema: its path (`[]` after a list of tables, `*` for a name that its author gives), and what the schema says of it."""

    path: str
    schema: dict[str, Any]
    required: bool


def keys_of(schema: Mapping[str, Any]) -> Iterator[Key]:
    """Every key of the tables that a JSON schema knows, outer ones first."""
    return _keys_below(schema, schema, "")


def _keys_below(table: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Iterator[Key]:
    for name, found in table.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield Key(path=here, schema=found, required=name in table.get("required", ()))
        for inner, suffix in _tables_of(found, root, "", frozenset()):
            yield from _keys_below(inner, root, here + suffix)


def _tables_of(
    schema: Mapping[str, Any], root: Mapping[str, Any], suffix: str, within: frozenset[str]
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The tables that a value may be or hold, each with what its keys' paths have before them.

    `within` are the definitions that are being looked into: a value may hold others of its own kind.
    """
    reference = schema.get("$ref", "")
    if reference and reference not in within:
        yield from _tables_of(root["$defs"][reference.rpartition("/")[2]], root, suffix, within | {reference})
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _tables_of(choice, root, suffix, within)
    if isinstance(items := schema.get("items"), dict):
        yield from _tables_of(items, root, f"{suffix}[]", within)
    if isinstance(others := schema.get("additionalProperties"), dict):
        yield from _tables_of(others, root, f"{suffix}.*", within)
    if "properties" in schema:
        yield schema, suffix


def _without_null_defaults(schema: Any) -> Any:
    """None is how a key that was left out is held here; a file cannot say it."""
    if isinstance(schema, dict):
        return {key: _without_null_defaults(item) for key, item in schema.items() if (key, item) != ("default", None)}
    return [_without_null_defaults(item) for item in schema] if isinstance(schema, list) else schema


def _problem(model: type[BaseModel], document: Document, details: ErrorDetails) -> Problem:
    context: Mapping[str, Any] = details.get("ctx", {})
    loc: Loc = tuple(details["loc"])
    if at := context.get("at"):
        loc = (*loc, at)
    what, fix = _words(model, loc, details, context)
    return document.place(loc).problem(what, fix)


_TYPES: Mapping[str, str] = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must hold keys with values",
    "dict_type": "must hold keys with values",
    "dataclass_type": "must hold keys with values",
}


def _words(model: type[BaseModel], loc: Loc, details: ErrorDetails, context: Mapping[str, Any]) -> tuple[str, str]:
    """What is wrong, and how to mend it."""
    kind = details["type"]
    name = dotted(loc)
    value = details["input"]
    if kind == "extra_forbidden":
        known = _known_keys(model, loc[:-1])
        return f"unknown key {loc[-1]!r}", nearest(str(loc[-1]), known) or (f"known keys: {', '.join(known)}" if known else "")
    if kind == "missing":
        return f"{name} is missing", ""
    if kind.startswith("harness_"):
        return f"{name} {context['what']}" if name else str(context["what"]), str(context["fix"])
    if kind in _TYPES:
        if value is None:
            return f"{name} has no value" if name else "is empty", ""
        quotable = kind == "string_type" and isinstance(value, bool | int | float)
        return f"{name or 'the file'} {_TYPES[kind]}", "quote it" if quotable else ""
    if kind in ("enum", "literal_error"):
        wanted = re.findall(r"'([^']*)'", str(context["expected"]))
        return f"{name} must be one of {', '.join(wanted)}", nearest(str(value), wanted)
    if kind == "too_short":
        return f"{name} is empty", "leave it out, or give it an entry" if len(loc) > 1 else ""
    if kind == "too_long":
        return f"{name} has more than {context['max_length']} entries", ""
    if kind in ("string_too_short", "string_pattern_mismatch"):
        return f"{name} is empty", ""
    return f"{name}: {details['msg']}", ""


def dotted(loc: Loc) -> str:
    """A location for people: steps[2].expect[1].rule, counted from 1."""
    text = ""
    for part in loc:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _known_keys(model: type[BaseModel], loc: Loc) -> list[str]:
    """The keys that an entry at this location may have."""
    current: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int) or current is None:
            continue
        field = next((field for name, field in current.model_fields.items() if (field.alias or name) == part), None)
        current = None if field is None else _model_within(field.annotation)
    return [] if current is None else [field.alias or name for name, field in current.model_fields.items()]


def _model_within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _model_within(argument)) is not None), None)
