"""Values of the emulated PowerShell and its conversions between them [about_Type_Conversion, about_Comparison_Operators].

Pure. A value is what `lab.machine.PSValue` allows, and inside a session also a script block, a type, an error, a time span: Python objects
of the classes below. `to_wire` makes a PSValue of anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from uuid import UUID

from lab.host.powershell.errors import Terminating, fail, refuse, shown
from lab.host.powershell.syntax import Body
from lab.machine import PSObject, PSValue, SecureString

MAX_TEXT = 4 * 1024 * 1024
"""Characters of one string."""
MAX_ITEMS = 1_000_000
"""Items of one array."""
MAX_DEPTH = 5
MAX_PARTS = 200_000
"""What one value may hold on the wire, counted with everything below it."""
INT32 = (-(1 << 31), (1 << 31) - 1)
INT64 = (-(1 << 63), (1 << 63) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class ScriptBlock:
    """A script block as a value."""

    body: Body

    def __str__(self) -> str:
        return self.body.text


@dataclass(frozen=True, slots=True)
class TypeValue:
    """A .NET type as a value, by its full name."""

    name: str

    def __str__(self) -> str:
        return self.name


class NetList(list[object]):
    """An ArrayList or a List[T]: an array that grows. `kind` is its type's name."""

    def __init__(self, items: Iterable[object] = (), *, kind: str) -> None:
        super().__init__(items)
        self.kind = kind


def custom(properties: dict[str, PSValue]) -> PSObject:
    """A [pscustomobject]."""
    return PSObject(type_names=("System.Management.Automation.PSCustomObject", "System.Object"), properties=properties)


def is_custom(value: object) -> bool:
    """Whether a value is a [pscustomobject]: it has no ToString of its own."""
    return isinstance(value, PSObject) and "System.Management.Automation.PSCustomObject" in value.type_names


def type_names(value: object) -> tuple[str, ...]:
    """The type's name and those of its bases, most derived first."""
    match value:
        case bool():
            return ("System.Boolean", "System.ValueType", "System.Object")
        case int():
            name = "System.Int32" if INT32[0] <= value <= INT32[1] else "System.Int64"
            return (name, "System.ValueType", "System.Object")
        case float():
            return ("System.Double", "System.ValueType", "System.Object")
        case Decimal():
            return ("System.Decimal", "System.ValueType", "System.Object")
        case str():
            return ("System.String", "System.Object")
        case datetime():
            return ("System.DateTime", "System.ValueType", "System.Object")
        case UUID():
            return ("System.Guid", "System.ValueType", "System.Object")
        case bytes():
            return ("System.Byte[]", "System.Array", "System.Object")
        case NetList():
            return (value.kind, "System.Object")
        case SecureString():
            return ("System.Security.SecureString", "System.Object")
        case list():
            return ("System.Object[]", "System.Array", "System.Object")
        case dict():
            return ("System.Collections.Hashtable", "System.Object")
        case ScriptBlock():
            return ("System.Management.Automation.ScriptBlock", "System.Object")
        case TypeValue():
            return ("System.RuntimeType", "System.Type", "System.Object")
        case PSObject():
            return value.type_names
        case _:
            return ("System.Object",)


