"""Elasticsearch over the wire: the official client, many searches in one request, and everything that can go wrong in our own words.

Nothing is tried twice here: what may be tried again is raised as `SiemUnavailable`, with the pause that the server asked for, and the
engine's retries are the only ones. It must never know what is searched for.
"""

from __future__ import annotations

import logging
import ssl
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeAlias

from elastic_transport import ConnectionTimeout as ElasticTimeout
from elastic_transport import NodeConfig, RequestsHttpNode
from elastic_transport import SerializationError as ElasticSerializationError
from elastic_transport import TlsError as ElasticTlsError
from elastic_transport import TransportError as ElasticTransportError
from elasticsearch import ApiError, BadRequestError, Elasticsearch, NotFoundError, UnsupportedProductError

from harness.errors import Problem, SiemDenied, SiemError, SiemUnavailable, UsageError

_log = logging.getLogger("harness.siem.elastic")

PAGE = 1000
"""Hits in one answer. A search that fills it is read on page by page, from one point in time."""

_MOST_HITS = 200_000
_KEEP_ALIVE = "1m"
_LATER = frozenset({408, 429, 502, 503, 504})
_LONGEST_REASON = 300

# Of templates that fit the same index the highest counts; Elastic's own have up to 200.
_PRIORITY = 500

# Why a document that is there may not be fetched just now; for whatever else, it is not there for us.
_AWAY = frozenset(
    {
        "circuit_breaking_exception",
        "es_rejected_execution_exception",
        "no_shard_available_action_exception",
        "unavailable_shards_exception",
    }
)

Hit: TypeAlias = Mapping[str, Any]
Reference: TypeAlias = tuple[str, str]
"""A document's index and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How Elasticsearch is reached: `urls` of its nodes, or the id of an Elastic Cloud deployment; one way to authenticate, or none.

    `fingerprint` is the SHA-256 of a certificate in the chain, in hex. `timeout` is what one request may take, in seconds.
    """

    urls: tuple[str, ...] = ()
    cloud_id: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    ca_file: str = ""
    fingerprint: str = ""
    verify: bool = True
    proxy: str = ""
    timeout: float = 10.0

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be in any text, as it is and as it travels."""
        basic = b64encode(f"{self.user}:{self.password}".encode()).decode() if self.password else ""
        return tuple(secret for secret in (self.password, self.api_key, self.bearer, basic) if secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search among others. `sort` is a field that holds dates; `size` 0 asks for aggregations alone.

    `whole`: every hit is wanted, however many. Else the first `size`, newest first. `fields`: these are wanted, each as a list of values,
    instead of the documents. `optional`: where the server refuses this search for what it asks (400), the others' answers count.
    """

    index: str
    query: Mapping[str, Any]
    sort: str = "@timestamp"
    size: int = PAGE
    whole: bool = True
    aggregations: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    optional: bool = False

    def body(self) -> dict[str, Any]:
        """What is sent."""
        body: dict[str, Any] = {"query": self.query, "size": self.size, "track_total_hits": False}
        if self.size:
            order = "asc" if self.whole else "desc"
            body["sort"] = [{self.sort: {"order": order, "unmapped_type": "date", "format": "strict_date_optional_time_nanos"}}]
        if self.fields:
            body |= {"_source": False, "fields": list(self.fields)}
        if self.aggregations:
            body["aggs"] = self.aggregations
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a search found, over how many shards: none where no index has such a name. `refused` is why an optional one was not made."""

    hits: Sequence[Hit]
    aggregations: Mapping[str, Any]
    shards: int
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a document: it is there; else why not, and whether it may be tried again or is not allowed."""

    there: bool
    later: bool
    denied: bool
    why: str


