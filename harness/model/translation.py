"""A rule said in other languages: what each text is, what it lost, and the known traps that the rule would have stepped into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.intent import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """A way in which converters are known to make a rule that never matches, where this rule comes near it.

    `mended`: the text beside it does not fall in; otherwise `remedy` says what its reader has to do.
    """

    name: str
    what: str
    remedy: str
    mended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A rule in one language, to be copied as it stands. `fence` is the language's name in Markdown.

    `refused` says why the rule cannot be said in that language; `text` is then empty.
    `notes` are what the text lost or adds, each a sentence.
    """

    target: str
    title: str
    fence: str
    text: str = ""
    refused: str = ""
    notes: tuple[str, ...] = ()
    traps: tuple[Trap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A rule and its translations, in the order of the targets."""

    rule: Rule
    translations: Sequence[Translation]
