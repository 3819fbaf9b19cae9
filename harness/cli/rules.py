"""`harness rules`: look at rules, one by one or all together. Nothing is sent and nothing is started."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from harness.cli.options import PATH, config_option, read_settings, write_text

if TYPE_CHECKING:
    from rich.console import Console

    from harness.rules.catalog import Catalog

F = TypeVar("F", bound=Callable[..., object])

_RULES_HELP = "A rule file, a directory or a zip archive of them; else the paths of the settings, else the lab's own pack."


def _looking(command: F) -> F:
    """The flags that say at which rules, and for whom."""
    for option in reversed(
        (
            click.option("--rules", "paths", multiple=True, type=PATH, metavar="PATH", help=_RULES_HELP),
            click.option("--json", "json_path", metavar="FILE", help="Write it as JSON instead; - is standard output."),
            config_option,
        )
    ):
        command = option(command)
    return command


@click.group()
def rules() -> None:
    """Look at rules: what there is, what one says, what is wrong with it."""


@rules.command("list")
@_looking
def list_rules(paths: tuple[Path, ...], json_path: str | None, config: Path | None) -> int:
    """List the rules, and what is not evaluable with its reason."""
    from harness.reports.rules import list_json, print_list

    catalog = _catalog(paths, config)
    if json_path is not None:
        _write(json_path, list_json(catalog.name, catalog.rules, catalog.refused))
    else:
        print_list(catalog.name, catalog.rules, catalog.refused, _console())
    return 0


@rules.command()
@click.argument("rule")
@_looking
def show(rule: str, paths: tuple[Path, ...], json_path: str | None, config: Path | None) -> int:
    """Print the text of RULE (its id, the beginning of its id, or its title)."""
    from harness.reports.rules import print_rule, show_json
    from harness.rules.catalog import find
    from harness.rules.header import header

    found = find(_catalog(paths, config), rule)
    if json_path is not None:
        _write(json_path, show_json(found, header(found)))
    else:
        print_rule(found, _console())
    return 0


@rules.command()
@click.argument("rule")
@_looking
def explain(rule: str, paths: tuple[Path, ...], json_path: str | None, config: Path | None) -> int:
    """Say what RULE reads, asks for and excludes, and how many other rules look for the same.

    The other rules are those of --rules: name the catalog that they shall be counted in.
    """
    from harness.logic import explain as reading
    from harness.reports.rules import explain_json, print_page
    from harness.rules.catalog import find
    from harness.rules.header import header

    catalog = _catalog(paths, config)
    found = find(catalog, rule)
    page = reading.explain(found, catalog.rules, catalog.name)
    if json_path is not None:
        _write(json_path, explain_json(page, header(found)))
    else:
        print_page(page, header(found), _console())
    return 0


@rules.command()
@click.argument("files", nargs=-1, type=PATH)
@_looking
def lint(files: tuple[Path, ...], paths: tuple[Path, ...], json_path: str | None, config: Path | None) -> int:
    """Say what is wrong with rules, or with Elasticsearch watches; ends with 1 where something is.

    FILES are what --rules takes, or files with a watch in them (JSON, a curl call, a page).
    """
    from harness.logic import lint as reading
    from harness.reports.rules import lint_json, print_lint
    from harness.rules.watcher import holds_watches, lint_watches

    asked = (*files, *paths)
    watches = [path for path in asked if path.suffix.lower() not in (".yml", ".yaml", ".zip") and path.is_file() and holds_watches(path)]
    rule_paths = tuple(path for path in asked if path not in watches)
    problems = [problem for path in watches for problem in lint_watches(path)]
    findings: list[reading.Finding] = []
    if rule_paths or not watches:
        catalog = _catalog(rule_paths, config)
        problems.extend(catalog.refused)
        findings.extend(reading.lint(catalog.rules))
    if json_path is not None:
        _write(json_path, lint_json(findings, problems))
    else:
        print_lint(findings, problems, ", ".join(map(str, asked)) or catalog.name, _console())
    return 1 if findings or problems else 0


def _catalog(paths: Sequence[Path], config: Path | None) -> Catalog:
    from harness.rules.cache import user_cache
    from harness.rules.catalog import load_catalog
    from harness.rules.sigma import SigmaRules
    from lab.process import RULE_PACK

    asked = tuple(paths) or tuple(read_settings(config).rules)
    return load_catalog(asked or (RULE_PACK,), [SigmaRules()], user_cache())


def _console() -> Console:
    from harness.reports.terminal import make_console

    return make_console(sys.stdout, os.environ)


def _write(path: str, document: Mapping[str, object]) -> None:
    write_text(path, json.dumps(document, indent=2))
