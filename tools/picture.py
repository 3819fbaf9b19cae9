"""The pictures of a report in the README: `python -m tools.picture` makes docs/report-light.png and docs/report-dark.png.

They show the page of a real run: two nights on the embedded lab, and a third one on which one of its hosts has lost its Sysmon. It needs a
Chromium and takes a minute. It must never draw anything itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SCHEMES = ("light", "dark")
_NIGHTS: tuple[dict[str, str], ...] = ({}, {}, {"HARNESS_LAB_OFF": "lab-ws2/sysmon"})
_SIZE = {"width": 1200, "height": 1000}


def main() -> None:
    """Make both. Raises `CalledProcessError` where a night ends otherwise than it should."""
    with TemporaryDirectory() as made:
        page = Path(made) / "report.html"
        for night in _NIGHTS:
            _detonate(Path(made), page, night)
        _shoot(page)


def _detonate(place: Path, page: Path, night: dict[str, str]) -> None:
    environ = os.environ | {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(place), "XDG_DATA_HOME": str(place)} | night
    command = [sys.executable, "-m", "harness.cli", "run", "--lab", "--baseline", "last-green", "--html", str(page)]
    ended = subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True, check=False)
    if ended.returncode != (1 if night else 0):
        raise subprocess.CalledProcessError(ended.returncode, command, ended.stdout, ended.stderr)


def _shoot(page: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        for scheme in SCHEMES:
            with browser.new_context(viewport=_SIZE, color_scheme=scheme) as context:  # type: ignore[arg-type]
                shown = context.new_page()
                shown.goto(page.as_uri())
                shown.screenshot(path=ROOT / "docs" / f"report-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main()
