"""What a Sigma rule needs before pySigma's ECS mapping makes a Lucene query of it, so that the query matches what winlogbeat stores.

Each is a transformation of pySigma's between the log source's pipeline and the mapping: put in front of it, because behind it a field's own
name is gone. Each remembers in `did` what it changed, which the translation then says. This module must never know another language.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sigma.conditions import ConditionAND, ConditionOR
from sigma.processing.conditions import IncludeFieldCondition
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import ConvertTypeTransformation, FieldMappingTransformation
from sigma.processing.transformations.base import DetectionItemTransformation
from sigma.rule.detection import SigmaDetection, SigmaDetectionItem
from sigma.types import (
    SigmaBool,
    SigmaCIDRExpression,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SigmaType,
    SpecialChars,
)

from harness.logic.match import text_of
from harness.logic.needs import Kind
from harness.translate.ascii_regex import parse_regex
from harness.translate.ecs_names import ADDRESSES, ecs_name, event_data, is_filtering, same_in_ecs
from harness.translate.regexes import lucene


@dataclass
class LuceneRegexes(DetectionItemTransformation):
    """Regular expressions in Lucene's own dialect, which fits whole values."""

    did: set[str] = field(default_factory=set)

    def apply_detection_item(self, detection_item: SigmaDetectionItem) -> None:
        """Raises `NotExpressible` where that dialect cannot say it."""
        detection_item.value = [self._value(value) for value in detection_item.value]

    def _value(self, value: SigmaType) -> SigmaType:
        if not isinstance(value, SigmaRegularExpression):
            return value
        inline = ("m" if SigmaRegularExpressionFlag.MULTILINE in value.flags else "") + (
            "s" if SigmaRegularExpressionFlag.DOTALL in value.flags else ""
        )
        pattern = f"(?{inline}){value.regexp}" if inline else str(value.regexp)
        self.did.add("regex")
        return SigmaRegularExpression(lucene(parse_regex(pattern, cased=SigmaRegularExpressionFlag.IGNORECASE not in value.flags)))


@dataclass
class Directions(DetectionItemTransformation):
    """`Initiated` says true and false, `network.direction` egress and ingress."""

    did: set[str] = field(default_factory=set)

    def apply_detection_item(self, detection_item: SigmaDetectionItem) -> None:
        """Only `Initiated` is touched."""
        if detection_item.field == "Initiated":
            detection_item.value = [self._value(value) for value in detection_item.value]

    def _value(self, value: SigmaType) -> SigmaType:
        text = text_of(value.boolean) if isinstance(value, SigmaBool) else str(value).lower()
        if text not in ("true", "false"):
            return value
        self.did.add("initiated")
        return SigmaString("egress" if text == "true" else "ingress")


@dataclass
class Accounts(DetectionItemTransformation):
    """Sysmon's `User` is domain and name with a backslash between: ECS has two fields for it."""

    did: set[str] = field(default_factory=set)

    def apply_detection_item(self, detection_item: SigmaDetectionItem) -> SigmaDetection | None:
        """The detection that asks both; None where it is not about `User`, or by other values than texts."""
        values = detection_item.value
        if detection_item.field != "User" or detection_item.negated or not all(isinstance(value, SigmaString) for value in values):
            return None
        self.did.add("user")
        asked = [_account(value) for value in values if isinstance(value, SigmaString)]
        return asked[0] if len(asked) == 1 else SigmaDetection(list(asked), item_linking=detection_item.value_linking)


def _account(value: SigmaString) -> SigmaDetection:
    at = next((number for number, part in enumerate(value.s) if isinstance(part, str) and "\\" in part), None)
    if at is None:
        return _either(["user.domain", "user.name"], value) if _is_wild(value) else _either(["user.name"], value)
    part = value.s[at]
    assert isinstance(part, str)
    left, _, right = part.rpartition("\\")
    sides = (("user.domain", (*value.s[:at], left)), ("user.name", (right, *value.s[at + 1 :])))
    return SigmaDetection([_item(name, _string(parts)) for name, parts in sides], item_linking=ConditionAND)


def _is_wild(value: SigmaString) -> bool:
    return any(isinstance(part, SpecialChars) for part in value.s)


def _string(parts: Iterable[object]) -> SigmaString:
    made = SigmaString("")
    made.s = [part for part in parts if part != "" and isinstance(part, str | SpecialChars)]
    return made


def _item(name: str, value: SigmaType) -> SigmaDetectionItem:
    return SigmaDetectionItem(name, [], [value])


def _either(names: list[str], value: SigmaType) -> SigmaDetection:
    return SigmaDetection([_item(name, value) for name in names], item_linking=ConditionOR)


