"""Arguments as typed objects, output as text: read back by psrpcore, which did not write it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from decimal import Decimal
from typing import Any

import psrpcore.types as ps
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psrpcore.types import PSCryptoProvider, deserialize
from pypsrp.complex_objects import ErrorRecord, GenericComplexObject
from pypsrp.serializer import Serializer

from harness.model.intent import Argument
from harness.transports.psrp.client import _refusal
from harness.transports.psrp.values import argument, error_id, error_text, text


def over_the_wire(value: Argument) -> Any:
    element = Serializer().serialize(argument(value))
    assert element is not None
    return deserialize(element, PSCryptoProvider())


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, ps.PSBool),
        (7, ps.PSInt),
        (-(2**31), ps.PSInt),
        (2**31, ps.PSInt64),
        (-(2**63), ps.PSInt64),
        (2**63, ps.PSDecimal),
        (0.1, ps.PSDouble),
        ("C:\\Windows\\Temp\\lab.txt", ps.PSString),
    ],
)
def test_an_argument_has_the_type_that_powershell_would_give_it(value: Argument, kind: type) -> None:
    arrived = over_the_wire(value)
    assert isinstance(arrived, kind) or type(arrived) is bool
    assert arrived == value


def test_nothing_is_null() -> None:
    assert over_the_wire(None) is None


@given(
    st.recursive(
        st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(st.characters(codec="utf-8"))),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), inner, max_size=3),
        max_leaves=8,
    )
)
def test_nested_values_arrive_equal(value: Any) -> None:
    assert over_the_wire(value) == value


def generic(to_string: str | None, **properties: object) -> GenericComplexObject:
    made = GenericComplexObject()
    made.to_string = to_string
    made.adapted_properties = dict(properties)
    return made


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        ("a\r\nb", "a\r\nb"),
        (True, "True"),
        (5, "5"),
        (3.0, "3"),
        (0.1, "0.1"),
        ([1, "a", None], "1 a "),
        ({"k": 1}, "@{k=1}"),
        (b"\x01\xff", "1 255"),
        (generic("WinRM"), "WinRM"),
        (generic(None, Name="WinRM", Status=4), "@{Name=WinRM; Status=4}"),
        (Decimal("1.50"), "1.50"),
    ],
)
def test_an_object_reads_as_powershell_would_print_it(value: object, expected: str) -> None:
    assert text(value) == expected


def error(**fields: Any) -> ErrorRecord:
    record = _refusal("the exception's")
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def test_an_errors_text_is_its_details_then_its_own_then_its_exceptions() -> None:
    assert error_text(error(details_message="the details'")) == "the details'"
    assert error_text(error(_to_string="its own")) == "its own"
    assert error_text(error()) == "the exception's"
    assert error_id(error(fq_error="CommandNotFoundException")) == "CommandNotFoundException"
    assert error_id(generic("no record")) == ""


def test_the_refusal_of_a_prompt_is_an_error_record_to_others_too() -> None:
    element = Serializer().serialize(_refusal("nobody sits here"), None)
    assert isinstance(element, ET.Element)
    record: Any = deserialize(element, PSCryptoProvider())
    assert record.FullyQualifiedErrorId == "InteractionNotAvailable"
    assert record.Exception.Message == "nobody sits here"
