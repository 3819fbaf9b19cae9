"""Which rules may be true of an event at all: their literals are looked for in its values, all of a field's in one pass.

Every rule has a bit, or one for each of its clauses (`harness.logic.literals`). A field's value gives the bits of the clauses that it
satisfies; an event's candidates are the rules whose clauses some field satisfied. Values repeat in event logs (the same image, the same
key), so that what one gave is kept for a while, within a limit that all prefilters share.

This module is the only one that uses `ahocorasick_rs`. It must never know what a candidate is asked next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, reduce
from operator import or_

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from harness.logic.literals import CLAUSES, END, FOREIGN, START, Clauses, words
from harness.logic.match import fold, text_of
from harness.model.facts import FlatValue

_KEPT_LENGTH = 1024
"""Characters of the longest value whose answer is kept: longer ones (scripts, messages) do not repeat."""

_STRETCH = 1 << 16
"""Characters that are searched at once."""

Search = Callable[[str], list[tuple[int, int, int]]]
"""A text's finds: the number of the literal, where it starts, where it ends."""

_NONE: Mapping[str, FlatValue] = {}


class Shared:
    """What the prefilters of one rule set have in common: room for answers, and automata of the same literals.

    Where the room is used up, every answer is forgotten: 4,096 values of at most a kilobyte, with an answer of some hundred bytes each,
    are some 5 MiB. Two kinds of event that the same rules read (a process's creation in either log) ask most fields for the same literals.
    """

    def __init__(self, room: int = 4096) -> None:
        self._room = self._left = room
        self._kept: list[dict[str, int]] = []
        self._searches: dict[tuple[bool, tuple[str, ...]], Search] = {}

    def answers(self) -> dict[str, int]:
        """A dictionary of answers by value, which is emptied with all others."""
        answers: dict[str, int] = {}
        self._kept.append(answers)
        return answers

    def keep(self, answers: dict[str, int], value: str, answer: int) -> None:
        """Keep an answer among these."""
        if not self._left:
            for each in self._kept:
                each.clear()
            self._left = self._room
        self._left -= 1
        answers[value] = answer

    def search(self, literals: tuple[str, ...], *, overlapping: bool) -> Search:
        """The search for all finds of these literals, or for some that do not overlap: it can skip ahead where it has found nothing."""
        found = self._searches.get((overlapping, literals))
        if found is None:
            if overlapping:
                # This form of the automaton is the fastest to build, and searches texts of an event's length as fast as the others.
                form = Implementation.NoncontiguousNFA
                automaton = AhoCorasick(literals, matchkind=MatchKind.Standard, implementation=form, store_patterns=False)
                found = partial(automaton.find_matches_as_indexes, overlapping=True)
            else:
                found = AhoCorasick(literals, matchkind=MatchKind.LeftmostFirst).find_matches_as_indexes
            self._searches[overlapping, literals] = found
        return found


class Prefilter:
    """The candidates among some trees for events of one kind."""

    def __init__(self, trees: Sequence[Clauses], shared: Shared) -> None:
        """`trees`: what each needs, as `harness.logic.literals.needed` tells it."""
        self._count = count = len(trees)
        self._everyone = (1 << count) - 1
        self._always = 0
        answers: dict[str | None, dict[str, int]] = {}
        for number, clauses in enumerate(trees):
            if clauses is None:
                continue
            for place in range(CLAUSES):
                bit = 1 << (number + place * count)
                if place >= len(clauses):
                    self._always |= bit
                    continue
                for field, literals in words(clauses[place]):
                    of_field = answers.get(field)
                    if of_field is None:
                        of_field = answers[field] = {}
                    for literal in literals:
                        of_field[literal] = of_field.get(literal, 0) | bit
        anywhere = answers.pop(None, None)
        self._anywhere = _Anywhere(anywhere, shared) if anywhere else None
        self._fields = [(name, _Field(of_field, shared)) for name, of_field in answers.items() if name is not None]

    def candidates(self, flat: Mapping[str, FlatValue]) -> int:
        """A number with a bit for every tree that may be true of an event with these fields: the first tree's is the lowest."""
        found = self._always
        squeezed: Mapping[str, FlatValue] | None = None
        for name, field in self._fields:
            value = flat.get(name)
            if value is None:
                if squeezed is None:
                    squeezed = _squeezed(flat)
                value = squeezed.get(name)
                if value is None:
                    continue
            if isinstance(value, str):
                known = field.kept.get(value)
                found |= field.ask(value) if known is None else known
            else:
                for text in value if isinstance(value, list) else (text_of(value),):
                    found |= field.ask(text)
        if self._anywhere is not None:
            found |= self._anywhere.ask(flat)
        return found & (found >> self._count) & self._everyone


class _Field:
    """What the values of one field answer. `kept` are answers by value."""

    def __init__(self, answers: Mapping[str, int], shared: Shared) -> None:
        self._literals = tuple(answers)
        self._answers = list(answers.values())
        self._longest = max(map(len, answers))
        self._shared = shared
        self._search: Search | None = None
        self.kept = shared.answers()

    def ask(self, value: str) -> int:
        """The bits of the clauses that this value satisfies."""
        if self._search is None:  # fields that no event of the kind has are not worth an automaton
            self._search = self._shared.search(self._literals, overlapping=True)
        answer, answers = 0, self._answers
        text = START + fold(value) + (END if value.isascii() else END + FOREIGN)
        for part in (text,) if len(text) <= _STRETCH else _stretches(text, self._longest):
            try:
                for number, _, _ in self._search(part):
                    answer |= answers[number]
            except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell: no native search takes it
                return reduce(or_, answers)
        if len(value) <= _KEPT_LENGTH:
            self._shared.keep(self.kept, value, answer)
        return answer


class _Anywhere:
    """Keywords, in all values at once. They are rare in rules and rarer in events: where one is found, all their rules are candidates."""

    def __init__(self, answers: Mapping[str, int], shared: Shared) -> None:
        self._answer = reduce(or_, answers.values())
        self._longest = max(map(len, answers))
        # The search for whichever comes first can skip ahead, which one for all that overlap cannot.
        self._search = shared.search(tuple(answers), overlapping=False)

    def ask(self, flat: Mapping[str, FlatValue]) -> int:
        text = fold(END.join([value if isinstance(value, str) else _joined(value) for value in flat.values()]))
        try:
            found = self._search(text) if len(text) <= _STRETCH else any(map(self._search, _stretches(text, self._longest)))
        except UnicodeEncodeError:
            return self._answer
        return self._answer if found else 0


def _joined(value: FlatValue) -> str:
    if value is None:
        return ""
    return END.join(value) if isinstance(value, list) else text_of(value)


def _squeezed(flat: Mapping[str, FlatValue]) -> Mapping[str, FlatValue]:
    """The fields whose names have blanks, without them, as `View` finds them."""
    if " " not in "".join(flat):
        return _NONE
    return {name.replace(" ", ""): value for name, value in flat.items() if " " in name}


def _stretches(text: str, longest: int) -> Iterator[str]:
    """The text in parts that share as much as the longest literal: the finds in a long one at once would fill the memory."""
    for start in range(0, len(text), _STRETCH):
        yield text[start : start + _STRETCH + longest]
