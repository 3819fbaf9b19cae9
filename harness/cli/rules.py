"""`harness rules`: look at rules, one by one or all together. Nothing is sent and nothing is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from harness.cli.completion import rule_ids
from harness.cli.options import PATH, config_option, history_place, read_settings, write_json, write_text

if TYPE_CHECKING:
    from rich.console import Console

    from harness.errors import Problem
    from harness.model.intent import Rule, Scenario
    from harness.rules.catalog import Catalog
    from harness.rules.strategy import StrategyFile

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


_scenarios_option = click.option(
    "--scenarios",
    multiple=True,
    type=PATH,
    metavar="PATH",
    help="Where else the scenarios of detection strategies are: files or directories, beside ./scenarios and the starter scenarios.",
)


@click.group()
def rules() -> None:
    """Look at rules and their detection strategies: what there is, what one says, what is wrong with it."""


@rules.command("list")
@_looking
def list_rules(paths: tuple[Path, ...], json_path: str | None, config: Path | None) -> int:
    """List the rules, and what is not evaluable with its reason."""
    from harness.reports.rules import list_json, print_list

    catalog = _catalog(_asked(paths, config))
    if json_path is not None:
        write_json(json_path, list_json(catalog.name, catalog.rules, catalog.refused))
    else:
        print_list(catalog.name, catalog.rules, catalog.refused, _console())
    return 0


@rules.command()
@click.argument("name", shell_complete=rule_ids)
@_looking
@_scenarios_option
@click.option(
    "--report", "reports", multiple=True, type=PATH, metavar="FILE", help="A run's --json to take verdicts of; else the last run."
)
def show(
    name: str,
    paths: tuple[Path, ...],
    json_path: str | None,
    config: Path | None,
    scenarios: tuple[Path, ...],
    reports: tuple[Path, ...],
) -> int:
    """Print a rule, or a detection strategy with the last verdicts of its scenarios.

    NAME is the id, the beginning of the id, or the title of either. A rule that has a strategy is shown with it.
    """
    from harness.reports.rules import print_rule, show_json
    from harness.reports.words import whole
    from harness.rules.catalog import find
    from harness.rules.header import header
    from harness.rules.strategy import find_strategy, load_strategies

    asked = _asked(paths, config)
    strategies, wrong = load_strategies(asked)
    catalog = _catalog(asked, may_be_empty=bool(strategies or wrong))
    if not catalog.rules and not catalog.refused:
        catalog = _catalog(_asked((), config))
    strategy = find_strategy(strategies, name)
    if strategy is None:
        found = find(catalog, name)
        strategy = next((each for each in strategies if each.strategy.rule == found.id), None)
    for problem in wrong:
        click.echo(f"harness: {whole(str(problem))}", err=True)
    if strategy is not None:
        _show_strategy(strategy, _known_rules(asked, catalog, config), scenarios, reports, json_path)
    elif json_path is not None:
        write_json(json_path, show_json(found, header(found)))
    else:
        print_rule(found, _console())
    return 0


@rules.command()
@click.argument("rule", shell_complete=rule_ids)
@_looking
def explain(rule: str, paths: tuple[Path, ...], json_path: str | None, config: Path | None) -> int:
    """Say what RULE reads, needs, asks for and excludes, and how many other rules look for the same.

    The other rules are those of --rules: name the catalog that they shall be counted in.
    """
    from harness.logic import explain as reading
    from harness.logic.requirements import requirements
    from harness.reports.rules import explain_json, print_page
    from harness.rules.catalog import find
    from harness.rules.header import header

    catalog = _catalog(_asked(paths, config))
    found = find(catalog, rule)
    page = reading.explain(found, catalog.rules, catalog.name)
    if json_path is not None:
        write_json(json_path, explain_json(page, requirements(found), header(found)))
    else:
        print_page(page, requirements(found), header(found), _console())
    return 0


@rules.command()
@click.argument("files", nargs=-1, type=PATH)
@_looking
@_scenarios_option
def lint(files: tuple[Path, ...], paths: tuple[Path, ...], json_path: str | None, config: Path | None, scenarios: tuple[Path, ...]) -> int:
    """Say what is wrong with rules, detection strategies or Elasticsearch watches; ends with 1 where something is.

    FILES are what --rules takes, or files with a watch in them (JSON, a curl call, a page).
    """
    from harness.logic import lint as reading
    from harness.reports.rules import lint_json, print_lint
    from harness.rules.strategy import load_strategies
    from harness.rules.watcher import holds_watches, lint_watches

    named = (*files, *paths)
    watches = [
        path
        for path in named
        if path.suffix.lower() not in (".yml", ".yaml", ".toml", ".eql", ".zip") and path.is_file() and holds_watches(path)
    ]
    problems = [problem for path in watches for problem in lint_watches(path)]
    findings: list[reading.Finding] = []
    asked = tuple(path for path in named if path not in watches)
    if asked or not watches:
        asked = _asked(asked, config)
        strategies, unreadable = load_strategies(asked)
        catalog = _catalog(asked, may_be_empty=bool(strategies or unreadable))
        findings.extend(reading.lint(catalog.rules))
        problems.extend((*catalog.refused, *unreadable))
        if strategies:
            known = _known_rules(asked, catalog, config)
            problems.extend(_strategy_problems(strategies, known, _known_scenarios(scenarios)))
    if json_path is not None:
        write_json(json_path, lint_json(findings, problems))
    else:
        print_lint(findings, problems, ", ".join(map(str, named)) or catalog.name, _console())
    return 1 if findings or problems else 0


@rules.command()
@click.argument("rule", required=False)
@click.option("--to", "targets", multiple=True, metavar="NAME", help="A language; else all of them. May be given several times.")
@click.option("--page", metavar="FILE", help="Write a page in Markdown as well.")
@click.option(
    "--out", "directory", type=PATH, metavar="DIR", help="Write files for ElastAlert2 there; of every rule, where no RULE is named."
)
@click.option("--index", "indices", multiple=True, metavar="PATTERN", help="The indices that these files ask; else siem.events.")
@_looking
def translate(
    rule: str | None,
    targets: tuple[str, ...],
    page: str | None,
    directory: Path | None,
    indices: tuple[str, ...],
    paths: tuple[Path, ...],
    json_path: str | None,
    config: Path | None,
) -> int:
    """Say RULE in the languages of other tools, each with what it lost and the known traps of such conversions.

    Languages: source, powershell, es-qs, xpack-watcher, graylog, splunk, logpoint, grep, eql, spark-sql, elastalert, elastic-rule. Ends
    with 1 where none of those asked for can say the rule. With --to elastalert --out DIR, files that ElastAlert2 runs are written.
    """
    from harness.errors import Problem, UsageError
    from harness.fields import nearest
    from harness.reports.translation import print_sheet, sheet_json, sheet_page
    from harness.rules.catalog import find
    from harness.rules.header import header
    from harness.translate.said import tactics
    from harness.translate.sheet import TARGETS
    from harness.translate.sheet import translate as said_in

    for name in targets:
        if name not in TARGETS:
            fix = nearest(name, TARGETS) or f"one of {', '.join(TARGETS)}"
            raise UsageError(Problem(path="--to", what=f"there is no language {name!r}", fix=fix))
    if directory is not None:
        if targets != ("elastalert",) or page is not None:
            raise UsageError(
                Problem(path="--out", what="is for rule files of ElastAlert2", fix="add --to elastalert, and no other language or page")
            )
        catalog = _catalog(_asked(paths, config))
        return _write_files(catalog, [find(catalog, rule)] if rule else list(catalog.rules), directory, indices, json_path, config)
    if rule is None:
        raise UsageError(Problem(path="", what="which rule?", fix="name one; or write all, with --to elastalert --out DIR"))
    if indices:
        raise UsageError(Problem(path="--index", what="is of no use without --out"))
    found = find(_catalog(_asked(paths, config)), rule)
    sheet = said_in(found, targets or tuple(TARGETS))
    if page is not None:
        write_text(page, sheet_page(sheet, header(found), tactics(found)))
    if json_path is not None:
        write_json(json_path, sheet_json(sheet))
    elif page != "-":
        print_sheet(sheet, _console())
    return 0 if any(each.text for each in sheet.translations) else 1


def _write_files(
    catalog: Catalog, chosen: Sequence[Rule], directory: Path, indices: Sequence[str], json_path: str | None, config: Path | None
) -> int:
    """A file of ElastAlert2 for each of these rules that it can run, and what is to be known of each; 1 where there is none."""
    from harness.errors import Problem, UsageError
    from harness.files import write_whole
    from harness.reports.translation import files_json, print_files
    from harness.rules.catalog import distinct
    from harness.settings import ElasticsearchSettings
    from harness.translate.elastalert import file_name, over
    from harness.translate.sheet import translate as said_in

    siem = read_settings(config).siem
    asked = tuple(indices) or (siem.events if isinstance(siem, ElasticsearchSettings) else ())
    rules, repeated = distinct(chosen)
    files = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for rule in rules:
            (said,) = said_in(rule, ("elastalert",)).translations
            path = directory / file_name(rule)
            if said.text:
                write_whole(path, over(said.text, asked) if asked else said.text)
            files.append((rule, said, str(path) if said.text else ""))
    except OSError as error:
        raise UsageError(Problem(path=str(error.filename or directory), what=f"cannot be written: {error.strerror}")) from error
    refused = (*catalog.refused, *repeated)
    if json_path is not None:
        write_json(json_path, files_json(files, refused))
    else:
        print_files(files, refused, _console())
    return 0 if any(path for _, _, path in files) else 1


def _asked(paths: Sequence[Path], config: Path | None) -> tuple[Path, ...]:
    """What is looked at: these paths, else those of the settings, else the lab's pack."""
    from lab.process import RULE_PACK

    return tuple(paths) or tuple(read_settings(config).rules) or (RULE_PACK,)


