"""Values over the wire and back: what the machine gives is what other deserialisers see, and the other way round."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID
from xml.etree import ElementTree

import psrpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psrpcore import types as ps
from pypsrp.complex_objects import GenericComplexObject
from pypsrp.serializer import Serializer

from lab.machine import CREDENTIAL_TYPE, PSObject, PSValue, SecureString
from lab.winrm import clixml
from lab.winrm.session_key import SessionKey

KEY = SessionKey()
_CIPHER = psrpcore.PSRemotingCrypto()
_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    _TEXT,
    st.binary(max_size=40),
    st.uuids(),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9),
    st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants it naive
    _TEXT.map(SecureString),
)
_VALUES: st.SearchStrategy[PSValue] = st.recursive(
    _SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=3)), max_leaves=6
)


def written(value: PSValue) -> ElementTree.Element:
    return ElementTree.fromstring(clixml.write(value, KEY.close))


def over_the_wire(value: PSValue) -> PSValue:
    return clixml.read(clixml.write(value, KEY.close).encode(), KEY.open)


def as_others_write(value: object) -> PSValue:
    return clixml.read(ElementTree.tostring(ps.serialize(value, _CIPHER)), KEY.open)


@given(_VALUES)
def test_a_value_survives_the_wire(value: PSValue) -> None:
    assert over_the_wire(value) == value


@given(_TEXT)
def test_any_text_is_read_by_others_as_it_was_meant_and_read_here_as_others_write_it(text: str) -> None:
    theirs: object = ps.deserialize(written(text), _CIPHER)
    assert theirs == text
    assert as_others_write(text) == text


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        (1, "I32"),
        (-(2**31), "I32"),
        (2**31, "I64"),
        (-(2**31) - 1, "I64"),
        (2**63, "D"),
        (1.5, "Db"),
        (True, "B"),
        ("x", "S"),
        (None, "Nil"),
        (SecureString("x"), "SS"),
    ],
)
def test_a_value_goes_as_the_type_that_dotnet_would_give_it(value: PSValue, tag: str) -> None:
    assert written(value).tag == tag


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (ps.PSChar("x"), "x"),
        (ps.PSByte(255), 255),
        (ps.PSUInt64(2**64 - 1), 2**64 - 1),
        (ps.PSSingle(1.5), 1.5),
        (ps.PSDecimal("1.25"), Decimal("1.25")),
        (ps.PSGuid(int=7), UUID(int=7)),
        (ps.PSVersion("5.1"), "5.1"),
        (ps.PSUri("http://a/"), "http://a/"),
        (ps.PSScriptBlock("$a"), "$a"),
        (ps.PSByteArray(b"\0\xff"), b"\0\xff"),
        (ps.ConsoleColor.Red, 12),
        (ps.PSDict({"a": 1}), {"a": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_others_write_is_plain_python_here(theirs: object, ours: PSValue) -> None:
    read = as_others_write(theirs)
    assert (read, type(read)) == (ours, type(ours))


@pytest.mark.parametrize(
    ("text", "ticks", "shown"),
    [
        ("PT1S", 10_000_000, "00:00:01"),
        ("P1DT2H3M4.5S", 937_845_000_000, "1.02:03:04.5000000"),
        ("-PT0.0000001S", -1, "-00:00:00.0000001"),
        ("P10675199DT2H48M5.4775807S", 2**63 - 1, "10675199.02:48:05.4775807"),
    ],
)
def test_a_time_span_is_its_ticks(text: str, ticks: int, shown: str) -> None:
    span = clixml.read(f"<TS>{text}</TS>".encode(), KEY.open)
    assert isinstance(span, PSObject)
    assert (span.properties["Ticks"], span.text) == (ticks, shown)
    assert over_the_wire(span) == span


def test_a_dotnet_object_keeps_type_properties_and_text() -> None:
    service = PSObject(
        type_names=("System.ServiceProcess.ServiceController", "System.Object"),
        properties={"Name": "WinRM", "Tags": ["a", 1]},
        text="WinRM",
    )
    back = over_the_wire(service)
    assert isinstance(back, PSObject)
    assert back.type_names == ("Deserialized.System.ServiceProcess.ServiceController", "Deserialized.System.Object")
    assert back.properties == service.properties
    assert back.text == "WinRM"


def test_a_credential_is_one_again() -> None:
    given = PSObject(
        type_names=(CREDENTIAL_TYPE, "System.Object"),
        properties={"UserName": "LAB\\bob", "Password": SecureString("pw")},
        text=CREDENTIAL_TYPE,
    )
    assert over_the_wire(given) == given


@pytest.mark.parametrize(
    ("type_name", "group"), [("System.Diagnostics.Process", "Props"), ("System.Management.Automation.PSCustomObject", "MS")]
)
def test_only_a_custom_objects_properties_are_extended(type_name: str, group: str) -> None:
    element = written(PSObject(type_names=(type_name,), properties={"Id": 4}))
    assert [child.tag for child in element if child.tag in ("Props", "MS")] == [group]


def test_pypsrp_reads_an_object_as_its_own() -> None:
    text = clixml.write(PSObject(type_names=("A.B", "System.Object"), properties={'N"<': 1}, text="t"), KEY.close)
    read = Serializer().deserialize(text)
    assert isinstance(read, GenericComplexObject)
    assert (read.adapted_properties, read.to_string, read.types) == ({'N"<': 1}, "t", ["A.B", "System.Object"])


def test_types_are_written_once_and_referred_to_after() -> None:
    one = PSObject(type_names=("A.B", "System.Object"), properties={})
    text = clixml.write([one, one], KEY.close)
    assert (text.count("<T>A.B</T>"), text.count("TNRef")) == (1, 1)
    ids = [element.get("RefId") for element in ElementTree.fromstring(text).iter("Obj")]
    assert len(set(ids)) == len(ids)


def test_an_object_may_be_referred_to_but_not_by_itself() -> None:
    shared = b'<Obj RefId="0"><LST><Obj RefId="1"><LST><S>x</S></LST></Obj><Ref RefId="1" /></LST></Obj>'
    assert clixml.read(shared, KEY.open) == [["x"], ["x"]]
    assert clixml.read(b'<Obj RefId="0"><LST><Ref RefId="0" /></LST></Obj>', KEY.open) == [None]


def laughs(rounds: int) -> bytes:
    """Each list has the one before it ten times."""
    first = '<Obj RefId="0"><LST>' + "<S>ha</S>" * 10 + "</LST></Obj>"
    more = "".join(f'<Obj RefId="{n}"><LST>' + f'<Ref RefId="{n - 1}" />' * 10 + "</LST></Obj>" for n in range(1, rounds))
    return f'<Obj RefId="x"><LST>{first}{more}</LST></Obj>'.encode()


def test_references_of_references_are_counted() -> None:
    assert isinstance(clixml.read(laughs(4), KEY.open), list)
    with pytest.raises(clixml.Malformed, match="too large"):
        clixml.read(laughs(30), KEY.open)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<",
        b"<x/>",
        b"<I32>2147483648</I32>",
        b"<I32>1_0</I32>",
        b"<I32>\xd9\xa1</I32>",
        b"<By>-1</By>",
        b"<C>65536</C>",
        b"<B>maybe</B>",
        b"<Db>x</Db>",
        b"<D>NaN</D>",
        b"<DT>yesterday</DT>",
        b"<TS>P1Y</TS>",
        b"<TS>P99999999DT1S</TS>",
        b"<G>x</G>",
        b"<BA>?</BA>",
        b"<SS>AAAA</SS>",
        b"<SS>?</SS>",
        b'<Obj RefId="0"><TNRef RefId="7" /></Obj>',
        b'<Obj RefId="0"><DCT><En><S N="Key">a</S></En></DCT></Obj>',
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><S>&a;</S>",
        b'<Obj RefId="0"><LST>' * 100 + b"</LST></Obj>" * 100,
    ],
    ids=range(22),
)
def test_what_is_no_clixml_is_malformed(text: bytes) -> None:
    with pytest.raises(clixml.Malformed):
        clixml.read(text, KEY.open)


def test_a_secret_shows_nowhere_by_itself() -> None:
    assert "hunter2" not in f"{SecureString('hunter2')} {SecureString('hunter2')!r}"
    assert "hunter2" not in clixml.write(SecureString("hunter2"), KEY.close)
    with pytest.raises(clixml.Malformed) as raised:
        SessionKey().open(KEY.close("hunter2" * 9))
    assert "hunter2" not in str(raised.value)
