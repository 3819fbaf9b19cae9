"""CLIXML, the XML in which PowerShell writes objects [MS-PSRP 2.2.5]: text to the machine's values, values to text.

Pure. It knows no message, no pipeline and no key: secure strings are opened and closed by functions that it is given. Both directions walk
plain elements without a model in between, for every request of every session comes through here.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final
from uuid import UUID
from xml.etree import ElementTree

from lab.machine import CREDENTIAL_TYPE, CUSTOM_OBJECT_TYPE, TIME_SPAN_TYPE, PSObject, PSValue, SecureString

MAX_DEPTH: Final = 64
"""Objects within objects: PowerShell's own serialiser stops far earlier."""

MAX_PARTS: Final = 1_000_000
"""Values that one text may stand for, a reference counted as all that it refers to: references of references grow without bound."""


class Malformed(ValueError):
    """The text is no CLIXML, or no value that the machine could take."""


Cipher = Callable[[str], str]
"""Opens the text of a secure string, or closes it."""

# --- reading --------------------------------------------------------------------------------------------------------------

_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_DECIMAL = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})\Z", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,20}\Z", re.ASCII)
_SPAN = re.compile(r"(-?)P(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,12})(?:\.(\d{1,7})\d*)?S)?)?\Z", re.ASCII)
_SPECIAL_FLOATS = {"INF": "inf", "-INF": "-inf", "NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}
_LISTS = frozenset({"LST", "IE", "QUE", "STK"})
_SURROGATES = re.compile("[\ud800-\udfff]")


def unescape(text: str) -> str:
    """A string as it was before `_xHHHH_` took the place of what XML cannot carry [MS-PSRP 2.2.5.3.2]; lone surrogates become U+FFFD."""
    if "_x" not in text:
        return text
    text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    if _SURROGATES.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _integer(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        text = text.strip()
        if not _INTEGER.match(text) or not low <= int(text) <= high:
            raise Malformed("not a number of its type")
        return int(text)

    return read


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("true", "false", "1", "0"):
        raise Malformed("neither true nor false")
    return word in ("true", "1")


def _character(text: str) -> str:
    """A char is the number of a UTF-16 unit."""
    unit = chr(_integer(0, 0xFFFF)(text))
    return "\ufffd" if _SURROGATES.match(unit) else unit


def _float(text: str) -> float:
    word = text.strip()
    return float(_SPECIAL_FLOATS.get(word, word))


def _decimal(text: str) -> Decimal:
    word = text.strip()
    if not _DECIMAL.match(word):
        raise Malformed("not a decimal")
    return Decimal(word)


def _moment(text: str) -> datetime:
    word = text.strip()
    return datetime.fromisoformat(word)


def _bytes(text: str) -> bytes:
    return binascii.a2b_base64("".join(text.split()), strict_mode=True) if text.strip() else b""


def _time_span(text: str) -> PSObject:
    match = _SPAN.match(text.strip())
    if match is None or not any(match.groups()[1:]):
        raise Malformed("not a duration")
    sign, days, hours, minutes, seconds, fraction = match.groups()
    whole = ((int(days or 0) * 24 + int(hours or 0)) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)
    ticks = whole * 10_000_000 + int((fraction or "").ljust(7, "0"))
    if ticks >= 1 << 63:
        raise Malformed("a duration beyond what .NET holds")
    return time_span(-ticks if sign else ticks)


def time_span(ticks: int) -> PSObject:
    """A System.TimeSpan of so many units of 100 ns."""
    seconds, rest = divmod(abs(ticks), 10_000_000)
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3_600)
    minutes, seconds = divmod(seconds, 60)
    text = f"{'-' if ticks < 0 else ''}{f'{days}.' if days else ''}{hours:02}:{minutes:02}:{seconds:02}{f'.{rest:07}' if rest else ''}"
    sign = -1 if ticks < 0 else 1
    return PSObject(
        type_names=(TIME_SPAN_TYPE, "System.ValueType", "System.Object"),
        properties={
            "Ticks": ticks,
            "Days": sign * days,
            "Hours": sign * hours,
            "Milliseconds": sign * (rest // 10_000),
            "Minutes": sign * minutes,
            "Seconds": sign * seconds,
            "TotalDays": ticks / 864_000_000_000,
            "TotalHours": ticks / 36_000_000_000,
            "TotalMilliseconds": ticks / 10_000,
            "TotalMinutes": ticks / 600_000_000,
            "TotalSeconds": ticks / 10_000_000,
        },
        text=text,
    )


_PRIMITIVES: Final[dict[str, Callable[[str], PSValue]]] = {
    "S": unescape,
    "B": _boolean,
    "I32": _integer(-(1 << 31), (1 << 31) - 1),
    "Nil": lambda _: None,
    "I64": _integer(-(1 << 63), (1 << 63) - 1),
    "U32": _integer(0, (1 << 32) - 1),
    "U64": _integer(0, (1 << 64) - 1),
    "I16": _integer(-(1 << 15), (1 << 15) - 1),
    "U16": _integer(0, (1 << 16) - 1),
    "SB": _integer(-128, 127),
    "By": _integer(0, 255),
    "C": _character,
    "DT": _moment,
    "TS": _time_span,
    "Sg": _float,
    "Db": _float,
    "D": _decimal,
    "BA": _bytes,
    "G": lambda text: UUID(text.strip()),
    "URI": unescape,
    "Version": str.strip,
    "XD": unescape,
    "SBK": unescape,
    "PR": unescape,
}


def read(text: bytes, open_secret: Cipher) -> PSValue:
    """The value that a text stands for. Raises `Malformed`, and nothing else whatever the bytes are.

    Numbers come as int, float or Decimal, enumerations as their number, objects of classes as `PSObject` with `Deserialized.` before the
    names of their types, as PowerShell has it; a credential and a time span are themselves. `open_secret` may raise `Malformed`.
    """
    if b"<!DOCTYPE" in text:
        raise Malformed("a document type declaration")
    try:
        return _Reader(open_secret).value(ElementTree.fromstring(text), 0)  # noqa: S314 - no DTD gets here, and expat bounds the rest
    except Malformed:
        raise
    except (ElementTree.ParseError, ValueError, LookupError, InvalidOperation, OverflowError) as error:
        raise Malformed(type(error).__name__) from None


class _Reader:
    """Reads one text: objects and lists of type names may be referred to within it, not beyond."""

    __slots__ = ("_objects", "_open_secret", "_parts", "_types")

    def __init__(self, open_secret: Cipher) -> None:
        self._open_secret = open_secret
        self._objects: dict[str, tuple[PSValue, int]] = {}
        self._types: dict[str, tuple[str, ...]] = {}
        self._parts = 0

    def value(self, element: ElementTree.Element, depth: int) -> PSValue:
        self._parts += 1
        tag = element.tag
        primitive = _PRIMITIVES.get(tag)
        if primitive is not None:
            return primitive(element.text or "")
        if tag == "Obj":
            if depth >= MAX_DEPTH or self._parts > MAX_PARTS:
                raise Malformed("too deep or too large")
            return self._object(element, depth + 1)
        if tag == "Ref":
            # An object that is still being read refers to itself: whoever walks it would never come to an end.
            value, parts = self._objects.get(element.get("RefId", ""), (None, 0))
            self._parts += parts
            if self._parts > MAX_PARTS:
                raise Malformed("too large")
            return value
        if tag == "SS":
            return SecureString(self._open_secret(element.text or ""))
        raise Malformed(f"no element of CLIXML: {tag[:40]}")

    def _object(self, element: ElementTree.Element, depth: int) -> PSValue:
        before = self._parts
        types: tuple[str, ...] = ()
        text = ""
        properties: dict[str, PSValue] = {}
        content: PSValue = None
        plain = False
        for child in element:
            tag = child.tag
            if tag == "MS" or tag == "Props":
                for one in child:
                    properties[unescape(one.get("N", ""))] = self.value(one, depth)
            elif tag == "TN":
                types = self._types[child.get("RefId", "")] = tuple([unescape(one.text or "") for one in child])
            elif tag == "TNRef":
                types = self._types[child.get("RefId", "")]
            elif tag == "ToString":
                text = unescape(child.text or "")
            elif tag in _LISTS:
                plain, content = True, [self.value(one, depth) for one in child]
            elif tag == "DCT":
                plain, content = True, self._dictionary(child, depth)
            else:
                plain, content = True, self.value(child, depth)
        value = content if plain else _rehydrated(types, properties, text)
        self._objects[element.get("RefId", "")] = (value, self._parts - before)
        return value

    def _dictionary(self, element: ElementTree.Element, depth: int) -> dict[str, PSValue]:
        found: dict[str, PSValue] = {}
        for entry in element:
            pair = {one.get("N"): one for one in entry}
            key = self.value(pair["Key"], depth)
            found[key if isinstance(key, str) else str(key)] = self.value(pair["Value"], depth)
        return found


def _rehydrated(types: tuple[str, ...], properties: dict[str, PSValue], text: str) -> PSObject:
    if not types or types[0] != CREDENTIAL_TYPE:
        types = tuple([name if name.startswith("Deserialized.") else f"Deserialized.{name}" for name in types])
    return PSObject(type_names=types, properties=properties, text=text)


# --- writing --------------------------------------------------------------------------------------------------------------

_MARKED = re.compile("[&<>\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\U00010000-\U0010ffff]|_(?=[xX])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def _mark(match: re.Match[str]) -> str:
    char = match[0]
    known = _ENTITIES.get(char)
    if known is not None:
        return known
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"_x{units[at]:02X}{units[at + 1]:02X}_" for at in range(0, len(units), 2))


def escape(text: str) -> str:
    """A string as the content of an element: marked up, and what XML cannot carry as `_xHHHH_` [MS-PSRP 2.2.5.3.2]."""
    return _MARKED.sub(_mark, text)


@lru_cache(maxsize=4096)
def _named(name: str) -> str:
    """The attribute that names a property; property names are few."""
    return f' N="{escape(name).replace(chr(34), "&quot;")}"' if name else ""


def _list_of(types: Iterable[str]) -> str:
    return "".join(f"<T>{escape(name)}</T>" for name in types)


ARRAY_TYPES: Final = ("System.Object[]", "System.Array", "System.Object")
HASHTABLE_TYPES: Final = ("System.Collections.Hashtable", "System.Object")
ENUM_TYPES: Final = ("System.Enum", "System.ValueType", "System.Object")


class Writer:
    """Writes one text: values and whole objects one after the other, as they come. `text` is what there is so far.

    `close_secret` may raise whatever its maker needs it to.
    """

    __slots__ = ("_close_secret", "_next", "_parts", "_types")

    def __init__(self, close_secret: Cipher) -> None:
        self._close_secret = close_secret
        self._parts: list[str] = []
        self._next = 0
        self._types: dict[tuple[str, ...], int] = {}

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def raw(self, text: str) -> None:
        """What is CLIXML already."""
        self._parts.append(text)

    def begin(self, types: tuple[str, ...] = (), text: str = "", name: str = "") -> None:
        """The head of an object; `end` closes it."""
        write = self._parts.append
        write(f'<Obj{_named(name)} RefId="{self._next}">')
        self._next += 1
        if types:
            known = self._types.get(types)
            if known is None:
                known = self._types[types] = len(self._types)
                write(f'<TN RefId="{known}">{_list_of(types)}</TN>')
            else:
                write(f'<TNRef RefId="{known}" />')
        if text:
            write(f"<ToString>{escape(text)}</ToString>")

    def end(self) -> None:
        self._parts.append("</Obj>")

    def members(self, group: str, members: Mapping[str, PSValue]) -> None:
        """Properties: `MS` those that PowerShell added, `Props` those of the class."""
        if members:
            self._parts.append(f"<{group}>")
            for name, value in members.items():
                self.value(value, name)
            self._parts.append(f"</{group}>")

    def enum(self, type_name: str, label: str, number: int, name: str = "") -> None:
        """A member of an enumeration."""
        self.begin((type_name, *ENUM_TYPES), label, name)
        self._parts.append(f"<I32>{number}</I32></Obj>")

    def value(self, value: PSValue, name: str = "") -> None:
        """Any value, as the type that .NET would give it. A Decimal beyond .NET's goes as a string."""
        attribute = _named(name)
        write = self._parts.append
        match value:
            case None:
                write(f"<Nil{attribute} />")
            case bool():
                write(f"<B{attribute}>{'true' if value else 'false'}</B>")
            case str():
                write(f"<S{attribute}>{escape(value)}</S>" if value else f"<S{attribute} />")
            case int():
                write(_integer_text(value, attribute))
            case float():
                write(f"<Db{attribute}>{_float_text(value)}</Db>")
            case PSObject():
                self._object(value, name)
            case list():
                self.begin(ARRAY_TYPES, name=name)
                write("<LST>")
                for one in value:
                    self.value(one)
                write("</LST></Obj>")
            case dict():
                self.begin(HASHTABLE_TYPES, name=name)
                write("<DCT>")
                for key, one in value.items():
                    write(f'<En><S N="Key">{escape(key)}</S>')
                    self.value(one, "Value")
                    write("</En>")
                write("</DCT></Obj>")
            case Decimal():
                write(f"<D{attribute}>{value:f}</D>")
            case datetime():
                write(f"<DT{attribute}>{value.isoformat().replace('+00:00', 'Z')}</DT>")
            case UUID():
                write(f"<G{attribute}>{value}</G>")
            case bytes():
                write(f"<BA{attribute}>{b64encode(value).decode()}</BA>")
            case SecureString():
                write(f"<SS{attribute}>{self._close_secret(value.plain)}</SS>")

    def _object(self, value: PSObject, name: str) -> None:
        types = value.type_names
        if types and types[0] == TIME_SPAN_TYPE:
            ticks = value.properties.get("Ticks")
            if isinstance(ticks, int):
                self._parts.append(f"<TS{_named(name)}>{_duration(ticks)}</TS>")
                return
        # Every .NET type ends in System.Object; clients rely on it.
        self.begin(types if "System.Object" in types else (*types, "System.Object"), value.text, name)
        # A PSCustomObject's properties are added by PowerShell, any other object's are its class's own.
        self.members("MS" if types and types[0] == CUSTOM_OBJECT_TYPE else "Props", value.properties)
        self.end()


def _integer_text(value: int, attribute: str) -> str:
    if -(1 << 31) <= value < 1 << 31:
        return f"<I32{attribute}>{value}</I32>"
    if -(1 << 63) <= value < 1 << 63:
        return f"<I64{attribute}>{value}</I64>"
    return f"<D{attribute}>{value}</D>"


def _float_text(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "INF" if value > 0 else "-INF"
    return repr(value)


def _duration(ticks: int) -> str:
    """A duration as XML Schema writes it; ticks are units of 100 ns."""
    seconds, rest = divmod(abs(ticks), 10_000_000)
    whole = timedelta(seconds=seconds)
    hours, left = divmod(whole.seconds, 3600)
    minutes, left = divmod(left, 60)
    time = "".join((f"{hours}H" if hours else "", f"{minutes}M" if minutes else "", f"{left}{f'.{rest:07}' if rest else ''}S"))
    return f"{'-' if ticks < 0 else ''}P{f'{whole.days}D' if whole.days else ''}T{time}"


def write(value: PSValue, close_secret: Cipher) -> str:
    """The text of one value."""
    writer = Writer(close_secret)
    writer.value(value)
    return writer.text
