r"""What a query of Elasticsearch asks of a field by the field's type: KQL, Lucene's query language and Kibana's filters agree on it.

The types are those that Elastic's own mappings of Windows events give (Elastic Common Schema, winlogbeat). What is not named here is a
keyword, but for ranges: a number asks of such a field for a number. By type:

- keyword: the whole value, case and all. `x.caseless` is x without regard to case. A wildcard fits the whole value, blanks and all.
- text (`message`, `*.text`, `powershell.file.script_block_text`): a value is taken apart into words, in lower case; a phrase is its words
  in their order, unquoted words are any of them, and wildcards fit one word. The script block's analyzer (winlogbeat's own) parts at
  whatever is neither a letter, a digit, `_` nor `-` of ASCII, so that `-Name` is another word than `Name`; all others are `standard`,
  whose words are letters, digits and `_` of any script, with a dot, colon or apostrophe between letters and a dot, comma or semicolon
  between digits.
- number, boolean, address: by value; an address may be a network (10.0.0.0/8).
- date: whether there is one; what is compared with one is refused.

Without a field every one is asked: keywords for the whole value, text fields for their words. This module must never know how a query is
spelt.

Sources: https://www.elastic.co/docs/reference/ecs/ecs-field-reference;
https://www.elastic.co/docs/reference/query-languages/query-dsl/query-dsl-match-query (and match_phrase, term, wildcard, regexp);
https://www.elastic.co/docs/reference/text-analysis/analysis-standard-tokenizer; winlogbeat's exported fields; the script block's
analyzer: https://github.com/elastic/beats/pull/28483.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address, ip_network, summarize_address_range

from harness.model.tree import And, Node, Op, Or, Test, ViewName
from harness.rules.lucene_regex import python_regex
from harness.rules.wildcards import literal, parts, simplest


class Refused(ValueError):
    """What is asked of a field is not read here, or Elasticsearch would refuse it: what, and how to mend it."""

    def __init__(self, what: str, fix: str = "") -> None:
        self.what = what
        self.fix = fix
        super().__init__(what + (f" ({fix})" if fix else ""))


class FieldType(Enum):
    """What Elasticsearch keeps in a field."""

    KEYWORD = "keyword"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ADDRESS = "address"
    DATE = "date"
    TEXT = "text"
    SCRIPT = "script"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Analyzer:
    """How a text field is taken apart, in regular expressions: `part` is a character of a word, `start` and `end` are what a word begins
    and ends with, `gap` is all that lies between two. `joins` are signs that are parts of a word between the right neighbours alone.
    """

    part: str
    joins: str
    start: str
    end: str
    gap: str


_LETTER, _JOINS = r"[^\W\d_]", r"[.:'’]"  # what joins two letters
_START = rf"(?<!\w)(?!(?<={_LETTER}{_JOINS}){_LETTER})(?!(?<=\d[.,;'])\d)"
_END = rf"(?!\w)(?!(?<={_LETTER}){_JOINS}{_LETTER})(?!(?<=\d)[.,;']\d)"
_STANDARD = _Analyzer(
    part=rf"(?:\w|(?<={_LETTER}){_JOINS}(?={_LETTER})|(?<=\d)[.,;'](?=\d))",
    joins=".:'’,;",
    start=_START,
    end=_END,
    gap=rf"{_END}\W+{_START}",
)
# Without looking around, which not every engine can.
_POWERSHELL = _Analyzer(part="[0-9A-Za-z_-]", joins="", start="(?:^|[^0-9A-Za-z_-])", end="(?:[^0-9A-Za-z_-]|$)", gap="[^0-9A-Za-z_-]+")
_ANALYZERS = {FieldType.TEXT: _STANDARD, FieldType.SCRIPT: _POWERSHELL}

_MOST = 1_000
"""Words of a phrase, or characters of a pattern: each costs half a millisecond when the rule is compiled."""

_SCRIPT_BLOCK = "powershell.file.script_block_text"
_WHOLE = {"message": FieldType.TEXT, "error.message": FieldType.TEXT, _SCRIPT_BLOCK: FieldType.SCRIPT}
_TEXTS = tuple(_WHOLE)

# What the last part of a name says of its type; the event's own data are keywords, whatever their names.
_KEYWORDS = ("winlog.event_data.", "winlog.user_data.")
_LAST = {
    **dict.fromkeys(("ip", "resolved_ip", "forwarded_ip"), FieldType.ADDRESS),
    **dict.fromkeys(("port", "pid", "ppid", "pgid", "args_count", "exit_code", "uptime", "bytes", "packets", "size"), FieldType.NUMBER),
    **dict.fromkeys(("risk_score", "duration", "status_code", "ttl", "record_number"), FieldType.NUMBER),
    **dict.fromkeys(("exists", "trusted", "valid", "interactive"), FieldType.BOOLEAN),
    **dict.fromkeys(("@timestamp", "timestamp", "created", "ingested", "start", "end", "ctime", "mtime", "accessed"), FieldType.DATE),
    **dict.fromkeys(("time_created", "not_after", "not_before"), FieldType.DATE),
}
_NAMES = {
    **dict.fromkeys(("event.severity", "event.sequence", "winlog.version", "powershell.sequence", "powershell.total"), FieldType.NUMBER),
    **dict.fromkeys(("process.thread.id", "process.parent.thread.id", "winlog.process.thread.id"), FieldType.NUMBER),
}


def type_of(name: str) -> FieldType:
    """The type of a field, keyword where it is not known."""
    return _known_type(name) or FieldType.KEYWORD


def _known_type(name: str) -> FieldType | None:
    folded = name.lower()
    last = folded.rpartition(".")[2]
    if last in ("caseless", "keyword") or folded.startswith(_KEYWORDS):
        return FieldType.KEYWORD
    if last == "text":
        return FieldType.TEXT
    if "script_block_" in last and last not in ("script_block_text", "script_block_id", "script_block_hash"):
        return FieldType.NUMBER  # its length, its entropy and the like
    return _WHOLE.get(folded) or _NAMES.get(folded) or _LAST.get(last)


def _plain(name: str) -> str:
    """A field without the end by which one of its sub-fields is named. The event's own data may have such names themselves."""
    ends = (".caseless",) if name.lower().startswith(_KEYWORDS) else (".caseless", ".keyword", ".text")
    return next((name.removesuffix(end) for end in ends if name.endswith(end)), name)


