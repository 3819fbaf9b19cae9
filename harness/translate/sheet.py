"""A rule in every language that is known here: which translator makes which, and what each is told beside its text.

What a language cannot say becomes a refusal with its reason; whatever else goes wrong is a fault of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.events.kinds import SYSMON, fields_of, provider_of
from harness.logic.match import fold, key_of
from harness.model.intent import Rule
from harness.model.translation import Sheet, Translation, Trap
from harness.model.tree import Test
from harness.rules.eql import Query
from harness.rules.eql_print import Unprintable, print_eql
from harness.rules.sigma import LANGUAGE
from harness.translate import backends, detection_rule, elastalert, traps, watch
from harness.translate.ecs_names import ANALYSED
from harness.translate.eql import eql
from harness.translate.es_filter import ALSO, es_filter
from harness.translate.grep import grep
from harness.translate.parts import fields_asked, parts, tests
from harness.translate.powershell import powershell
from harness.translate.refusal import NotExpressible
from harness.translate.said import description, elastic_table
from harness.translate.spark_sql import spark_sql


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    text: str
    notes: tuple[str, ...] = ()
    traps: tuple[Trap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    title: str
    fence: str
    say: Callable[[Rule], _Said]
    events: bool = True  # whether it is a question to events, so that what these lack is worth a note


def translate(rule: Rule, targets: Sequence[str]) -> Sheet:
    """The rule in these languages, in the order of `TARGETS`; each name must be one of them."""
    return Sheet(rule=rule, translations=tuple(_translated(rule, name, target) for name, target in TARGETS.items() if name in targets))


def _translated(rule: Rule, name: str, target: _Target) -> Translation:
    try:
        said = target.say(rule)
    except NotExpressible as error:
        return Translation(target=name, title=target.title, fence=target.fence, refused=str(error), traps=traps.of_correlation(rule))
    notes = (*said.notes, *(_lacks(rule) if target.events else ()))
    return Translation(target=name, title=target.title, fence=target.fence, text=said.text, notes=notes, traps=said.traps)


def _lacks(rule: Rule) -> Iterator[str]:
    """What the rule's events do not have, whatever the language."""
    if rule.language != LANGUAGE or rule.pattern is not None or rule.not_evaluated:
        return
    found = parts(rule.logic)
    for part in found:
        schemas = [fields_of(part.channel, number) for number in part.event_ids]
        known = [schema for schema in schemas if schema is not None]
        if not known or len(known) < len(schemas):
            continue
        lacking = sorted(fields_asked(part.node) - frozenset().union(*known))
        written = [each for each in _written(rule) if key_of(each) in lacking]
        if written:
            ids = ", ".join(map(str, part.event_ids))
            yield f"{provider_of(part.channel)} {ids} has no {', '.join(written)}: rows that the rule finds by these are lost there."
    if found and all(fold(part.channel) == fold(SYSMON) for part in found):
        yield "Sysmon's events alone are asked: hosts without it are not seen."


def _written(rule: Rule) -> list[str]:
    """Fields as the rule's tree writes them."""
    return sorted({each.field for each in tests(rule.logic) if isinstance(each, Test) and each.field is not None})


# --- what each language is told -------------------------------------------------------------------------------------------


def _source(rule: Rule) -> _Said:
    repaired = rule.elastic.repaired if rule.elastic is not None else ""
    return _Said(text=rule.definition.strip("\n"), notes=(f"Loaded after a repair: {repaired}.",) if repaired else ())


def _either(query: backends.Query) -> str:
    """One query for all variants."""
    return query.variants[0] if len(query.variants) == 1 else " OR ".join(f"({text})" for text in query.variants)


def _es_qs(rule: Rule) -> _Said:
    if rule.elastic is not None and elastic_table(rule).get("language") == "lucene" and elastic_table(rule).get("query"):
        return _Said(text=str(elastic_table(rule)["query"]).strip(), notes=("The rule's own query.",))
    query = backends.lucene_over_ecs(rule)
    return _Said(text=_either(query), notes=tuple(_lucene_notes(query)), traps=tuple(traps.of_lucene(rule, query)))


def _lucene_notes(query: backends.Query) -> Iterator[str]:
    yield "For fields as winlogbeat 7 and later, and Elastic Agent, store them."
    own = sorted({each.name for each in query.asked if each.name.startswith("winlog.event_data.")})
    if own:
        yield f"No ECS field is known for {', '.join(name.removeprefix('winlog.event_data.') for name in own)}: asked in winlog.event_data."
    if "winlog.event_data.Data" in own:
        yield "winlogbeat has no `Data`: a classic event's unnamed strings are param1, param2 ... there, or parsed."
    if analysed := sorted({each.name for each in query.asked} & ANALYSED):
        yield f"winlogbeat maps {', '.join(analysed)} as analysed text, where patterns meet single words: map it as wildcard."
    if "user" in query.did:
        yield "Sysmon's `User` is stored as user.domain and user.name: both are asked, and not user.name for the whole."
    if "hashes" in query.did:
        yield "`Hashes` is asked as a list and as the single hash that winlogbeat makes of it; those are in lower case."
    if "regex" in query.did:
        yield "Regular expressions are rewritten for Lucene, which fits whole values and has no anchors."
    if query.keywords:
        yield "A keyword is looked for in the index's default fields."


def _xpack_watcher(rule: Rule) -> _Said:
    query = _es_qs(rule)
    return _Said(text=watch.watch(rule, description(rule), query.text), notes=(*watch.NOTES, *query.notes), traps=query.traps)


