"""EQL queries of the whole grammar, made up by hypothesis: every operator, function, kind of name, literal and pattern of events."""

from __future__ import annotations

from hypothesis import strategies as st

from harness.rules.eql import KEYWORDS

Text = st.SearchStrategy[str]

_WORDS = ["process.name", "a", "@timestamp", "winlog.event_data.X1", "_x", "process.name.caseless"]
_BACKTICKED = st.text(st.sampled_from("ab -.6`é"), min_size=1, max_size=6).map(lambda name: "`" + name.replace("`", "``") + "`")
_NAMES = st.one_of(
    st.sampled_from(_WORDS),
    _BACKTICKED,
    st.tuples(_BACKTICKED, st.sampled_from(["b", "`c d`"])).map(".".join),
    st.sampled_from(sorted(KEYWORDS)).map(lambda word: f"`{word}`"),
)
fields: Text = st.tuples(st.sampled_from(["", "?"]), _NAMES).map("".join)

_SIGNS = st.sampled_from('aB *?\\"~.é\x07')
_PLAIN = {"\\": "\\\\", '"': '\\"', "\x07": "\\u{07}"}
strings: Text = st.one_of(
    st.lists(
        st.one_of(_SIGNS.map(lambda sign: _PLAIN.get(sign, sign)), st.sampled_from(["\\n", "\\r", "\\t", "\\u{1F600}"])), max_size=6
    ).map(lambda signs: f'"{"".join(signs)}"'),
    st.text(st.sampled_from("aB*?\\ .'\n"), max_size=6).map(lambda text: f'"""{text}"""'),
)
numbers: Text = st.one_of(
    st.integers(0, 10**20).map(str),
    st.floats(0, 1e30, allow_nan=False).map(repr),
    st.sampled_from(["4.", ".5", "1e3", "-3", "+7", "- 2.5"]),
)
literals: Text = st.one_of(strings, numbers, st.sampled_from(["true", "false"]))
regexes: Text = st.sampled_from(
    [
        '"a.b"',
        '"[^a-c\\\\]]+"',
        '"(ab|c){2,3}"',
        '"\\\\d+\\\\."',
        '"@x"',
        '""""a b" c"""',
        '"a&?"'.replace("&", "\\\\&"),
        '"x<y"'.replace("<", "\\\\<"),
    ]
)


def _listed(values: Text, least: int = 1) -> Text:
    return st.lists(values, min_size=least, max_size=3).map(lambda found: f"({', '.join(found)})")


def _call(name: str, *arguments: Text) -> Text:
    return st.tuples(*arguments).map(lambda found: f"{name}({', '.join(found)})")


_texts = st.one_of(fields, strings)
_computed_text = st.one_of(
    _call("between", _texts, strings, strings),
    _call("between~", fields, strings, strings, st.sampled_from(["true", "false"])),
    _call("concat", fields, literals, st.just("null")),
    _call("string", st.one_of(fields, numbers)),
    _call("substring", fields, numbers, numbers),
)
_computed_number = st.one_of(
    _call("length", _texts),
    _call("indexOf", fields, strings),
    _call("INDEXOF~", fields, strings, numbers),
    _call("number", fields, st.sampled_from(["16", "null"])),
    *(_call(name, st.one_of(fields, numbers), numbers) for name in ("add", "divide", "modulo", "multiply", "subtract")),
    st.tuples(fields, st.sampled_from([" + ", " - ", " * ", " / ", " % "]), numbers).map("".join),
    st.tuples(numbers, st.just(" + "), fields, st.just(" * -"), fields).map("".join),
    fields.map(lambda name: f"(-{name})"),
)
_computed = st.one_of(_computed_text, _computed_number)
_condition_call = st.one_of(
    *(_call(name, fields, _texts) for name in ("startsWith", "startsWith~", "endsWith", "endsWith~", "stringContains", "stringContains~")),
    _call("cidrMatch", fields, st.just('"10.0.0.0/8"')),
    _call("cidrMatch", fields, st.just('"10.0.0.0/8"'), st.just('"::1/128"')),
    _call("cidrMatch", _computed_text, st.just('"10.0.0.0/8"')),
)
_COMPARISONS = st.sampled_from([" == ", " != ", " < ", " <= ", " > ", " >= "])
_PATTERNS = st.sampled_from([" : ", " like ", " like~ "])
_MATCHED = st.one_of(fields, fields, _computed_text, strings)

_simple: Text = st.one_of(
    st.sampled_from(["true", "false"]),
    fields,
    st.tuples(fields, _COMPARISONS, literals).map("".join),
    st.tuples(literals, _COMPARISONS, st.one_of(fields, _computed)).map("".join),
    st.tuples(_computed, _COMPARISONS, literals).map("".join),
    st.tuples(st.one_of(fields, _computed), st.sampled_from([" == null", " != null"])).map("".join),
    st.tuples(_MATCHED, _PATTERNS, st.one_of(strings, _listed(strings, 2))).map("".join),
    st.tuples(_MATCHED, st.sampled_from([" regex ", " regex~ "]), st.one_of(regexes, _listed(regexes, 2))).map("".join),
    st.tuples(
        st.one_of(fields, _computed),
        st.sampled_from([" in ", " in~ ", " not in ", " not in~ "]),
        _listed(st.one_of(literals, st.just("null"))),
    ).map("".join),
    _condition_call,
    _condition_call.map(lambda call: f"{call} == true"),
)
conditions: Text = st.recursive(
    _simple,
    lambda inner: st.one_of(
        inner.map(lambda text: f"not ({text})"),
        inner.map(lambda text: f"({text})"),
        st.lists(inner.map(lambda text: f"({text})"), min_size=2, max_size=3).map(" and ".join),
        st.lists(inner, min_size=2, max_size=3).map(" or ".join),
        st.lists(inner, min_size=2, max_size=3).map(" and /* why */ ".join),
    ),
    max_leaves=6,
)
_CATEGORIES = st.sampled_from(["process", "any", '"any"', '"my category"', '"""6x"""', "`and`", "network"])
events: Text = st.tuples(_CATEGORIES, st.just(" where "), conditions).map("".join)

_SPANS = st.tuples(st.integers(1, 90).map(str), st.sampled_from(["ms", "s", "m", "h", "d"])).map("".join)


@st.composite
def _several(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["sequence", "sequence", "sample"]))
    count = draw(st.integers(0, 2))
    common = draw(st.lists(fields, min_size=1 if kind == "sample" else 0, max_size=2))
    text = kind + (f" by {', '.join(common)}" if common else "")
    spanned = kind == "sequence" and draw(st.booleans())
    if spanned:
        text += f" with maxspan={draw(_SPANS)}"

    def stage(*, missing: bool) -> str:
        keys = draw(st.lists(fields, min_size=count, max_size=count))
        return f"\n{'!' if missing else ''}[{draw(events)}]" + (f" by {', '.join(keys)}" if keys else "")

    text += stage(missing=False)
    for _ in range(draw(st.integers(1, 3))):
        missing = spanned and draw(st.booleans())
        text += stage(missing=missing)
        if kind == "sequence" and not missing and draw(st.booleans()):
            text += f" with runs={draw(st.integers(1, 4))}"
    if kind == "sequence" and draw(st.booleans()):
        text += "\nuntil" + stage(missing=False)
    return text


_PIPES = st.lists(st.sampled_from(["| head 3", "| tail 5", "|tail 0"]), max_size=2).map(" ".join)
queries: Text = st.tuples(st.one_of(events, _several()), st.just(" "), _PIPES).map("".join)