def _catalog(asked: Sequence[Path], *, may_be_empty: bool = False) -> Catalog:
    """The rules under these paths; detection strategies among them are passed over."""
    from harness.rules.cache import user_cache
    from harness.rules.catalog import load_catalog
    from harness.rules.languages import rule_sources
    from harness.rules.strategy import is_strategy

    rules = [path for path in asked if not is_strategy(path)]
    return load_catalog(rules, rule_sources(), user_cache(), may_be_empty=may_be_empty)


def _known_rules(asked: Sequence[Path], catalog: Catalog, config: Path | None) -> Mapping[str, Rule]:
    """The rules that a strategy may be about, by id: those of the catalog of what was asked for, and, wherever the strategy stands, those
    of the settings' paths and the lab's pack."""
    from lab.process import RULE_PACK

    others = [path for path in dict.fromkeys((RULE_PACK, *_asked((), config))) if path not in asked]
    return {rule.id: rule for rule in (*_catalog(others, may_be_empty=True).rules, *catalog.rules)}


def _strategy_problems(
    strategies: Sequence[StrategyFile], rules: Mapping[str, Rule], scenarios: Mapping[str, Scenario]
) -> Iterator[Problem]:
    """What does not hold of each strategy."""
    from harness.assemble import DRIVER_IS_WINDOWS
    from harness.rules.strategy_lint import lint as lint_strategy

    for file in strategies:
        for finding in lint_strategy(file.strategy, rules, scenarios, driver_is_windows=DRIVER_IS_WINDOWS):
            yield file.place(finding.loc).problem(f"{finding.fault}: {finding.what}", finding.fix)


def _known_scenarios(asked: Sequence[Path]) -> Mapping[str, Scenario]:
    from harness.assemble import known_scenarios

    return known_scenarios(asked)


def _show_strategy(
    file: StrategyFile, rules: Mapping[str, Rule], scenarios: Sequence[Path], reports: Sequence[Path], json_path: str | None
) -> None:
    from harness.history import opened
    from harness.reports.json import read_report
    from harness.reports.strategy import StrategyPage, print_strategy, strategy_json
    from harness.rules.strategy_lint import last_verdicts

    if reports:
        read = [read_report(path) for path in reports]
    else:
        with opened(history_place(None, None)) as kept:
            read = [report for report in (kept.last(),) if report is not None]
    steps = _known_scenarios(scenarios)
    page = StrategyPage(
        strategy=file.strategy,
        rule=rules.get(file.strategy.rule),
        verdicts=last_verdicts(file.strategy, steps, read),
        runs=[report.run_id for report in read],
        problems=list(_strategy_problems([file], rules, steps)),
    )
    if json_path is not None:
        write_json(json_path, strategy_json(page))
    else:
        print_strategy(page, _console())


def _console() -> Console:
    from harness.reports.console import make_console

    return make_console(sys.stdout, os.environ)