def _graylog(rule: Rule) -> _Said:
    query = backends.lucene_as_it_is(rule)
    text = _either(query)
    notes = ["There is no Graylog converter: this is Lucene over the event's own field names, to be renamed as your inputs name them."]
    if ":*" in text or "(*" in text or "OR *" in text:
        notes.append("It has wildcards at the start of values: set allow_leading_wildcard_searches in Graylog.")
    notes.append("Letters are compared as the index was analysed; keyword fields mind their case.")
    return _Said(text=text, notes=tuple(notes))


def _splunk(rule: Rule) -> _Said:
    query = backends.splunk(rule)
    notes = ["For the Windows add-on's field names; where events are rendered as XML the source begins with XmlWinEventLog."]
    texts = query.variants
    if any("\n| where " in text for text in texts):
        notes.append("Fields are compared with each other with regard to case.")
    if len(texts) > 1 and any("\n|" in text for text in texts):
        notes.append("Its variants are searches of their own, because they filter behind the search.")
        return _Said(text="| multisearch\n" + "\n".join(f"    [search {text}]" for text in texts), notes=tuple(notes))
    return _Said(text=_either(query), notes=tuple(notes))


def _logpoint(rule: Rule) -> _Said:
    query = backends.logpoint(rule)
    notes = ["For Logpoint's taxonomy as pySigma's pipeline maps it; fields that it does not know are in snake case."]
    texts = query.variants
    if len(texts) > 1 and any("|" in text for text in texts):
        notes.append("Its variants are queries of their own, one a line, because they filter behind the search.")
        return _Said(text="\n".join(texts), notes=tuple(notes))
    return _Said(text=_either(query), notes=tuple(notes))


def _plain(write: Callable[[Rule], tuple[str, tuple[str, ...]]]) -> Callable[[Rule], _Said]:
    def say(rule: Rule) -> _Said:
        text, notes = write(rule)
        return _Said(text=text, notes=notes)

    return say


def _eql(rule: Rule) -> _Said:
    if rule.elastic is not None:
        table = elastic_table(rule)
        if rule.elastic.kind != "eql":
            return _Said(text=_printed(rule), notes=(f"Made of the rule's {table.get('language', 'query')}.",))
        return _Said(text=str(table["query"]).strip("\n"), notes=("The rule's own query.",))
    if rule.language != LANGUAGE:
        return _Said(text=_printed(rule))
    text, notes, names = eql(rule)
    if analysed := sorted(names & ANALYSED):
        notes = (*notes, f"EQL takes no analysed text, as winlogbeat maps {', '.join(analysed)}: map it as wildcard.")
    return _Said(text=text, notes=notes, traps=tuple(traps.of_eql(rule, names)))


def _printed(rule: Rule) -> str:
    """The tree of a rule that reads ECS fields, as EQL. Raises `NotExpressible`."""
    if rule.not_evaluated:
        raise NotExpressible(f"the rule has no tree: {rule.not_evaluated}")
    try:
        return print_eql(Query(logic=rule.logic, pattern=rule.pattern))
    except Unprintable as error:
        raise NotExpressible(f"EQL has no word for it: {error}") from error


def _detection_rule(rule: Rule) -> _Said:
    if rule.elastic is not None:
        return _Said(text=detection_rule.of_elastic(rule), notes=("The rule's own fields; it is imported switched off.",))
    notes = ["It is imported switched off."]
    try:
        query, language = _eql(rule), "eql"
    except NotExpressible as error:
        notes.append(f"Its query is Lucene, because EQL cannot say it: {error}.")
        query, language = _es_qs(rule), "lucene"
    text = detection_rule.of_query(rule, language=language, query=query.text)
    return _Said(text=text, notes=(*notes, *query.notes), traps=(*query.traps, *traps.of_detection_rule(rule)))


def _elastalert(rule: Rule) -> _Said:
    if rule.pattern is not None:
        raise NotExpressible("the rule is about several events together, which ElastAlert2 cannot look for (sequences of EQL crash it)")
    filter, notes, names = es_filter(rule)
    if also := sorted(names & ALSO.keys()):
        places = ", ".join(name for each in also for name in (ALSO[each][0], *(ALSO[each][-1:] if len(ALSO[each]) > 1 else ())))
        notes = (*notes, f"{', '.join(also)}: asked in {places} too, since winlogbeat maps it as analysed text.")
    text = elastalert.rule_file(rule, description(rule), filter)
    return _Said(text=text, notes=(*elastalert.NOTES, *notes), traps=tuple(traps.of_filter(rule)) if rule.language == LANGUAGE else ())


TARGETS: Mapping[str, _Target] = {
    "source": _Target(title="The rule", fence="", say=_source, events=False),
    "powershell": _Target(title="PowerShell (Get-WinEvent)", fence="powershell", say=_plain(powershell)),
    "es-qs": _Target(title="Elasticsearch query string", fence="", say=_es_qs),
    "xpack-watcher": _Target(title="Elasticsearch watch", fence="sh", say=_xpack_watcher),
    "graylog": _Target(title="Graylog", fence="", say=_graylog),
    "splunk": _Target(title="Splunk", fence="", say=_splunk),
    "logpoint": _Target(title="Logpoint", fence="", say=_logpoint),
    "grep": _Target(title="grep over JSON lines", fence="sh", say=_plain(grep)),
    "eql": _Target(title="EQL", fence="", say=_eql),
    "spark-sql": _Target(title="Spark SQL", fence="sql", say=_plain(spark_sql)),
    "elastalert": _Target(title="ElastAlert2 rule", fence="yaml", say=_elastalert),
    "elastic-rule": _Target(title="Elastic Security rule (NDJSON)", fence="json", say=_detection_rule),
}
"""By the name that people choose them by."""