def _test(name: str | None, op: Op, value: str | int | float | bool, *, cased: bool = True) -> Test:
    return Test(field=name and _plain(name), op=op, value=value, cased=cased and not (name or "").endswith(".caseless"), view=ViewName.ECS)


def any_of(nodes: Iterable[Node]) -> Node:
    """True where any is; one alone stands for itself."""
    items = tuple(nodes)
    return items[0] if len(items) == 1 else Or(items=items)


def exists(name: str) -> Node:
    """Whether the field is there."""
    return _test(name, Op.EXISTS, True)


def is_value(name: str | None, text: str, *, quoted: bool) -> Node:
    """Whether a field (None: any) has this value; of a text field, whether it has the phrase, or, unquoted, any of the words.

    Raises `Refused` where the text is no value of the field's type.
    """
    if name is None:
        return any_of([_test(None, Op.EQUALS, text), *(_words(each, text, quoted=quoted) for each in _TEXTS)])
    match type_of(name):
        case FieldType.TEXT | FieldType.SCRIPT:
            return _words(name, text, quoted=quoted)
        case FieldType.NUMBER:
            return _test(name, Op.EQUALS, number(name, text))
        case FieldType.BOOLEAN:
            if text not in ("true", "false"):
                raise Refused(f"{name} is true or false, not {text!r}")
            return _test(name, Op.EQUALS, text == "true")
        case FieldType.ADDRESS:
            return _address_test(name, text)
        case FieldType.DATE:
            raise Refused(f"{name} is a date, and what is compared with one is not read here")
        case _:
            return _test(name, Op.EQUALS, text)


def fits(name: str | None, pattern: str, *, folded: bool = False) -> Node:
    """Whether a value, or a word of a text field, fits a pattern of wildcards, as `Op.LIKE` has them. Raises `Refused`."""
    if name is None:
        return any_of([_test(None, *simplest(pattern), cased=not folded), *(_word_like(each, pattern) for each in _TEXTS)])
    if type_of(name) in _ANALYZERS:
        return _word_like(name, pattern)
    if type_of(name) is not FieldType.KEYWORD:
        raise Refused(f"{name} is a {type_of(name).value}, and wildcards fit texts alone")
    return _test(name, *simplest(pattern), cased=not folded)


def fits_regex(name: str | None, pattern: str, *, folded: bool = False) -> Node:
    """Whether a value fits a regular expression of Lucene's. Raises `Refused`, and `BadValue` where the pattern is not read here."""
    if name is None or type_of(name) is not FieldType.KEYWORD:
        what = "all fields" if name is None else f"{name}, a {type_of(name).value},"
        raise Refused(f"a regular expression over {what} is not read here", "name a keyword field")
    return _test(name, Op.REGEX, python_regex(pattern), cased=not folded)