def number_text(value: float) -> str:
    """A double as .NET Framework's invariant culture writes it (15 significant digits)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.15G}"
    if "E" in text:
        mantissa, _, exponent = text.partition("E")
        return f"{mantissa}E{exponent[0]}{exponent[1:].zfill(2)}"
    return text


def to_text(value: object) -> str:
    """A value as a string, as a cast or an expandable string makes it."""
    match value:
        case None:
            return ""
        case bool():
            return "True" if value else "False"
        case str():
            return value
        case float():
            return number_text(value)
        case datetime():
            return f"{value.month:02d}/{value.day:02d}/{value.year:04d} {value:%H:%M:%S}"
        case bytes():
            return " ".join(str(one) for one in value)
        case list():
            return bounded(" ".join("System.Object[]" if isinstance(one, list) else to_text(one) for one in value))
        case dict():
            return "System.Collections.Hashtable"
        case PSObject():
            if is_custom(value) and not value.text:
                return bounded(f"@{{{'; '.join(f'{name}={_inner_text(one)}' for name, one in value.properties.items())}}}")
            return value.text or value.type_names[0]
        case _:
            return str(value)


def _inner_text(value: object) -> str:
    # Windows PowerShell 5.1 shows a custom object inside another one's text as nothing.
    return "" if is_custom(value) else "System.Object[]" if isinstance(value, list) else to_text(value)


def bounded(text: str) -> str:
    """The text, refused where it is longer than a string may be."""
    if len(text) > MAX_TEXT:
        raise refuse(f"a string of more than {MAX_TEXT} characters")
    return text


def to_bool(value: object) -> bool:
    """A value as a condition."""
    match value:
        case None:
            return False
        case list():
            if len(value) == 1:
                return to_bool(value[0]) if not isinstance(value[0], list) else True
            return len(value) > 1
        case bool() | int() | float() | Decimal() | str():
            return bool(value)
        case _:
            return True


_NUMBER = re.compile(r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")


def parse_number(text: str) -> int | float | None:
    """What a string is as a number, or None."""
    low = text.strip().lower()
    if not low:
        return 0
    if len(low) > 400:
        return None
    if re.fullmatch(r"[+-]?\d+", low):
        return int(low)
    if re.fullmatch(r"0x[0-9a-f]+", low):
        return int(low, 16)
    if _NUMBER.match(low):
        return float(low)
    return None


def to_number(value: object) -> int | float | Decimal:
    """A value as a number. Raises `Terminating` (InvalidCastFromStringToInteger and kin)."""
    match value:
        case None:
            return 0
        case bool():
            return int(value)
        case int():
            return fold(value)
        case float():
            return value
        case Decimal():
            return checked(value)
        case str():
            found = parse_number(value)
            if found is None:
                raise fail(
                    f'Cannot convert value "{shown(value)}" to type "System.Int32". Error: "Input string was not in a correct format."',
                    "InvalidCastFromStringToInteger",
                    "InvalidArgument",
                )
            return fold(found)
        case _:
            raise fail(
                f'Cannot convert the "{shown(to_text(value))}" value of type "{type_names(value)[0]}" to type "System.Int32".',
                "ConvertToFinalInvalidCastException",
                "InvalidArgument",
            )


def checked(value: Decimal) -> Decimal:
    """The decimal, refused where no System.Decimal could hold it: the wire's text can say 1E+999999999, which must not become digits."""
    if not value.is_finite() or value.adjusted() > 28:
        raise fail("Value was either too large or too small for a Decimal.", "OverflowException", "InvalidArgument")
    return value


def to_int(value: object, limits: tuple[int, int] = INT32, name: str = "System.Int32") -> int:
    """A value as an integer, rounded to even as .NET does. Raises `Terminating`."""
    number = to_number(value)
    if isinstance(number, float) and not math.isfinite(number):
        raise fail(f'Cannot convert value "{number_text(number)}" to type "{name}".', "InvalidCastIConvertible", "InvalidArgument")
    whole = round(number)
    if not limits[0] <= whole <= limits[1]:
        raise fail(
            f'Cannot convert value "{shown(to_text(value))}" to type "{name}". Error: "Value was either too large or too small for an '
            f'{name.rpartition(".")[2]}."',
            "InvalidCastIConvertible",
            "InvalidArgument",
        )
    return whole


def fold(number: int | float | Decimal) -> int | float | Decimal:
    """An arithmetic result: an integer beyond 64 bits becomes a double, as in PowerShell."""
    if isinstance(number, int) and not INT64[0] <= number <= INT64[1]:
        return float(number) if number.bit_length() < 1000 else math.copysign(math.inf, number)
    return number


def each(value: object) -> Iterator[object]:
    """What a value becomes on a pipeline: arrays item by item, nothing for an empty one; $null is itself."""
    if isinstance(value, (list, bytes)):
        yield from value
    else:
        yield value


def collect(values: Iterable[object]) -> object:
    """What a pipeline's output is as one value: nothing, the one, or an array."""
    listed = list(values)
    if not listed:
        return None
    return listed[0] if len(listed) == 1 else listed


def as_list(value: object) -> list[object]:
    """A value as an array: $null is an empty one."""
    return [] if value is None else list(each(value))


