"""What killed a match, in words; and that taking exactly the named clauses out makes the rule match."""

from __future__ import annotations

import pytest

from harness.logic.why import nearest
from harness.model.facts import FlatValue
from harness.model.tree import FieldName, Node, Not, Op, Or, Value
from tests.logic.tree_builders import SYSMON, both, event, is_, of_kind

PORT = of_kind("Security", 5156, both(is_("DestPort", 1234), is_("LayerRTID", 44), label="selection"))


def text(node: Node, **flat: FlatValue) -> str:
    killed = nearest(node, [event("Security", 5156, **flat)])
    assert killed is not None
    return killed.text


def test_a_wrong_value() -> None:
    assert text(PORT, destport="5985", layerrtid="44") == "DestPort is 5985, the rule wants 1234"


def test_an_absent_field() -> None:
    assert text(PORT, layerrtid="44") == "DestPort is absent, the rule wants 1234"


def test_all_clauses_that_stand_in_the_way() -> None:
    killed = nearest(PORT, [event("Security", 5156, destport="5985", layerrtid="48")])
    assert killed is not None
    assert killed.clauses == ("DestPort is 5985, the rule wants 1234", "LayerRTID is 48, the rule wants 44")
    assert killed.text == "; ".join(killed.clauses)


def test_the_event_with_the_fewest_failing_clauses_is_the_nearest() -> None:
    far = event("Security", 5156, destport="1", layerrtid="48")
    near = event("Security", 5156, destport="1", layerrtid="44")
    also_near = event("Security", 5156, destport="2", layerrtid="44")
    killed = nearest(PORT, [far, near, also_near])
    assert killed is not None
    assert killed.event is near


def test_events_of_other_kinds_are_not_near() -> None:
    assert nearest(PORT, [event("Security", 4688), event(SYSMON, 5156)]) is None
    assert nearest(PORT, []) is None


def test_nothing_killed_a_match() -> None:
    assert nearest(PORT, [event("Security", 5156), event("security", 5156, destport=1234, layerrtid=44)]) is None


def test_a_list_of_values_is_one_clause() -> None:
    ports = of_kind("Security", 5156, Or(items=(is_("DestPort", 1), is_("DestPort", 2))))
    assert text(ports, destport=5985) == "DestPort is 5985, the rule wants one of 1, 2"


def test_a_long_list_is_cut() -> None:
    images = tuple(is_("Image", f"\\{n}.exe", Op.ENDS_WITH) for n in range(9))
    expected = r"Image is C:\x.exe, the rule wants it to end with one of \0.exe, \1.exe, \2.exe, \3.exe, \4.exe, \5.exe or 3 more"
    assert text(of_kind("Security", 5156, Or(items=images)), image="C:\\x.exe") == expected


def test_a_filter_is_named_with_what_it_saw() -> None:
    localhost = both(Or(items=(is_("SourceIp", "::1"), is_("SourceIp", "127.0.0.1"))), label="filter_main_localhost")
    other = both(is_("Image", "x"), label="filter_main_other")
    node = of_kind("Security", 5156, Not(item=Or(items=(other, localhost), label="1 of filter_main_*")))
    assert text(node, sourceip="127.0.0.1") == "filter_main_localhost excludes it: SourceIp is 127.0.0.1"


def test_a_filter_without_a_name() -> None:
    assert text(of_kind("Security", 5156, Not(item=is_("A", None, Op.IS_NULL)))) == "the rule excludes it: it has no A"


def test_of_several_selections_the_nearest_is_named() -> None:
    one = both(is_("A", 1), is_("B", 1), label="selection_one")
    two = both(is_("A", 2), label="selection_two")
    assert text(of_kind("Security", 5156, Or(items=(one, two))), a=3) == "selection_two: A is 3, the rule wants 2"


def test_a_variant_for_another_kind_is_never_the_nearest() -> None:
    sysmon = of_kind(SYSMON, 1, is_("Image", "a"))
    security = of_kind("Security", 5156, is_("NewProcessName", "a"), is_("B", 1), is_("C", 1))
    killed = nearest(Or(items=(sysmon, security)), [event("Security", 5156)])
    assert killed is not None
    assert killed.clauses[0] == "NewProcessName is absent, the rule wants a"
    assert len(killed.clauses) == 3


def test_a_blank_that_is_a_line_end_is_seen() -> None:
    context = "x" * 500 + "\r\n        Host Name = ServerRemoteHost\r\n        Host Version = 1" + "y" * 500
    told = text(of_kind("Security", 5156, is_("ContextInfo", " = ServerRemoteHost ", Op.CONTAINS)), contextinfo=context)
    assert r"Host Name = ServerRemoteHost\r\n" in told
    assert told.endswith("the rule wants it to contain ' = ServerRemoteHost '")
    assert len(told) < 250


def test_control_characters_are_inert() -> None:
    assert "\x1b" not in text(of_kind("Security", 5156, is_("A", "b\x1b[0m")), a="\x1b[31mred")


@pytest.mark.parametrize(
    ("op", "value", "wants"),
    [
        (Op.CONTAINS, "b", "it to contain b"),
        (Op.STARTS_WITH, "b", "it to start with b"),
        (Op.LIKE, "b*c", "it to be like b*c"),
        (Op.REGEX, "^b$", "it to match ^b$"),
        (Op.CIDR, "10.0.0.0/8", "an address in 10.0.0.0/8"),
        (Op.GREATER, 5, "it to be > 5"),
        (Op.EXISTS, False, "it not to exist"),
        (Op.IS_NULL, None, "it to be absent"),
        (Op.EQUALS, FieldName(name="B"), "the value of B"),
        (Op.EQUALS, "two words", "'two words'"),
        (Op.EQUALS, "", "''"),
    ],
)
def test_what_each_operation_wants(op: Op, value: Value, wants: str) -> None:
    assert text(of_kind("Security", 5156, is_("A", value, op)), a="a1") == f"A is a1, the rule wants {wants}"


def test_an_absent_field_that_has_to_exist() -> None:
    assert text(of_kind("Security", 5156, is_("A", True, Op.EXISTS))) == "A is absent, the rule wants it to exist"


def test_a_keyword() -> None:
    assert text(of_kind("Security", 5156, is_(None, "mimikatz", Op.CONTAINS))) == "no field has what the rule wants: it to contain mimikatz"