def in_range(name: str, bounds: Mapping[Op, str]) -> Node:
    """Whether a number, or an address, lies within these bounds: by the operation that compares with each. Raises `Refused`."""
    kind = _known_type(name)
    if kind is FieldType.ADDRESS:
        return _address_range(name, bounds)
    if kind is not FieldType.NUMBER and kind is not None:
        raise Refused(f"{name} is a {kind.value}, and ranges are read here of numbers and addresses alone")
    tests = tuple(_test(name, op, number(name, text)) for op, text in bounds.items())
    return tests[0] if len(tests) == 1 else And(items=tests)


def number(name: str, text: str) -> int | float:
    """A number as Elasticsearch reads one. Raises `Refused`."""
    if re.fullmatch(r"[+-]?[0-9]{1,40}", text):
        return int(text)
    if re.fullmatch(r"[+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,2})?", text):
        return float(text)
    raise Refused(f"{name} is compared with {text!r}, which is no number")


# --- addresses ------------------------------------------------------------------------------------------------------------------


def _address_test(name: str, text: str) -> Node:
    try:
        if "/" in text:
            return _test(name, Op.CIDR, str(ip_network(text, strict=False)))
        return _test(name, Op.EQUALS, str(ip_address(text)))
    except ValueError as error:
        raise Refused(f"{name} is compared with {text!r}, which is no address") from error


def _address_range(name: str, bounds: Mapping[Op, str]) -> Node:
    """A range of addresses as the networks that make it up: of the bounds' version, for addresses of the other lie in none."""
    try:
        found = {op: ip_address(text) for op, text in bounds.items()}
    except ValueError as error:
        raise Refused(f"{name} is compared with what is no address: {error}") from error
    if len({bound.version for bound in found.values()}) > 1:
        raise Refused(f"{name} is compared with addresses of two versions")
    made = type(next(iter(found.values())))
    low, high = 0, 2 ** made(0).max_prefixlen - 1
    for op, bound in found.items():
        if op in (Op.GREATER, Op.GREATER_OR_EQUAL):
            low = int(bound) + (op is Op.GREATER)
        else:
            high = int(bound) - (op is Op.LESS)
    if low > high:
        return Or(items=())
    return any_of(_test(name, Op.CIDR, str(network)) for network in summarize_address_range(made(low), made(high)))


# --- words of texts -------------------------------------------------------------------------------------------------------------


def _words(name: str, text: str, *, quoted: bool) -> Node:
    analyzer = _ANALYZERS[type_of(name)]
    words = [_escaped(found) for found in re.findall(f"{analyzer.part}+", text)]
    if not words:
        return Or(items=())  # what has no word is in no text
    _bounded(name, len(words))
    if quoted:
        return _word_test(name, analyzer, words)
    return any_of(_word_test(name, analyzer, [word]) for word in dict.fromkeys(words))


def _bounded(name: str, count: int) -> None:
    if count > _MOST:
        raise Refused(f"{name} is asked for more than {_MOST} words or signs at once")


def _escaped(text: str) -> str:
    """For people: `re.escape` would escape a hyphen, too, which stands outside of brackets here."""
    return re.escape(text).replace("\\-", "-")


def _word_test(name: str, analyzer: _Analyzer, words: Sequence[str]) -> Test:
    """These words one behind the other, whatever parts them."""
    return _test(name, Op.REGEX, f"{analyzer.start}{analyzer.gap.join(words)}{analyzer.end}", cased=False)


def _word_like(name: str, pattern: str) -> Node:
    """Of a pattern with blanks each part by itself, as Elasticsearch takes it."""
    analyzer = _ANALYZERS[type_of(name)]
    found: list[Node] = []
    for word in pattern.split():
        _bounded(name, len(word))
        made = [_piece(analyzer, part) for part in parts(word)]
        if set(word) == {"*"}:
            found.append(exists(name))
        elif None not in made:
            found.append(_word_test(name, analyzer, ["".join(filter(None, made))]))
    return any_of(found) if found else Or(items=())


def _piece(analyzer: _Analyzer, part: str) -> str | None:
    """A piece of a pattern of wildcards in a word; None where no word has such a character."""
    if part in ("*", "?"):
        return analyzer.part + ("*" if part == "*" else "")
    if part in analyzer.joins:
        return f"(?={analyzer.part}){re.escape(part)}"
    return _escaped(part) if re.fullmatch(analyzer.part, part) else None


def everything() -> Node:
    """What every event satisfies."""
    return And(items=())


def pattern_of(pieces: Iterable[tuple[str, bool]]) -> str:
    """A pattern of wildcards from pieces of text, each with whether it is a wildcard."""
    return "".join(piece if wild else literal(piece) for piece, wild in pieces)
