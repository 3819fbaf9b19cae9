"""What all that is printed for people shares: the console, styles that mean something, and styled text that is inert."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TextIO

from rich.console import Console
from rich.text import Text

from harness.model.verdicts import Outcome
from harness.reports.words import inert

_PIPED_WIDTH = 120

OUTCOME_STYLE: Mapping[Outcome, str] = {
    Outcome.DETECTED: "green",
    Outcome.QUIET: "green",
    Outcome.GAP_CLOSED: "cyan",
    Outcome.KNOWN_GAP: "blue",
    Outcome.NOT_EXERCISABLE: "bright_black",
    Outcome.LATE: "yellow",
    Outcome.MISGRADED: "yellow",
    Outcome.MISSED: "bold red",
    Outcome.BLIND: "bold red",
    Outcome.NOISY: "bold red",
    Outcome.INCONCLUSIVE: "magenta",
}


def make_console(stream: TextIO, environ: Mapping[str, str]) -> Console:
    """A console that is plain (no control codes at all) unless it is a terminal and neither NO_COLOR nor CI says otherwise."""
    if isinstance(stream, io.TextIOWrapper):
        # A terminal of another encoding gets escapes for what it lacks, not an exception at the end of a run.
        stream.reconfigure(errors="backslashreplace")
    plain = (
        not stream.isatty()
        or bool(environ.get("NO_COLOR"))
        or environ.get("CI", "").lower() in ("1", "true")
        or environ.get("TERM") == "dumb"
    )
    width = _PIPED_WIDTH if not stream.isatty() and not environ.get("COLUMNS", "").isdigit() else None
    return Console(
        file=stream,
        _environ=environ,
        width=width,
        force_terminal=False if plain else None,
        no_color=plain,
        color_system=None if plain else "auto",
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=False,
    )


def styled(*parts: tuple[str, str]) -> Text:
    """Styled text whose every part is inert: never markup."""
    text = Text()
    for part, style in parts:
        text.append(inert(part), style=style or None)
    return text


def tally(outcomes: Mapping[Outcome, int]) -> Text:
    text = Text()
    for outcome in Outcome:
        if outcomes.get(outcome):
            text.append(", " if text else "")
            text.append(f"{outcomes[outcome]} {outcome.value.lower().replace('_', ' ')}", style=OUTCOME_STYLE[outcome])
    return text
