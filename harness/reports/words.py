"""What all reports say alike: foreign text made inert, lengths and times of day, and how a rule is named.

It must never know a format.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from harness.model.facts import Detonation, Failure
from harness.model.verdicts import CoverageStatus

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

_LONGEST = 400

# As the eye should meet them: what is well first, what needs work last.
STATUS_ORDER = (
    CoverageStatus.VALIDATED,
    CoverageStatus.UNTESTED,
    CoverageStatus.INCONCLUSIVE,
    CoverageStatus.PARTIAL,
    CoverageStatus.FAILING,
)
EXIT_MEANING: Mapping[int, str] = {
    0: "no gap",
    1: "a gap in detection",
    2: "an input is wrong",
    3: "inconclusive: something could not be judged",
    4: "refused: out of scope",
    5: "nothing to do",
    130: "interrupted; cleanup was run",
}


def inert(text: str) -> str:
    """One line of text that does nothing to a terminal: control, format, direction and unassigned characters become escapes.

    Nor to a CI system that reads the output of its jobs.
    """
    return whole(text) if len(text) <= _LONGEST else f"{whole(text[:_LONGEST])}..."


def whole(text: str) -> str:
    """The same, however long it is: for what people take away from the page."""
    plain = text if text.isascii() and text.isprintable() else "".join(c if _harmless(c) else _escape(c) for c in text)
    return _WORKFLOW_COMMAND.sub(r":\\x3a", _COMMAND.sub(r"#\\x23", plain))


# What CI systems take for a command wherever in a job's output it stands: Azure Pipelines and GitHub's older form, TeamCity.
_COMMAND = re.compile(r"##(?=(?:vso|teamcity)?\[)")
# And what GitHub's runner takes for one at the head of a line, which any word may come to stand at; by name, since PowerShell has `::` too.
_WORKFLOW_COMMAND = re.compile(
    r"::(?=(?:add-mask|add-matcher|add-path|debug|echo|endgroup|error|group|notice|remove-matcher|save-state|set-env|set-output|stop-commands"
    r"|warning)(?: |::))",
    re.IGNORECASE,
)


def _harmless(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] != "C" and category not in ("Zl", "Zp")


def _escape(character: str) -> str:
    if character == "\t":
        return " "
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def named(rule: str, titles: Mapping[str, str]) -> str:
    """A rule's short id, and its title where that is known."""
    title = titles.get(rule, "")
    return f"{short(rule)} {title}" if title else short(rule)


def short(rule: str) -> str:
    """A rule's id as people say it: the first group of a UUID, else the whole."""
    head = rule.partition("-")[0]
    return head if len(rule) == 36 and len(head) == 8 else rule


def seconds(length: timedelta, *, sign: bool = False) -> str:
    """A length of time in seconds, from two minutes on in minutes. `sign`: with a plus where it is not negative."""
    total = length.total_seconds()
    plus = "+" if sign and total >= 0 else ""
    if abs(total) < 120:
        return f"{plus}{total:.2f} s"
    minutes, rest = divmod(round(abs(total)), 60)
    return f"{plus if total >= 0 else '-'}{minutes} min {rest} s"


def span(length: timedelta) -> str:
    """A length of time as it is waited for: whole seconds, from two minutes on with minutes."""
    total = round(length.total_seconds())
    return f"{total} s" if total < 120 else f"{total // 60} min {total % 60} s"


def clock(moment: datetime) -> str:
    """The time of day, to the millisecond."""
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def count_of(number: int, noun: str) -> str:
    """ "1 step", "2 steps"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(items: Sequence[str], most: int = 3) -> str:
    """The first of them, and how many more there are."""
    rest = len(items) - most
    return ", ".join(items) if rest <= 0 else f"{', '.join(items[:most])} and {rest} more"


def grouped(items: Iterable[T], key: Callable[[T], K]) -> Iterable[tuple[K, list[T]]]:
    """Items by key, in the order in which each key was first met."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups.items()


def cleanup_trouble(cleanup: Detonation) -> str:
    """What went wrong with a cleanup; empty where nothing did."""
    outcome = cleanup.outcome
    return f"{outcome.kind.value}: {outcome.message}" if isinstance(outcome, Failure) else outcome.terminated