def stored(value: object) -> PSValue:
    """A value as a property or an entry holds it: the same object, or its text where the kind has no form on the wire."""
    match value:
        case (
            None
            | bool()
            | int()
            | float()
            | str()
            | Decimal()
            | datetime()
            | UUID()
            | bytes()
            | SecureString()
            | list()
            | dict()
            | PSObject()
        ):
            return value
        case _:
            return to_text(value)


def to_wire(value: object) -> PSValue:
    """A copy of a value as CLIXML can carry it: a tree of bounded depth and size, even where objects hold themselves.

    Raises `Terminating` for a value with more parts than `MAX_PARTS`.
    """
    return _Copier().copy(value, 0)


class _Copier:
    def __init__(self) -> None:
        self._parts = 0

    def copy(self, value: object, depth: int) -> PSValue:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise refuse(f"a value with more than {MAX_PARTS} parts")
        match value:
            case list() if depth <= MAX_DEPTH:
                return [self.copy(one, depth + 1) for one in value]
            case dict() if depth <= MAX_DEPTH:
                return {to_text(name): self.copy(one, depth + 1) for name, one in value.items()}
            case PSObject() if depth <= MAX_DEPTH:
                properties = {name: self.copy(one, depth + 1) for name, one in value.properties.items()}
                return PSObject(type_names=value.type_names, properties=properties, text=value.text)
            case list() | dict() | PSObject():
                return to_text(value)
            case _:
                return stored(value)


# --- look-up --------------------------------------------------------------------------------------------------------------


def find_key(table: Mapping[str, object], name: str) -> str | None:
    """The key of a hashtable or the property that `name` means: case does not matter."""
    if name in table:
        return name
    low = name.lower()
    return next((key for key in table if key.lower() == low), None)


# --- comparison -----------------------------------------------------------------------------------------------------------


def compare(left: object, right: object, *, case: bool = False) -> int:
    """-1, 0 or 1: the right value is converted to the left one's kind first. Raises `Terminating` where it cannot be."""
    if left is None or right is None:
        if left is None and right is None:
            return 0
        other = right if left is None else left
        sign = -1 if left is None else 1
        if isinstance(other, int | float | Decimal) and not isinstance(other, bool):
            return (other < 0) - (other > 0) if left is None else (other > 0) - (other < 0)
        return sign
    if isinstance(left, bool):
        flag = to_bool(right)
        return (left > flag) - (left < flag)
    if isinstance(left, int | float | Decimal):
        number = to_number(right)
        a, b = (float(left), float(number)) if isinstance(left, float) or isinstance(number, float) else (left, number)
        return (a > b) - (a < b)
    if isinstance(left, datetime):
        moment = right if isinstance(right, datetime) else parse_datetime(to_text(right))
        if (left.tzinfo is None) != (moment.tzinfo is None):
            return compare(left.replace(tzinfo=None), moment.replace(tzinfo=None))
        return (left > moment) - (left < moment)
    one, two = to_text(left), to_text(right)
    if not case:
        one, two = one.casefold(), two.casefold()
    return (one > two) - (one < two)


def equal(left: object, right: object, *, case: bool = False) -> bool:
    """`-eq` of two single values: unlike kinds are unequal, never an error."""
    if left is None or right is None:
        return left is None and right is None
    if isinstance(left, list | dict | ScriptBlock) or isinstance(right, list | dict | ScriptBlock):
        return left is right
    if isinstance(left, PSObject) and not left.text:
        return left is right
    try:
        return compare(left, right, case=case) == 0
    except Terminating:
        return False


class SortKey:
    """A value in its place among mixed values: what cannot be compared is compared as text."""

    __slots__ = ("_case", "_value")

    def __init__(self, value: object, *, case: bool) -> None:
        self._value = value
        self._case = case

    def __lt__(self, other: SortKey) -> bool:
        try:
            return compare(self._value, other._value, case=self._case) < 0
        except Terminating:
            return compare(to_text(self._value), to_text(other._value), case=self._case) < 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SortKey) and not self < other and not other < self

    def __hash__(self) -> int:
        raise TypeError("equal by comparison only")


