"""The pytest plugin: scenario files are collected as tests, and tests in Python detonate steps of their own.

pytest loads this module in every project of whoever has the package installed, so it imports nothing but pytest; what a project needs is
imported when a scenario file is met, a fixture asked for, or an option given. One meaning a module: `where` (what was asked for), `items`
(files to tests), `shared` (the one run behind them), `relay` (the same for the workers of pytest-xdist), `python` (the fixtures).
It must never know how a verdict comes about.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter
    from xdist.workermanage import WorkerController

    from harness.model.report import Report
    from harness.model.verdicts import RuleCoverage
    from harness.pytest_plugin.python import Bench, Expects, Lab
    from harness.pytest_plugin.session import Held

_SUFFIX = ".scenario.yml"
_LADDERS: pytest.StashKey[list[tuple[str, str]]] = pytest.StashKey()
"""What a test in Python was told and did not like: headings and ladders, shown where it fails."""
_EXPECTS: pytest.StashKey[list[Expects]] = pytest.StashKey()
"""What a test in Python states."""

HOW_TO_RUN = (
    "pass --harness-lab for the embedded lab, or --harness-config FILE with targets; "
    "in pytest's settings harness_lab = true, or harness_config"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, and the settings that go with them."""
    group = parser.getgroup("harness", "detections proven over WinRM (purple-harness)")
    group.addoption("--harness-lab", action="store_true", help="Run scenarios on the embedded lab.")
    group.addoption("--harness-config", metavar="FILE", help="A harness.toml; without --harness-lab scenarios run on its targets.")
    group.addoption(
        "--harness-target", action="append", default=[], metavar="NAME", help="Only on this target. May be given several times."
    )
    group.addoption(
        "--harness-rules", action="append", default=[], metavar="PATH", help="Rules: a file or a directory; several times for more."
    )
    parser.addini("harness_lab", "Run scenarios on the embedded lab.", type="bool", default=False)
    parser.addini("harness_config", "A harness.toml, beside this file.", type="string", default="")
    parser.addini("harness_targets", "Targets to run on; else all.", type="args", default=[])
    parser.addini("harness_rules", "Rules: files or directories, beside this file.", type="paths", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """What was asked for is read at once: a wrong setting is told before anything is collected."""
    config.addinivalue_line("markers", "harness(scenario, step, rule, target, fires): what a scenario's test is about")
    from harness.pytest_plugin.where import is_asked, where

    if is_asked(config) and where(config) is not None and not hasattr(config, "workerinput"):
        _end_in_order(config)


def _end_in_order(config: pytest.Config) -> None:
    """What ends a job of CI, or a terminal that is closed, is to end a run as Ctrl-C does: cleanups are run."""
    if threading.current_thread() is not threading.main_thread():
        return

    def ended(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` leaves it
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, ended) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    config.add_cleanup(restore)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Where scenarios are run; nothing where nobody asked."""
    from harness.pytest_plugin.where import is_asked, where

    asked = where(config) if is_asked(config) else None
    if asked is None:
        return None
    settings = f", settings {asked.settings.file}" if asked.settings.file is not None else ""
    return f"harness: scenarios run on {'the embedded lab: ' if asked.lab else ''}{', '.join(asked.targets)}{settings}"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A scenario file, where there is somewhere to run it."""
    if not file_path.name.endswith(_SUFFIX):
        return None
    from harness.pytest_plugin.where import is_asked, where

    asked = where(parent.config) if is_asked(parent.config) else None
    if asked is None:
        return _LeftOut.from_parent(parent, path=file_path)
    from harness.pytest_plugin.items import ScenarioFile

    made = ScenarioFile.from_parent(parent, path=file_path)
    made.where = asked
    return made


class _LeftOut(pytest.File):
    """A scenario file where nothing says where to run it. It may as well be somebody else's file of such a name: it is not read."""

    def collect(self) -> Iterator[pytest.Item]:
        pytest.skip(f"nothing says where to run it: {HOW_TO_RUN}", allow_module_level=True)


# --- what tests share -------------------------------------------------------------------------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """A worker of pytest-xdist shares the run of who leads it."""
    from harness.pytest_plugin.where import is_asked

    if is_asked(node.config):
        from harness.pytest_plugin.session import held

        held(node.config).lead(node.workerinput)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """No step is sent after the last test, and all cleanups are done."""
    if found := _held_already(session.config):
        found.finish()


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Coverage per rule, and how to run what was left out."""
    reports = terminalreporter.stats.get("skipped", ())
    skipped = {each.nodeid for each in reports if isinstance(each.longrepr, tuple) and HOW_TO_RUN in each.longrepr[2]}
    if skipped:
        terminalreporter.section("detections")
        terminalreporter.write_line(f"not run, since nothing says where, {len(skipped)}: {', '.join(sorted(skipped)[:5])}")
        terminalreporter.write_line(HOW_TO_RUN)
    found = _held_already(config)
    for owner in found.owners if found is not None else ():
        if rows := owner.coverage():
            _write_coverage(terminalreporter, rows, owner.report)
        if owner.report is not None:
            run = owner.report.run_id
            kept = f"harness report {run} writes it in any format" if not owner.not_kept else f"it was not kept: {owner.not_kept}"
            terminalreporter.write_line(f"run {run}: {kept}")


def _write_coverage(terminalreporter: TerminalReporter, rows: Sequence[RuleCoverage], report: Report | None) -> None:
    from harness.reports.terminal import coverage_text

    terminalreporter.section("coverage of rules")
    terminalreporter.write_line(coverage_text(rows, report, terminalreporter._tw.fullwidth))


def _held_already(config: pytest.Config) -> Held | None:
    # Where nothing of ours was imported, nothing is held.
    if "harness.pytest_plugin.session" not in sys.modules:
        return None
    from harness.pytest_plugin.session import held_already

    return held_already(config)


# --- tests in Python --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Lab:
    """The embedded lab, one for the whole session: its hosts with their ports, its SIEM's file, its user's password."""
    from harness.pytest_plugin.python import Lab
    from harness.pytest_plugin.session import held
    from harness.pytest_plugin.where import on_lab

    return Lab.of(held(pytestconfig).lab(on_lab(pytestconfig)))


@pytest.fixture
def detonate(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Send a step to a target, with the keys of a scenario's step; what comes back has its output, and `detects` and `stays_quiet`.

    It goes where scenarios go; to the lab where the test asks for the fixture `lab`.
    """
    from harness.pytest_plugin.where import is_asked, on_lab, where

    config = request.config
    at = on_lab(config) if "lab" in request.fixturenames else where(config) if is_asked(config) else None
    if at is None:
        pytest.skip(f"nothing says where to detonate: {HOW_TO_RUN}; or ask for the fixture lab")
    from harness.pytest_plugin.python import Bench
    from harness.pytest_plugin.session import held

    ladders = request.node.stash[_LADDERS]
    here = held(config)
    bench = Bench(here.stage(at), here.shared(at), request.node.name, lambda heading, ladder: ladders.append((heading, ladder)))
    yield bench
    bench.clean_up()


@pytest.fixture
def detects(request: pytest.FixtureRequest, detonate: Bench) -> Expects:
    """That a rule fires because of a step: `assert detects(rule, within="2m")` after it, or `with detects(rule): detonate(...)`."""
    return _expects(request, detonate, fires=True)


@pytest.fixture
def stays_quiet(request: pytest.FixtureRequest, detonate: Bench) -> Expects:
    """That a rule is proven not to fire because of a step: `assert stays_quiet(rule)` after it, or `with stays_quiet(rule): ...`."""
    return _expects(request, detonate, fires=False)


def _expects(request: pytest.FixtureRequest, bench: Bench, *, fires: bool) -> Expects:
    from harness.pytest_plugin.python import Expects

    expects = Expects(bench, fires=fires)
    request.node.stash.setdefault(_EXPECTS, []).append(expects)
    return expects


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """What a test states without asserting it is asserted at its end: no expectation is lost."""
    __tracebackhide__ = True
    result = yield
    for expects in item.stash.get(_EXPECTS, ()):
        expects.settle()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """A test that is run again begins anew."""
    item.stash[_EXPECTS] = []
    item.stash[_LADDERS] = []
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a test in Python fails, the ladder of each detection that was not there is a part of why."""
    report = yield
    add_section = getattr(report.longrepr, "addsection", None)
    if report.failed and add_section is not None:
        for heading, ladder in item.stash.get(_LADDERS, ()):
            add_section(heading, ladder)
    return report