class Wire:
    """A connection to one Elasticsearch. Not shared between threads. Every method raises `SiemError`."""

    def __init__(self, connection: Connection) -> None:
        """Connects nowhere yet. Raises `UsageError` where what the connection names cannot be used."""
        self._secrets = connection.secrets
        # The client's own log repeats what servers answer, whole, and they may repeat what we said.
        logging.getLogger("elastic_transport").setLevel(logging.WARNING)
        try:
            if connection.ca_file:
                ssl.create_default_context(cafile=connection.ca_file)
            self._client = _client(connection)
        except OSError as error:
            what = f"siem.ca_file {connection.ca_file} cannot be used: {error.strerror or type(error).__name__}"
            raise UsageError(Problem(path="", what=what)) from None
        except ValueError as error:
            raise UsageError(Problem(path="", what=f"[siem] cannot be used: {self._clean(str(error))}")) from None

    def search(self, searches: Sequence[Search]) -> list[Answer]:
        """All of them in one request, but for the further pages of those that find more than a page."""
        with self._mapped():
            answers = self._first_pages(searches)
        return [
            self._pages(search) if search.whole and search.size and len(answer.hits) >= search.size else answer
            for search, answer in zip(searches, answers, strict=True)
        ]

    def documents(self, references: Sequence[Reference]) -> Mapping[Reference, Hit]:
        """Those of these documents that are there and may be read, in one request."""
        if not references:
            return {}
        with self._mapped():
            found = self._client.mget(docs=[{"_index": index, "_id": id} for index, id in references]).body["docs"]
            for document in found:
                if document.get("error", {}).get("type") in _AWAY:
                    raise SiemUnavailable(f"Elasticsearch cannot fetch a document now{self._clean(_reason(document['error']))}")
            return {(document["_index"], document["_id"]): document for document in found if document.get("found")}

    def field_types(self, index: str) -> Mapping[str, frozenset[str]]:
        """Every field that the mappings of these indices have, and the types that it has there."""
        with self._mapped():
            fields = self._client.field_caps(index=index, fields="*", ignore_unavailable=True).body["fields"]
            return {name: frozenset(types) for name, types in fields.items()}

    def version(self) -> str:
        """The server's version; empty where it does not tell: whoever may search need not be told that."""
        try:
            with self._mapped():
                return str(self._client.info().body["version"]["number"])
        except SiemError:
            return ""

    def write(self, index: str, documents: Sequence[tuple[str, Mapping[str, Any]]]) -> Sequence[Written]:
        """Put documents, each under its id, in one request; what became of each. One that is there already stays as it is."""
        with self._mapped():
            operations = [line for id, document in documents for line in ({"create": {"_id": id}}, document)]
            items = self._client.bulk(index=index, operations=operations).body["items"]
            if len(items) != len(documents):
                raise ValueError("the number of items is not that of documents")
            return [self._written(item["create"]) for item in items]

    def make_index(self, index: str, mappings: Sequence[Mapping[str, Any]]) -> None:
        """Make an index, and a template for it, with the first of these mappings that the server can have. One that is there stays."""
        with self._mapped():
            if self._client.indices.exists(index=index):
                return
            name = f"purple-harness-{index}"
            *better, plain = mappings
            for mapping in better:
                try:
                    self._put_template(name, index, mapping)
                    break
                except BadRequestError:
                    continue  # a type of field that this server does not have
            else:
                self._put_template(name, index, plain)
            try:
                self._client.indices.create(index=index)
            except BadRequestError as error:
                if error.error != "resource_already_exists_exception":  # another run was first
                    raise

    def _put_template(self, name: str, index: str, mapping: Mapping[str, Any]) -> None:
        # A value that its field cannot hold (a text that is no address) is kept and not searched for: no event is refused for it.
        template = {"mappings": mapping, "settings": {"index.number_of_replicas": 0, "index.mapping.ignore_malformed": True}}
        self._client.indices.put_index_template(name=name, index_patterns=[index], priority=_PRIORITY, template=template)

    def _written(self, item: Mapping[str, Any]) -> Written:
        status = int(item["status"])
        there = status < 300 or status == 409
        return Written(there=there, later=status in _LATER, denied=status in (401, 403), why="" if there else self._refusal(status, item))

    def _refusal(self, status: int, item: Mapping[str, Any]) -> str:
        # Not the whole reason: it may repeat the document.
        return self._clean(f"{status}, {item.get('error', {}).get('type', 'no reason given')}")

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _first_pages(self, searches: Sequence[Search]) -> list[Answer]:
        """All of them in one request. Where the server refuses that as a whole, for one that it cannot parse, the one is found by halves:
        first those that must be answered are parted from the optional ones."""
        lines: list[Mapping[str, Any]] = []
        for search in searches:
            lines += [{"index": search.index, "ignore_unavailable": True, "allow_partial_search_results": False}, search.body()]
        try:
            responses = self._client.msearch(searches=lines).body["responses"]
        except BadRequestError as error:
            optional = [number for number, search in enumerate(searches) if search.optional]
            if not optional:
                raise
            if len(searches) == 1:
                return [_refused(self._api_failure(error))]
            needed = [number for number, search in enumerate(searches) if not search.optional]
            middle = len(optional) // 2
            found: dict[int, Answer] = {}
            for part in (needed, optional) if needed else (optional[:middle], optional[middle:]):
                found |= zip(part, self._first_pages([searches[number] for number in part]), strict=True)
            return [found[number] for number in range(len(searches))]
        if len(responses) != len(searches):
            raise ValueError("the number of responses is not that of searches")
        return [self._tolerated(search, partial(self._answer, response)) for search, response in zip(searches, responses, strict=True)]

    def _tolerated(self, search: Search, ask: Callable[[], Answer]) -> Answer:
        """The answer; of an optional search also why there is none, where that is for what it asks."""
        try:
            return ask()
        except SiemError as error:
            if not search.optional or isinstance(error, SiemDenied | SiemUnavailable):
                raise
            return _refused(error)

    def _answer(self, response: Mapping[str, Any]) -> Answer:
        if "error" in response:
            raise self._failure(int(response.get("status", 0)), response["error"], None)
        shards = response["_shards"]
        if shards["failed"] or response["timed_out"]:
            (first, *_) = shards.get("failures") or [{}]
            raise self._failure(int(first.get("status", 503)), first.get("reason", {"type": "only a part was searched"}), None)
        return Answer(hits=response["hits"]["hits"], aggregations=response.get("aggregations", {}), shards=shards["total"])

    def _pages(self, search: Search) -> Answer:
        def ask() -> Answer:
            with self._mapped():
                try:
                    return self._whole(search)
                except NotFoundError:  # its node was restarted, or an index removed: the same may be asked anew
                    raise SiemUnavailable("Elasticsearch lost the point in time that pages were read from") from None

        return self._tolerated(search, ask)

    def _whole(self, search: Search) -> Answer:
        """Every page of one search, of one moment, so that what is written meanwhile neither doubles nor hides a hit."""
        point = self._client.open_point_in_time(index=search.index, keep_alive=_KEEP_ALIVE, ignore_unavailable=True).body["id"]
        hits: list[Hit] = []
        aggregations: Mapping[str, Any] = {}
        shards = 0
        after: dict[str, Any] = {}
        try:
            while True:
                body = search.body() | {"pit": {"id": point, "keep_alive": _KEEP_ALIVE}} | after
                response = self._client.search(body=body, allow_partial_search_results=False).body
                point = response.get("pit_id", point)
                answer = self._answer(response)
                hits += answer.hits
                aggregations, shards = answer.aggregations or aggregations, answer.shards
                if len(answer.hits) < search.size:
                    return Answer(hits=hits, aggregations=aggregations, shards=shards)
                if len(hits) >= _MOST_HITS:
                    raise SiemError(f"{search.index} has more than {_MOST_HITS} documents for this run: name narrower indices")
                after = {"search_after": answer.hits[-1]["sort"]}
        finally:
            self._forget(point)

    def _forget(self, point: str) -> None:
        try:
            self._client.close_point_in_time(id=point)
        except (ApiError, ElasticTransportError) as error:
            _log.debug("a point in time was not closed, it ends by itself: %s", type(error).__name__)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Whatever the client raises, in the words of `harness.errors`. Not chained: the client's errors hold requests and bodies."""
        try:
            # The server's advice to its administrators (deprecations, missing security) is not ours to print.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except UnsupportedProductError:
            raise SiemError("what answers is not an Elasticsearch that this program can ask") from None
        except ApiError as error:
            raise self._api_failure(error) from None
        except ElasticTlsError as error:
            text = str(error.message)
            if "CERTIFICATE_VERIFY_FAILED" in text or "Fingerprints did not match" in text:
                why = "the server's certificate is not trusted: name its CA in siem.ca_file, or its siem.fingerprint"
                raise SiemError(f"{why} ({self._clean(text)})") from None
            raise SiemUnavailable(f"TLS with Elasticsearch failed: {self._clean(text)}") from None
        except ElasticTimeout:
            raise SiemUnavailable("Elasticsearch did not answer in time") from None
        except ElasticSerializationError:
            raise SiemUnavailable("Elasticsearch's answer is cut short or no JSON") from None
        except ElasticTransportError as error:
            raise SiemUnavailable(f"Elasticsearch cannot be reached: {self._clean(str(error.message))}") from None
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise SiemUnavailable(f"what answers does not answer as Elasticsearch does ({type(error).__name__})") from None

    def _api_failure(self, error: ApiError) -> SiemError:
        reason = error.body.get("error", "") if isinstance(error.body, Mapping) else ""
        return self._failure(error.meta.status, reason, error.meta.headers.get("retry-after"))

    def _failure(self, status: int, reason: object, retry_after: str | None) -> SiemError:
        text = self._clean(_reason(reason))
        match status:
            case 401:
                return SiemDenied(f"Elasticsearch does not accept the credentials (401{text})")
            case 403:
                return SiemDenied(f"Elasticsearch does not allow it (403{text})")
        if status in _LATER:
            pause = _seconds(retry_after)
            text += f", to be asked again in {pause:g} s" if pause else ""
            return SiemUnavailable(f"Elasticsearch cannot answer now ({status}{text})", retry_after=pause)
        return SiemError(f"Elasticsearch refused the request ({status}{text})")

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def _refused(error: SiemError) -> Answer:
    return Answer(hits=(), aggregations={}, shards=0, refused=str(error))