@lru_cache(maxsize=256)
def _segments(pattern: str, case: bool) -> tuple[re.Pattern[str], ...]:
    """A wildcard pattern cut at its stars: each piece matches text of one length. Raises `Terminating` for a broken one."""
    pieces: list[list[str]] = [[]]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "`" and at < len(pattern):
            pieces[-1].append(re.escape(pattern[at]))
            at += 1
        elif char == "*":
            pieces.append([])
        elif char == "?":
            pieces[-1].append(".")
        elif char == "[":
            end = pattern.find("]", at + 1)
            if end < 0:
                raise _bad_wildcard(pattern)
            inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", pattern[at:end])
            pieces[-1].append(f"[{inner}]")
            at = end + 1
        else:
            pieces[-1].append(re.escape(char))
    try:
        return tuple(re.compile("".join(piece), re.DOTALL | (0 if case else re.IGNORECASE)) for piece in pieces)
    except re.error:
        raise _bad_wildcard(pattern) from None


def _bad_wildcard(pattern: str) -> Terminating:
    return fail(f"The specified wildcard character pattern is not valid: {shown(pattern)}", "WildcardPattern", "InvalidArgument")


def like(text: str, pattern: str, *, case: bool = False) -> bool:
    """`-like` [about_Wildcards]. Linear: the pieces between stars are taken from left to right."""
    pieces = _segments(pattern, case)
    if len(pieces) == 1:
        return pieces[0].fullmatch(text) is not None
    first = pieces[0].match(text)
    if first is None:
        return False
    at = first.end()
    for piece in pieces[1:-1]:
        found = piece.search(text, at)
        if found is None:
            return False
        at = found.end()
    size = _length(pieces[-1])
    return len(text) - at >= size and pieces[-1].fullmatch(text, len(text) - size) is not None


def _length(piece: re.Pattern[str]) -> int:
    """How many characters a piece matches: each of its elements matches one."""
    return len(re.findall(r"\\.|\[(?:\\.|[^\]\\])*\]|.", piece.pattern, re.DOTALL))


MAX_PATTERN = 512
MAX_MATCH_STEPS = 30_000_000
"""What a match may cost in steps of backtracking, at the worst: about a second."""
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_REPEATS = re.compile(r"(?<!\\)(?:[*+]|\{\d+,(\d*)\}|\?)")


