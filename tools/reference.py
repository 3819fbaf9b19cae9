"""The reference pages of the documentation, made from the code: `python -m tools.reference` writes docs/reference/.

`tests/test_reference.py` fails where the committed pages are not what this makes. It must never say anything of its own that the code
knows: what stands in a table is read off a schema, an enumeration, the command line or a docstring.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import harness.cli
from harness import errors
from harness.cli import cli
from harness.cli.outputs import FORMATS
from harness.core.standing import FAIL_ON
from harness.errors import HarnessError
from harness.fields import Key, keys_of
from harness.model.changes import Flaky
from harness.reports import meanings
from harness.reports.words import EXIT_MEANING
from harness.rules.languages import rule_sources
from harness.scenarios import scenario_schema
from harness.settings import (
    LISTS,
    VARIABLES,
    ElasticsearchSettings,
    HistorySettings,
    LabAccess,
    LabSettings,
    RunSettings,
    settings_schema,
)

PLACE = Path(__file__).resolve().parents[1] / "docs" / "reference"
_MADE = "<!-- Made by `python -m tools.reference` from the code: change that, not this. -->"
# Where one is not named after its key.
_FLAGS: Mapping[str, str] = {"rules.paths": "--rules", "siem.kind": "--siem", "siem.url": "--es-url", "history.path": "--history"}


def pages() -> Mapping[str, str]:
    """Every page by its file's name."""
    made: Mapping[str, Callable[[], Iterator[str]]] = {
        "README.md": _contents,
        "commands.md": _commands,
        "formats.md": _formats,
        "scenarios.md": _scenarios,
        "settings.md": _settings,
        "words.md": _words,
    }
    return {name: re.sub(r"\n{3,}", "\n\n", "\n".join([_MADE, "", *page()])).rstrip() + "\n" for name, page in made.items()}


def main() -> None:
    """Write the pages."""
    PLACE.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (PLACE / name).write_text(text, encoding="utf-8")


# --- Markdown -------------------------------------------------------------------------------------------------------------


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield ""
    columns = tuple(heads)
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _summary(described: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(described) or "").partition("\n\n")[0].split())


# --- what people write ----------------------------------------------------------------------------------------------------


def _contents() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "- [Commands](commands.md): every command with its options, and the exit codes"
    yield "- [Settings](settings.md): every key of harness.toml, its type, default and variable"
    yield "- [Scenario files](scenarios.md): every key"
    yield "- [Words](words.md): outcomes, statuses, gates, kinds of inconclusive, attribution, changes and their causes"
    yield "- [Formats](formats.md): what reports are written as, and what rules are read as"


def _scenarios() -> Iterator[str]:
    schema = scenario_schema()
    yield "# Scenario files"
    yield ""
    yield f"{schema['description']} One scenario a file, named `*.scenario.yml`. `[]` stands after what is a list."
    yield "`harness schema` prints the same as a JSON schema for editors."
    rows = ((_code(key.path), _type(key.schema, schema), _told_default(key), _meaning(key, schema)) for key in keys_of(schema))
    yield from _table(("key", "type", "default", "what"), rows)


def _settings() -> Iterator[str]:
    schema = settings_schema()
    yield "# Settings"
    yield ""
    yield "Keys of `harness.toml` in the working directory, or of the file that `--config` or `HARNESS_CONFIG` names. A variable wins"
    yield "over the file, a flag over both. `[[name]]` may stand several times. Paths are relative to the file."
    yield "`harness schema settings` prints the same as a JSON schema for editors."
    every = list(keys_of(schema))
    for section in (key for key in every if "." not in key.path):
        name = section.path
        several = section.schema.get("type") == "array"
        yield ""
        yield f"## `{f'[[{name}]]' if several else f'[{name}]'}`"
        yield ""
        yield _meaning(section, schema)
        inside = [key for key in every if key.path.startswith((f"{name}.", f"{name}[]."))]
        rows = []
        for key in inside:
            path = key.path.removeprefix(name).removeprefix("[]").removeprefix(".")
            dotted = f"{name}.{path}"
            rows.append(
                (
                    _code(path),
                    _type(key.schema, schema),
                    _told_default(key) or _code(_default(name, path)),
                    _variable(dotted),
                    _code(_FLAGS.get(dotted, "")),
                    _meaning(key, schema),
                )
            )
        yield from _table(("key", "type", "default", "variable", "flag", "what"), rows)


def _variable(dotted: str) -> str:
    loc = tuple(dotted.split("."))
    found = next((name for name, place in VARIABLES.items() if place == loc), "")
    separator = LISTS.get(loc)
    # The other one is the system's own.
    return _code(found) + ("" if separator is None else " (commas between)" if separator == "," else " (as in `PATH`)")


def _default(section: str, path: str) -> str:
    """What the value is where nobody gives one, as a file would have it; empty where there is none."""
    held: Mapping[str, tuple[object, ...]] = {
        "siem": (ElasticsearchSettings(),),
        "lab": (LabSettings(), LabAccess()),
        "run": (RunSettings(),),
        "history": (HistorySettings(),),
    }
    for settings in held.get(section, ()):
        assert is_dataclass(settings)
        if path in {field.name for field in fields(settings)} and (said := _toml(getattr(settings, path))):
            return said
    return ""


def _toml(value: object) -> str:
    match value:
        case None | "" | () | LabAccess():
            return ""
        case Flaky(turns=turns, runs=runs):
            return f"{turns} of {runs}"
        case bool():
            return str(value).lower()
        case timedelta():
            milliseconds = value // timedelta(milliseconds=1)
            for length, unit in ((3_600_000, "h"), (60_000, "m"), (1000, "s")):
                if milliseconds % length == 0:
                    return f"{milliseconds // length}{unit}"
            return f"{milliseconds}ms"
        case Enum():
            return str(value.value)
        case tuple() | list():
            return ", ".join(map(_toml, value))
        case _:
            return str(value)


