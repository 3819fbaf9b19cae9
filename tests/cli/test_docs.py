"""The README and the pages below docs/: their files load, their commands do what they say, their links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from harness.core.cover import GAPS
from harness.model.verdicts import CoverageStatus, Outcome
from harness.scenarios import load_scenarios
from harness.settings import load_settings
from tests.cli.commands import UpLab, harness, write_scenario
from tests.needs import DATA, ROOT, needs_recordings

PAGES: dict[str, str] = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
README = PAGES["README.md"]
# Those of the nightly have a project of their own (test_nightly.py); the reference shows how commands are called, not what to type.
OWN = [name for name in PAGES if not name.startswith(("docs/nightly/", "docs/reference/"))]


def block(page: str, begins: str) -> str:
    """A page's example that begins so, its fence's language first."""
    found = re.search(rf"```({re.escape(begins)}.*?)```", PAGES[page], re.DOTALL)
    assert found is not None, begins
    return found[1].partition("\n")[2]


WHOAMI = block("README.md", "yaml\n# whoami.scenario.yml")
STRATEGY = block("docs/rules.md", "yaml\n# shells.strategy.yml")
SETTINGS = block("docs/targets.md", "toml\n")


def commands() -> list[tuple[str, list[str]]]:
    """Every indented line that is a harness command, without its comment, and its page."""
    lines = ((page, line) for page in OWN for line in re.findall(r"^    (harness .*)$", PAGES[page], re.MULTILINE))
    return [(page, shlex.split(line, comments=True)) for page, line in lines]


def test_the_scenario_loads(tmp_path: Path) -> None:
    path = tmp_path / "whoami.scenario.yml"
    path.write_text(WHOAMI)
    (scenario,) = load_scenarios([path], None)
    assert scenario.id == "whoami-in-a-session"


def test_the_strategy_holds_but_for_what_the_starter_scenarios_do_not_ask(tmp_path: Path) -> None:
    (tmp_path / "shells.strategy.yml").write_text(STRATEGY)
    linted = harness("rules", "lint", "shells.strategy.yml", cwd=tmp_path)
    assert [line.partition(": ")[2] for line in linted.out.splitlines()[:-1] if "no validation step holds priority" not in line] == []
    assert harness("rules", "show", "shells-of-a-session", "--rules", "shells.strategy.yml", cwd=tmp_path).code == 0


def test_the_settings_load(tmp_path: Path) -> None:
    path = tmp_path / "harness.toml"
    path.write_text(SETTINGS)
    settings = load_settings(path, {}, {})
    assert settings.scope is not None
    assert [entry.target.name for entry in settings.targets] == ["ws6"]


@needs_recordings
def test_the_python_finds_what_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules").symlink_to(DATA / "elastic")
    (tmp_path / "events.zip").symlink_to(DATA / "otrf" / "empire_psremoting_stager.zip")
    monkeypatch.chdir(tmp_path)
    exec(compile(block("docs/rules.md", "python\nfrom pathlib"), "rules.md", "exec"), {})
    assert "Incoming Execution via PowerShell Remoting" in capsys.readouterr().out


def test_other_clients_get_an_answer(lab: UpLab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = block("docs/lab.md", "python\nimport json")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)  # pywinrm warns of whoever has them
    for name, value in lab.env.items():
        monkeypatch.setenv(name, value)
    exec(compile(text, "lab.md", "exec"), {})
    assert capsys.readouterr().out.split() == ["Running", "WS1"]


# What is tried elsewhere, or not by anybody who wants to see its end.
ELSEWHERE = {
    "--es-url": "test_run_elasticsearch.py",
    "--follow": "test_lab_command.py: it does not end",
    "--engine": "tests/test_replay_spark.py, test_hunt.py",
    "Sysmon.evtx": "tests/events/test_evtx.py: no recording of that form is small",
    "up": "test_lab_command.py: the lab of these tests is up",
    "down": "test_lab_command.py: the lab of these tests stays up",
    "init": "test_init.py",
}
# What stands on two pages is typed once.
TYPED = list({tuple(command): (page, command) for page, command in commands() if not set(ELSEWHERE) & set(command)}.values())
_RECORDED = {"recording.zip", "events.zip", "notebook.md"}


@pytest.fixture(scope="module")
def desk(lab: UpLab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with everything that the pages name, and two runs in its history."""
    place = tmp_path_factory.mktemp("desk")
    (place / "whoami.scenario.yml").write_text(WHOAMI)
    (place / "shells.strategy.yml").write_text(STRATEGY)
    # What is run where no scenario is named: one is enough to see what a command does.
    (place / "scenarios").mkdir()
    shutil.copy(place / "whoami.scenario.yml", place / "scenarios")
    (place / "my-rules").mkdir()
    write_scenario(
        place / "my-rules" / "mine.yml",
        """
        title: a rule of one's own
        id: 7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33
        status: test
        logsource: {category: process_creation, product: windows}
        detection: {selection: {Image|endswith: '\\whoami.exe'}, condition: selection}
        level: low
        """,
    )
    shutil.make_archive(str(place / "rules-windows"), "zip", ROOT / "lab" / "rules" / "sigma")
    shutil.copy(next((ROOT / "lab" / "rules" / "hunts").glob("*.md")), place / "notebook.md")
    for name in ("recording.zip", "events.zip"):
        (place / name).symlink_to(DATA / "otrf" / "empire_psremoting_stager.zip")
    settings = lab.settings(place / "real.toml")
    settings.write_text(settings.read_text().replace('"lab-ws1"', '"ws6"'))
    for _ in range(2):
        ended = harness("run", "whoami.scenario.yml", "--lab", cwd=place, env=lab.env)
        assert ended.code == 0, ended.said
    return place