@lru_cache(maxsize=256)
def regex(pattern: str, case: bool = False) -> re.Pattern[str]:
    """A .NET regular expression as ours. Raises `Terminating` for a broken one, and for one that could take exponential time.

    A repeated group and a back-reference are what makes backtracking explode: such patterns are refused, and `subject` weighs the others,
    so that a received pattern never holds a worker thread.
    """
    if len(pattern) > MAX_PATTERN:
        raise refuse(f"a regular expression of more than {MAX_PATTERN} characters")
    if _REPEATED_GROUP.search(pattern):
        raise refuse("a regular expression with a repeated group")
    if re.search(r"\\[1-9k]|\(\?P?=|\(\?\(", pattern):
        raise refuse("a regular expression with back-references or conditions")
    translated = re.sub(r"\(\?<([A-Za-z_]\w*)>", r"(?P<\1>", pattern).replace(r"\z", r"\Z")
    try:
        return re.compile(translated, 0 if case else re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise fail(f'parsing "{shown(pattern)}" - {error}.', "System.ArgumentException", "InvalidArgument") from None


def subject(text: str, pattern: re.Pattern[str]) -> str:
    """The text to match, refused where this pattern's repetitions could take too many steps on it."""
    size = len(text) + 1
    cost = size
    for found in _REPEATS.finditer(pattern.pattern):
        most = 2 if found[0] == "?" else int(found[1]) if found[1] else size
        cost *= max(1, min(most, size))
        if cost > MAX_MATCH_STEPS:
            raise refuse("a regular expression with these repetitions against a text this long")
    return text


# --- text of files ----------------------------------------------------------------------------------------------------------


def decode(content: bytes) -> str:
    """A file's text by its byte order mark, else as UTF-8 where it is and the ANSI code page where it is not."""
    if content.startswith(b"\xff\xfe"):
        return content[2:].decode("utf-16-le", "replace")
    if content.startswith(b"\xef\xbb\xbf"):
        return content[3:].decode("utf-8", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


# --- times ----------------------------------------------------------------------------------------------------------------

_DATE_FORMS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%m/%d/%Y", "%m/%d/%Y %H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M")


def parse_datetime(text: str) -> datetime:
    """A [datetime] from a string, invariant culture. Raises `Terminating`."""
    for form in _DATE_FORMS:
        try:
            return datetime.strptime(text.strip(), form)  # noqa: DTZ007  a DateTime of kind Unspecified is what Windows makes of it
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise fail(
            f'Cannot convert value "{shown(text)}" to type "System.DateTime". Error: "String was not recognized as a valid DateTime."',
            "InvalidCastParseTargetInvocation",
            "InvalidArgument",
        ) from None


def ticks(moment: datetime) -> int:
    """100-nanosecond units since the year 1."""
    since = moment.replace(tzinfo=None) - datetime(1, 1, 1)  # noqa: DTZ001  ticks count from year 1 of the moment's own kind
    return (since.days * 86_400 + since.seconds) * 10_000_000 + since.microseconds * 10


_STANDARD = {
    "d": "MM/dd/yyyy",
    "D": "dddd, dd MMMM yyyy",
    "t": "HH:mm",
    "T": "HH:mm:ss",
    "g": "MM/dd/yyyy HH:mm",
    "G": "MM/dd/yyyy HH:mm:ss",
    "f": "dddd, dd MMMM yyyy HH:mm",
    "F": "dddd, dd MMMM yyyy HH:mm:ss",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ssZ",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "r": "ddd, dd MMM yyyy HH:mm:ss GMT",
    "R": "ddd, dd MMM yyyy HH:mm:ss GMT",
}
_FIELD = re.compile(r"'[^']*'|\"[^\"]*\"|\\.|d{1,4}|M{1,4}|y{1,5}|H{1,2}|h{1,2}|m{1,2}|s{1,2}|f{1,7}|F{1,7}|t{1,2}|z{1,3}|K|.", re.DOTALL)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")


def format_datetime(moment: datetime, form: str) -> str:
    """`DateTime.ToString(form)` in the invariant culture: standard and custom format strings."""
    if len(form) == 1:
        if form not in _STANDARD:
            raise fail("Input string was not in a correct format.", "FormatException", "NotSpecified")
        literal = form in "rR"
        form = _STANDARD[form].replace(" GMT", "' GMT'") if literal else _STANDARD[form].replace("T", "'T'").replace("Z", "'Z'")
    offset = moment.utcoffset()
    minutes = int(offset.total_seconds() // 60) if offset is not None else 0
    sign, hours, rest = ("-" if minutes < 0 else "+"), abs(minutes) // 60, abs(minutes) % 60

    def field(found: re.Match[str]) -> str:
        text = found[0]
        size = len(text)
        match text[0]:
            case "'" | '"' if size > 1:
                return text[1:-1]
            case "\\" if size > 1:
                return text[1:]
            case "d":
                return (str(moment.day), f"{moment.day:02d}", _DAYS[moment.weekday()][:3], _DAYS[moment.weekday()])[size - 1]
            case "M":
                month = _MONTHS[moment.month - 1]
                return (str(moment.month), f"{moment.month:02d}", month[:3], month)[size - 1]
            case "y":
                return f"{moment.year % 100:02d}" if size == 2 else f"{moment.year:0{size}d}"
            case "H":
                return f"{moment.hour:0{size}d}"
            case "h":
                return f"{(moment.hour + 11) % 12 + 1:0{size}d}"
            case "m":
                return f"{moment.minute:0{size}d}"
            case "s":
                return f"{moment.second:0{size}d}"
            case "f":
                return f"{moment.microsecond * 10:07d}"[:size]
            case "F":
                return f"{moment.microsecond * 10:07d}"[:size].rstrip("0")
            case "t":
                return ("AM" if moment.hour < 12 else "PM")[:size]
            case "K" if offset is None:
                return ""
            case "K" if minutes == 0:
                return "Z"
            case "K":
                return f"{sign}{hours:02d}:{rest:02d}"
            case "z":
                return (f"{sign}{hours}", f"{sign}{hours:02d}", f"{sign}{hours:02d}:{rest:02d}")[size - 1]
            case _:
                return text

    return _FIELD.sub(field, form)