@dataclass
class Hashes(DetectionItemTransformation):
    """One hash of the list that `Hashes` is, under the name of its own that winlogbeat gives it, beside the list."""

    kinds: frozenset[Kind] = frozenset()
    did: set[str] = field(default_factory=set)

    def apply_detection_item(self, detection_item: SigmaDetectionItem) -> SigmaDetection | None:
        """The detection that asks both; None where it is not about `Hashes`, or by more than one hash a value."""
        values = detection_item.value
        if detection_item.field != "Hashes" or detection_item.negated or not all(isinstance(value, SigmaString) for value in values):
            return None
        same = [tuple(self._same(str(value).strip("*"))) for value in values]
        if not all(same):
            return None
        self.did.add("hashes")
        asked: list[SigmaDetectionItem | SigmaDetection] = []
        for value, found in zip(values, same, strict=True):
            items = [_item("Hashes", value), *(_item(name, SigmaString(text)) for name, text in found)]
            asked.append(SigmaDetection(list(items), item_linking=ConditionOR))
        return (
            asked[0]
            if len(asked) == 1 and isinstance(asked[0], SigmaDetection)
            else SigmaDetection(asked, item_linking=detection_item.value_linking)
        )

    def _same(self, text: str) -> Iterable[tuple[str, str]]:
        found = {
            (name, text_of(value)) for kind in self.kinds for name, value in same_in_ecs(*kind, "Hashes", text) if isinstance(value, str)
        }
        return sorted(found)


@dataclass
class Networks(DetectionItemTransformation):
    """The beginning of an address ("10.") as a network: an address in Elasticsearch is no text."""

    kinds: frozenset[Kind] = frozenset()
    did: set[str] = field(default_factory=set)

    def apply_detection_item(self, detection_item: SigmaDetectionItem) -> None:
        """Only fields that become addresses are touched."""
        name = detection_item.field
        if name is not None and any(ecs_name(*kind, name) in ADDRESSES for kind in self.kinds):
            detection_item.value = [self._value(value) for value in detection_item.value]

    def _value(self, value: SigmaType) -> SigmaType:
        found = re.fullmatch(r"((?:\d{1,3}\.){1,3})\*", str(value)) if isinstance(value, SigmaString) else None
        if found is None or any(int(part) > 255 for part in found[1].split(".")[:-1]):
            return value
        self.did.add("network")
        dots = found[1].count(".")
        return SigmaCIDRExpression(f"{found[1]}{'0.' * (3 - dots)}0/{8 * dots}")


_UNMAPPED = {
    "DestPort": "destination.port",
    "SourcePort": "source.port",
    "DestAddress": "destination.ip",
    "SourceAddress": "source.ip",
    "Application": "process.executable.caseless",
}
"""What the mapping takes the fields of the Filtering Platform's events for, and winlogbeat's pipeline does not."""


def lucene_regexes() -> tuple[ProcessingPipeline, set[str]]:
    """The one mend that every Lucene query needs, and what it did."""
    regexes = LuceneRegexes()
    return ProcessingPipeline(items=[ProcessingItem(regexes)]), regexes.did


def ecs_mends(kinds: frozenset[Kind], *, sysmon: bool) -> tuple[ProcessingPipeline, list[set[str]]]:
    """All mends for rules of these kinds of event, and what each will have done once the pipeline was applied."""
    directions, hashes, networks = Directions(), Hashes(kinds=kinds), Networks(kinds=kinds)
    items = [ProcessingItem(directions), ProcessingItem(hashes), ProcessingItem(networks)]
    done = [directions.did, hashes.did, networks.did]
    if sysmon:
        accounts = Accounts()
        items.append(ProcessingItem(accounts))
        done.append(accounts.did)
    names: dict[str | None, str | list[str]] = {"ParentProcessName": "process.parent.executable.caseless"}
    if any(is_filtering(*kind) for kind in kinds):
        names |= {own: [mapped, event_data(own)] for own, mapped in _UNMAPPED.items()}
    items.append(
        ProcessingItem(
            FieldMappingTransformation(names), field_name_conditions=[IncludeFieldCondition(fields=[name for name in names if name])]
        )
    )
    return ProcessingPipeline(items=items), done


@dataclass
class Sources(DetectionItemTransformation):
    """The channel as the source that Splunk's forwarder names."""

    prefix: str = ""

    def apply_detection_item(self, detection_item: SigmaDetectionItem) -> None:
        """Only `Channel` is touched."""
        if detection_item.field == "Channel" and all(isinstance(value, SigmaString) for value in detection_item.value):
            detection_item.field = "source"
            detection_item.value = [self.prefix + value for value in detection_item.value if isinstance(value, SigmaString)]


def sources(prefix: str) -> ProcessingPipeline:
    """The pipeline that turns channels into sources with this prefix."""
    return ProcessingPipeline(items=[ProcessingItem(Sources(prefix=prefix))])


@dataclass
class PlainValues(DetectionItemTransformation):
    """What Logpoint's backend cannot write: truth as a text, and quotation marks in regular expressions by their code."""

    def apply_detection_item(self, detection_item: SigmaDetectionItem) -> None:
        """Texts and numbers are left alone."""
        detection_item.value = [_plain(value) for value in detection_item.value]


def _plain(value: SigmaType) -> SigmaType:
    if isinstance(value, SigmaBool):
        return SigmaString(text_of(value.boolean))
    if not isinstance(value, SigmaRegularExpression):
        return value
    return SigmaRegularExpression(re.sub(r'((?:\\\\)*)\\?"', r"\1\\x22", str(value.regexp)), value.flags)


def for_logpoint() -> ProcessingPipeline:
    """The pipeline of what Logpoint's backend takes for granted: that all values are texts, and no regex has a quotation mark."""
    return ProcessingPipeline(items=[ProcessingItem(PlainValues()), ProcessingItem(ConvertTypeTransformation(target_type="str"))])