def _client(connection: Connection) -> Elasticsearch:
    options: dict[str, Any] = {
        "request_timeout": connection.timeout,
        "max_retries": 0,
        "retry_on_timeout": False,
        "retry_on_status": (),
        "http_compress": True,
    }
    options |= {"cloud_id": connection.cloud_id} if connection.cloud_id else {"hosts": list(connection.urls)}
    if connection.cloud_id or any(url.startswith("https:") for url in connection.urls):
        options |= {"verify_certs": connection.verify, "ssl_show_warn": False}
        if connection.ca_file:
            options["ca_certs"] = connection.ca_file
        if connection.fingerprint:
            options["ssl_assert_fingerprint"] = connection.fingerprint
    if connection.user:
        options["basic_auth"] = (connection.user, connection.password)
    elif connection.api_key:
        options["api_key"] = connection.api_key
    elif connection.bearer:
        options["bearer_auth"] = connection.bearer
    if connection.proxy:
        options["node_class"] = _through(connection.proxy)
    return Elasticsearch(**options)


def _through(proxy: str) -> type[RequestsHttpNode]:
    """A node that is reached through a proxy: the client's default kind knows none."""

    class Node(RequestsHttpNode):
        def __init__(self, config: NodeConfig) -> None:
            super().__init__(config)
            self.session.proxies = {"http": proxy, "https": proxy}
            self.session.trust_env = False
            if config.ssl_assert_fingerprint:
                _pin(self.session.get_adapter(self.base_url), config.ssl_assert_fingerprint)

    return Node


def _pin(adapter: Any, fingerprint: str) -> None:
    """Hold certificates against the fingerprint through a proxy too: the client does so on direct connections, and here trusts any."""
    unpinned, pools = adapter.proxy_manager_for, adapter.poolmanager.pool_classes_by_scheme

    def pinned(proxy: str, **options: Any) -> Any:
        manager = unpinned(proxy, **options, assert_fingerprint=fingerprint, cert_reqs="CERT_NONE", assert_hostname=False)
        manager.pool_classes_by_scheme = pools
        return manager

    adapter.proxy_manager_for = pinned


def _reason(reason: object) -> str:
    """What Elasticsearch says of a failure, by its kind and cause; nothing of what is not in its form."""
    if isinstance(reason, Mapping):
        causes = reason.get("root_cause")
        cause = causes[0] if isinstance(causes, list) and causes and isinstance(causes[0], Mapping) else reason
        parts = [str(part) for part in (cause.get("type"), cause.get("reason")) if part]
        return "".join(f", {part}" for part in parts)
    return ""


def _seconds(retry_after: str | None) -> float:
    """Retry-After, which is a number of seconds or a date; 0 where there is none that can be understood."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