@pytest.mark.parametrize(("page", "command"), TYPED, ids=[f"{page}: {' '.join(command)}" for page, command in TYPED])
def test_the_commands_do_what_is_said(lab: UpLab, desk: Path, page: str, command: list[str]) -> None:
    if not DATA.is_dir() and _RECORDED & set(command):
        pytest.skip(f"the shared recordings are not at {DATA}")
    real = {"HARNESS_CONFIG": str(desk / "real.toml"), "LAB_PASSWORD": lab.password} if "--target" in command else {}
    ended = harness(*command[1:], cwd=desk, env=lab.env | real)
    # An examination that finds something ends with 1, and has done what it is there for.
    examines = command[1] == "doctor" or command[1:3] == ["rules", "lint"]
    assert ended.code in ((0, 1) if examines else (0,)), ended.said


def test_what_is_tried_elsewhere_is_there_to_be_tried() -> None:
    typed = {word for _, command in commands() for word in command}
    assert set(ELSEWHERE) <= typed
    for said in ELSEWHERE.values():
        for name in re.findall(r"[\w/]+\.py", said):
            assert (ROOT / name).exists() or (ROOT / "tests" / "cli" / name).exists(), name


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", PAGES[page]):
        place, _, anchor = (link[0] or link[1]).partition("#")
        if "://" in place:
            continue
        target = (ROOT / page).parent / place if place else ROOT / page
        assert target.exists(), place
        heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}, anchor


@pytest.mark.parametrize("page", PAGES)
def test_no_line_is_longer_than_a_screen_but_tables(page: str) -> None:
    assert [line for line in PAGES[page].splitlines() if len(line) > 150 and not line.startswith(("|", "  <"))] == []


def test_every_page_is_found_from_the_readme() -> None:
    linked = {"README.md"}
    for _ in PAGES:
        for page in [page for page in linked if page in PAGES]:
            for link in re.findall(r"\]\(([^)#\s]+)", PAGES[page]):
                if "://" not in link:
                    linked.add(os.path.relpath((ROOT / page).parent / link, ROOT))
    assert set(PAGES) <= linked


def test_the_pictures_are_small_enough_to_be_loaded() -> None:
    for scheme in ("light", "dark"):
        assert 10_000 < (ROOT / "docs" / f"report-{scheme}.png").stat().st_size < 300_000


def test_every_outcome_and_status_is_explained() -> None:
    for word in (*Outcome, *CoverageStatus):
        assert re.search(rf"\b{word.value}\b", README), word
    assert GAPS


def test_every_target_named_in_a_command_is_in_the_settings() -> None:
    named = {command[command.index("--target") + 1] for _, command in commands() if "--target" in command}
    assert named == set(re.findall(r'name = "(.*?)"', SETTINGS))