def _told_default(key: Key) -> str:
    if key.required:
        return "must be told"
    value = key.schema.get("default")
    return "" if value in ({}, [], "", None) else _code(_toml(value))


def _meaning(key: Key, schema: Mapping[str, Any]) -> str:
    if said := key.schema.get("description"):
        return str(said)
    return str(schema["$defs"][key.schema["$ref"].rpartition("/")[2]]["description"])


def _type(found: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """What may be written, in words."""
    if reference := found.get("$ref"):
        inner = root["$defs"][reference.rpartition("/")[2]]
        return "values" if "anyOf" in inner else _type(inner, root)
    if "properties" in found:
        return "table"
    if choices := [*found.get("anyOf", ()), *found.get("oneOf", ())]:
        return " or ".join(dict.fromkeys(_type(choice, root) for choice in choices))
    if "enum" in found:
        return ", ".join(_code(str(value)) for value in found["enum"])
    match found.get("type"):
        case "array":
            return f"list of {_type(found['items'], root)}"
        case "object":
            others = found.get("additionalProperties")
            return f"table of {_type(others, root)}" if isinstance(others, dict) and others else "table"
        case "boolean":
            return "`true`, `false`"
        case "integer":
            bounds = [f"{word} {found[name]}" for word, name in (("from", "minimum"), ("to", "maximum")) if name in found]
            return " ".join(["number", *bounds])
    if found.get("format") == "date":
        return "day, `2027-03-31`"
    if found.get("format") == "regex":
        return "regular expression"
    if examples := found.get("examples"):
        return f"text such as {', '.join(map(_code, examples))}"
    return "`env:`, `file:` or `keyring:`" if "keyring" in found.get("pattern", "") else "text"


# --- what the harness says ------------------------------------------------------------------------------------------------


def _words() -> Iterator[str]:
    yield "# Words"
    groups: tuple[tuple[str, str, Mapping[Any, str]], ...] = (
        ("Outcomes of an expectation", "", meanings.OUTCOMES),
        ("Coverage of a rule", "", meanings.STATUSES),
        ("Gates", "The four that stand between a command and its alert, in their order.", meanings.GATES),
        ("States of a gate", "", meanings.GATE_STATES),
        ("Kinds of INCONCLUSIVE", "", meanings.INCONCLUSIVE),
        ("Attribution", "On what grounds an alert is held to be a detonation's.", meanings.BASES),
        ("Changes", "Of an expectation from one run to a later one.", meanings.CHANGES),
        ("Causes", "What may lie behind a change, each a fact in which two runs differ or that the later one states.", meanings.CAUSES),
        ("Standing of a gap", "Against the baseline and quarantines.", meanings.STANDINGS),
    )
    for head, note, words in groups:
        yield ""
        yield f"## {head}"
        if note:
            yield ""
            yield note
        yield from _table(("word", "meaning"), ((_code(word.value), meaning) for word, meaning in words.items()))


def _formats() -> Iterator[str]:
    yield "# Formats"
    yield ""
    yield "## Reports"
    yield ""
    yield "Flags of `harness run`, `harness report` and `harness merge`; `-` as FILE is standard output."
    rows = ((_code(f"--{name} FILE"), said, _summary(import_module(f"harness.reports.{_module(name)}"))) for name, said in FORMATS.items())
    yield from _table(("flag", "what it does", "what it is"), rows)
    yield "`harness schema report` prints the JSON schema of `--json`."
    yield ""
    yield "## Rules"
    yield ""
    yield "Read by `--rules`, each file by what is in it."
    loaders = ((type(loader).__name__, _summary(type(loader))) for loader in rule_sources())
    yield from _table(("loader", "what it reads"), loaders)


def _module(name: str) -> str:
    return "navigator" if name == "navigator-diff" else name


# --- commands -------------------------------------------------------------------------------------------------------------


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "## Exit codes"
    yield ""
    yield next(line for line in (harness.cli.__doc__ or "").splitlines() if line.startswith("Exit codes"))
    rows = ((_code(str(code)), meaning, "; ".join(_raised_with(code))) for code, meaning in EXIT_MEANING.items())
    yield from _table(("code", "meaning", "errors that end with it"), rows)
    yield f"What `--fail-on` takes: {', '.join(map(_code, FAIL_ON))}."
    yield from _command(cli, click.Context(cli, info_name="harness"))


def _raised_with(code: int) -> Iterator[str]:
    for name, found in vars(errors).items():
        own = isinstance(found, type) and issubclass(found, HarnessError) and found is not HarnessError
        if own and not issubclass(found, errors.TransportError) and found.exit_code == code:
            yield f"`{name}`: {_summary(found).partition('. ')[0].rstrip('.')}"


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield ""
    yield f"## {context.command_path}"
    yield ""
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"    {context.command_path} {usage}".rstrip()
    yield ""
    yield from _paragraphs(command.help or "")
    rows = [record for each in command.get_params(context) if (record := each.get_help_record(context)) is not None]
    yield from _table(("option", "what"), ((_code(" ".join(option.split())), " ".join(said.split())) for option, said in rows))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(inner, click.Context(inner, info_name=name, parent=context))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).replace("\b", "").split("\n\n"):
        yield paragraph.strip()
        yield ""


if __name__ == "__main__":
    main()
