"""What is found of a real Elasticsearch before a run: rights, indices, mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from harness.errors import SiemDenied
from harness.model.health import Finding, Health
from harness.model.tree import And, Node, Not, Op, Or, Test, ViewName
from harness.siem.elastic.examination import examined
from harness.siem.elastic.wire import Connection, Wire
from tests.needs import needs_elasticsearch
from tests.siem.elastic_bench import ElasticBench, elastic_bench, server_url
from tests.siem.faulty_proxy import faulty_proxy, passed_on, status

pytestmark = needs_elasticsearch

BODY = b'{"error":{"type":"security_exception","reason":"because"},"status":403}'


@pytest.fixture
def on() -> Iterator[ElasticBench]:
    with elastic_bench() as made:
        made.admin.indices.put_mapping(
            index=made.events, properties={"there": {"type": "keyword"}, "words": {"type": "text"}, "number": {"type": "long"}}
        )
        yield made


def look(on: ElasticBench, asked: Mapping[str, Node], *others: str) -> dict[str, Finding]:
    return {finding.about: finding for finding in examined(on.wire, [on.events, "nowhere-*"], others, asked)}


def has(name: str, op: Op = Op.EQUALS) -> Test:
    return Test(field=name, op=op, value=None if op in (Op.EXISTS, Op.IS_NULL) else "x", view=ViewName.ECS)


def test_indices(on: ElasticBench) -> None:
    found = look(on, {}, on.writeback, "gone")
    health = {about: finding.health for about, finding in found.items()}
    assert health == {
        f"index {on.events}": Health.OK,
        "index nowhere-*": Health.WARNING,
        f"index {on.writeback}": Health.OK,
        "index gone": Health.BROKEN,
    }


def test_no_index_at_all(on: ElasticBench) -> None:
    found = {finding.about: finding for finding in examined(on.wire, ["nowhere-*"], [], {"r": has("there")})}
    assert found["events"].health is Health.BROKEN


@pytest.mark.parametrize(
    ("node", "fires"),
    [
        (has("there"), True),
        (has("gone"), False),
        (And(items=(has("there"), has("gone"))), False),
        (Or(items=(has("there"), has("gone"))), True),
        (Not(item=has("gone")), True),
        (Not(item=has("there")), True),
        (has("gone", Op.IS_NULL), True),
        (has("gone", Op.EXISTS), False),
        (Not(item=has("gone", Op.IS_NULL)), False),
        (And(items=(has("there"), Not(item=Or(items=(has("gone"), has("too")))))), True),
        (Not(item=And(items=(has("there"), has("gone", Op.IS_NULL)))), True),
    ],
)
def test_rules_that_no_event_can_satisfy(on: ElasticBench, node: Node, fires: bool) -> None:
    found = look(on, {"r": node})
    assert ("rule r" not in found) is fires
    assert found["mappings"].what == f"{int(fires)} of 1 rules can fire on the fields that are mapped"


def test_fields_that_are_not_as_rules_take_them(on: ElasticBench) -> None:
    found = look(on, {"r": Or(items=(has("there"), has("gone"), has("words"), has("number")))})
    assert found["field gone"].what == "no mapping has it; r can fire without it"
    assert "analysed text" in found["field words"].what
    assert "field there" not in found
    assert "field number" not in found


def test_an_index_that_may_not_be_read_hides_no_other(on: ElasticBench) -> None:
    with faulty_proxy(server_url()) as proxy:
        wire = Wire(Connection(urls=(proxy.url,)))
        proxy.faults.extend([status(403, BODY, x_elastic_product="Elasticsearch"), passed_on])
        found = {finding.about: finding for finding in examined(wire, ["secret", on.events], [], {})}
        assert (found["index secret"].health, found[f"index {on.events}"].health) == (Health.BROKEN, Health.OK)
        assert "view_index_metadata on secret" in found["index secret"].fix
        proxy.faults.extend([passed_on, status(403, BODY, x_elastic_product="Elasticsearch")])
        found = {finding.about: finding for finding in examined(wire, [on.events], [], {"r": has("there")})}
        assert found["mappings"].health is Health.UNKNOWN
        proxy.faults.append(status(401, BODY, x_elastic_product="Elasticsearch"))
        with pytest.raises(SiemDenied):
            list(examined(wire, [on.events], [], {}))
        wire.close()
