"""Settings: harness.toml, overruled by the environment, overruled by flags, as one frozen value; and secrets, by reference only.

A key of `[section]` is also the variable `HARNESS_SECTION_KEY` and the flag `section.key`:

    [scope]   hosts (comma between entries), expires
    [siem]    kind; embedded: path; elasticsearch: url (comma between nodes) or cloud_id, user and password, api_key or bearer, ca_file,
              fingerprint, verify, proxy, timeout, events, alerts (commas), writeback, space, ingest_lag, rule_interval
    [lab]     user, account_password, auth, tls, schemes (commas), allow_unencrypted, keytab, access (a table a host), ingest_delay,
              rule_interval, look_back, schedule, off (commas), disabled (commas), exceptions, hosts (a number, or names with commas),
              index, max_shells, state_file
    [rules]   paths (the system's path separator between entries)
    [run]     poll_interval, grace, siem_timeout, connect_timeout
    [history] path, keep, flaky
    [[quarantine]]  rule, scenario, target, until, reason      [[objective]]  rule, within, p95
    [[target]]  name, host, port, tls, auth, user, password, computer, seen_from, ca_file, verify, certificate, certificate_key,
              certificate_key_password, encryption, spn, delegate, proxy, connect_timeout, operation_timeout, locale: in the file alone,
              since they have no one name

Paths and `file:` references in the file are relative to the file. `HARNESS_CONFIG` names the file; without it `harness.toml` of the
working directory is read where there is one. This module must never connect anywhere, nor print, nor know what a setting is for.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from harness import key_meanings
from harness.documents import Document, Loc, Place, parse_toml, read_text
from harness.errors import Problem, UsageError
from harness.events.audit import SETTINGS
from harness.fields import (
    Day,
    Duration,
    Entry,
    HyphenId,
    Omittable,
    PositiveDuration,
    RuleId,
    Shape,
    Text,
    check,
    nearest,
    schema_of,
    wrong,
)
from harness.model.changes import Flaky
from harness.model.intent import About, Auth, Channel, Encryption, Objective, Quarantine, Target, Terms
from harness.scope import Scope, fold_name, parse_address, parse_entry

_log = logging.getLogger("harness.settings")

DEFAULT_FILE = Path("harness.toml")
SCHEMES = ("env:", "file:", "keyring:")
_MAX_SECRET_BYTES = 64 * 1024
_NEEDS_PASSWORD = frozenset({Auth.BASIC, Auth.NTLM, Auth.NEGOTIATE, Auth.CREDSSP})


# --- what others see ------------------------------------------------------------------------------------------------------


class Secret:
    """A secret that shows itself to nobody who does not ask by name. It cannot be pickled, copied into a report or formatted."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not to be serialised")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """A target, how it is spoken to, and references (`env:`, `file:` or `keyring:`) to its password, None where a ticket or a certificate
    does, and to what opens the certificate's key."""

    target: Target
    password: str | None
    channel: Channel = field(default_factory=Channel)
    key_password: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiemSettings:
    """The embedded SIEM: `path` is its store."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticsearchSettings:
    """An Elasticsearch as the SIEM: how to reach it, where events are, and which detection engines leave alerts there.

    `urls` of its nodes, or `cloud_id`. `password`, `api_key` and `bearer` are references. `events` are patterns of indices; `alerts` name
    alert sources, and "probe", which asks the queries of rules that none of them runs; `writeback` is ElastAlert2's writeback_index,
    `space` the Kibana space of Elastic Security. `ingest_lag` and `rule_interval` are promised, and stand while nothing is measured.
    """

    urls: tuple[str, ...] = ()
    cloud_id: str = ""
    user: str = ""
    password: str | None = None
    api_key: str | None = None
    bearer: str | None = None
    ca_file: Path | None = None
    fingerprint: str = ""
    verify: bool = True
    proxy: str = ""
    timeout: timedelta = timedelta(seconds=10)
    events: tuple[str, ...] = ("winlogbeat-*", "logs-endpoint.events.*", "logs-windows.*", "logs-system.security-*")
    alerts: tuple[str, ...] = ("elastalert2",)
    writeback: str = "elastalert"
    space: str = "default"
    ingest_lag: timedelta = timedelta(seconds=10)
    rule_interval: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabException:
    """An exception of the lab's rule engine: a rule raises no alert on an event whose fields have these values, with `*` and `?`."""

    rule: str
    name: str
    when: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabAccess:
    """How a host of the lab may be logged on to, and how the harness does.

    `schemes` (basic, negotiate, kerberos, credssp, certificate) and `allow_unencrypted` are the switches of Windows' WinRM service; `tls`
    adds a listener for HTTPS, and the harness takes that one. `auth` is how the harness logs on.
    """

    schemes: tuple[str, ...] = ("negotiate",)
    allow_unencrypted: bool = False
    tls: bool = False
    auth: Auth = Auth.NTLM


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSettings:
    """How the embedded lab is set up: its account and how that may log on, how late events become searchable, and its rule schedule.

    `account_password` is a reference; without one the lab makes one up. `access` is how every host is to be logged on to,
    `own_access` how some are, by name. `keytab` holds the keys of the hosts' service principals.
    `hosts` are their computers' names. `schedule_running` False leaves the rule engine standing still; it does not run the rules
    `disabled`, and raises no alert that one of the `exceptions` holds back. `off` are settings of logging that the hosts lack: names of
    `harness.events.audit.SETTINGS`, or "agent"; after a target's name and a slash they hold for that host alone.
    `max_shells` is how many shells one user may have at once on a host. `index` is where its events go in an Elasticsearch. `state_file`
    tells other processes of a kept lab; None leaves its place to the lab.
    """

    user: str = "purple"
    account_password: str | None = None
    access: LabAccess = field(default_factory=lambda: LabAccess())
    own_access: Mapping[str, LabAccess] = field(default_factory=dict)
    keytab: Path | None = None
    ingest_delay: timedelta = timedelta(milliseconds=300)
    rule_interval: timedelta = timedelta(seconds=1)
    look_back: timedelta = timedelta(minutes=5)
    schedule_running: bool = True
    disabled: tuple[str, ...] = ()
    exceptions: tuple[LabException, ...] = ()
    hosts: tuple[str, ...] = ("ws1", "ws2")
    off: tuple[str, ...] = ()
    index: str = "winlogbeat-lab"
    max_shells: int = 30
    state_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """A run's pace: how often the SIEM is asked, what is waited beyond an expectation's `within`, and how long a silent SIEM and a
    target's port, in all tries together, are put up with.
    """

    poll_interval: timedelta = timedelta(milliseconds=250)
    grace: timedelta = timedelta(seconds=2)
    siem_timeout: timedelta = timedelta(seconds=30)
    connect_timeout: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """Where runs are kept (None: the user's own file), how many of them (None: all), and from how many turns within how many of the last
    runs on an expectation is flaky."""

    path: Path | None = None
    keep: int | None = None
    flaky: Flaky = field(default_factory=Flaky)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that was configured. `file` is the settings file that was read; `rules` is empty where none were named."""

    file: Path | None = None
    scope: Scope | None = None
    targets: tuple[TargetSettings, ...] = ()
    siem: SiemSettings | ElasticsearchSettings | None = None
    lab: LabSettings = field(default_factory=LabSettings)
    rules: tuple[Path, ...] = ()
    run: RunSettings = field(default_factory=RunSettings)
    history: HistorySettings = field(default_factory=HistorySettings)
    terms: Terms = field(default_factory=Terms)


# --- the file's shape -----------------------------------------------------------------------------------------------------


def _reference(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(SCHEMES) or not value.partition(":")[2].strip():
        raise wrong("reference", "must be a reference, never the secret itself", "write env:NAME, file:PATH or keyring:SERVICE/USER")
    if value.startswith("keyring:") and not all(value.removeprefix("keyring:").rpartition("/")[::2]):
        raise wrong("reference", "does not name a keyring's entry", "write keyring:SERVICE/USER")
    return value


def _scope_entry(value: str) -> str:
    try:
        parse_entry(value)
    except ValueError as error:
        raise wrong("scope", f"is no name, address or network: {error}") from None
    return value


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _switch(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        wrong_port = parts.port == 0
    except ValueError:
        raise wrong("url", "is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or wrong_port or parts.query or parts.fragment:
        raise wrong("url", "must be a URL of a server", "write it as https://siem.lab.example:9200")
    if parts.username is not None or parts.password is not None:
        raise wrong("url", "must bear no credentials", "user, password, api_key and bearer are keys of their own")
    # The client wants every port to be told.
    return value if parts.port else f"{parts.scheme}://{parts.netloc}:{443 if parts.scheme == 'https' else 80}{parts.path}"


def _fingerprint(value: str) -> str:
    found = value.replace(":", "").lower()
    if re.fullmatch(r"[0-9a-f]{64}", found) is None:
        raise wrong("fingerprint", "is not the SHA-256 of a certificate", "openssl x509 -noout -fingerprint -sha256 -in ca.pem")
    return found


Reference = Annotated[str, BeforeValidator(_reference), WithJsonSchema({"type": "string", "pattern": "^(env|file|keyring):.+$"})]
TargetName = Annotated[str, Shape(expression=r"[A-Za-z0-9][A-Za-z0-9._-]*", wanted="a word of letters, digits, dots and hyphens")]
ScopeEntry = Annotated[Text, AfterValidator(_scope_entry)]
Url = Annotated[Text, AfterValidator(_url)]
IndexPattern = Annotated[
    str,
    Shape(expression=r"[a-z0-9.*][a-z0-9._*:-]*", wanted="an index, or a pattern of indices"),
]
PathText = Annotated[str, Field(strict=True, min_length=1)]


class _Scope(Entry):
    """What may be touched: without it nothing is sent to anything but the embedded lab."""

    hosts: Annotated[tuple[ScopeEntry, ...], Field(min_length=1)]
    expires: Day


class _Target(Entry):
    """A machine that may be detonated on."""

    name: TargetName
    host: Text
    port: Annotated[int | None, Omittable(), Field(strict=True, ge=1, le=65535)] = None
    tls: Annotated[bool, Field(strict=True)] = False
    auth: Auth = Auth.NEGOTIATE
    user: Annotated[Text | None, Omittable()] = None
    password: Annotated[Reference | None, Omittable()] = None
    computer: Annotated[Text | None, Omittable()] = None
    seen_from: Annotated[Text | None, Omittable()] = None
    ca_file: Annotated[PathText | None, Omittable()] = None
    verify: Annotated[bool, Field(strict=True, description="false: whoever answers is trusted.")] = True
    certificate: Annotated[PathText | None, Omittable()] = None
    certificate_key: Annotated[PathText | None, Omittable()] = None
    certificate_key_password: Annotated[Reference | None, Omittable()] = None
    encryption: Annotated[Encryption, Field(description="Of messages, besides TLS; auto: where there is no TLS.")] = Encryption.AUTO
    spn: Annotated[
        str | None, Omittable(), Shape(expression=r"[A-Za-z]+/[^\s/@]+", wanted="a service and a host: HTTP/ws6.lab.example")
    ] = None
    delegate: Annotated[bool, Field(strict=True, description="Hand a forwardable Kerberos ticket to the target.")] = False
    proxy: Annotated[Url | None, Omittable()] = None
    connect_timeout: Annotated[PositiveDuration | None, Omittable()] = None
    operation_timeout: Annotated[PositiveDuration | None, Omittable()] = None
    locale: Annotated[str, Shape(expression=r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", wanted="a language as in en-US")] = "en-US"

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        if "://" in value:
            raise wrong("host", "must be a name or address, not a URL", "port and tls are keys of their own")
        if parse_address(value) is None:
            try:
                fold_name(value)
            except ValueError:
                raise wrong("host", "is neither a host name nor an address", "the port is a key of its own") from None
            return value
        return value.strip().removeprefix("[").removesuffix("]")

    @field_validator("seen_from")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise wrong("address", "is not an address") from None
        return value

    @field_validator("proxy")
    @classmethod
    def _plain_proxy(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("http://"):
            raise wrong("proxy", "must be an HTTP proxy", "write it as http://proxy.lab.example:3128")
        return value

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.auth in _NEEDS_PASSWORD:
            for key in ("user", "password"):
                if getattr(self, key) is None:
                    raise wrong("credentials", f"needs {key!r} for auth {self.auth.value!r}")
        if self.auth is Auth.KERBEROS and self.password is not None and self.user is None:
            raise wrong("credentials", "needs 'user' for its password", "without both the ticket in the credential cache is used")
        if self.auth is Auth.CERTIFICATE:
            for key in ("certificate", "certificate_key"):
                if getattr(self, key) is None:
                    raise wrong("credentials", f"needs {key!r} for auth 'certificate'", "a PEM file")
            if not self.tls:
                raise wrong("tls", "is 'certificate' without TLS, where none can be shown", "tls = true", at="auth")
            if self.password is not None:
                raise wrong("credentials", "has no meaning for auth 'certificate'", "the key's is certificate_key_password", at="password")
        else:
            for key in ("certificate", "certificate_key", "certificate_key_password"):
                if getattr(self, key) is not None:
                    raise wrong("credentials", f"has no meaning for auth {self.auth.value!r}", 'auth = "certificate"', at=key)
        return self

    @model_validator(mode="after")
    def _what_goes_together(self) -> Self:
        if self.auth is Auth.BASIC and not self.tls and self.encryption is not Encryption.NEVER:
            fix = 'tls = true; or encryption = "never", which says that the password may be read on the way'
            raise wrong("encryption", "is 'basic' without TLS, which shows the password to the network", fix, at="auth")
        if self.encryption is Encryption.ALWAYS and self.auth in (Auth.BASIC, Auth.CERTIFICATE):
            raise wrong(
                "encryption", f"cannot be had: auth {self.auth.value!r} yields no key for it", "leave it out: TLS does", at="encryption"
            )
        for key in ("ca_file", "verify"):
            if not self.tls and key in self.model_fields_set:
                raise wrong("tls", "is about the target's certificate, and there is none without TLS", "tls = true", at=key)
        if not self.verify and self.ca_file is not None:
            raise wrong("verify", "is false, yet there is a certificate to verify by", at="verify")
        for key in ("spn", "delegate"):
            if key in self.model_fields_set and self.auth not in (Auth.KERBEROS, Auth.NEGOTIATE):
                raise wrong("kerberos", f"is about Kerberos, and auth is {self.auth.value!r}", 'auth = "kerberos"', at=key)
        return self


class _Siem(Entry):
    """Which SIEM is asked."""

    kind: Literal["embedded", "elasticsearch"]
    path: Annotated[PathText | None, Omittable()] = None
    url: Annotated[tuple[Url, ...] | None, Omittable(), BeforeValidator(_several), Field(min_length=1)] = None
    cloud_id: Annotated[Text | None, Omittable()] = None
    user: Annotated[Text | None, Omittable()] = None
    password: Annotated[Reference | None, Omittable()] = None
    api_key: Annotated[Reference | None, Omittable()] = None
    bearer: Annotated[Reference | None, Omittable()] = None
    ca_file: Annotated[PathText | None, Omittable()] = None
    fingerprint: Annotated[Text | None, Omittable(), AfterValidator(_fingerprint)] = None
    verify: Annotated[bool | None, Omittable(), BeforeValidator(_switch), Field(strict=True)] = None
    proxy: Annotated[Url | None, Omittable()] = None
    timeout: Annotated[PositiveDuration | None, Omittable()] = None
    events: Annotated[tuple[IndexPattern, ...] | None, Omittable(), Field(min_length=1)] = None
    alerts: Annotated[
        tuple[Literal["elastalert2", "elastic-security", "watcher", "probe"], ...] | None, Omittable(), Field(min_length=1)
    ] = None
    writeback: Annotated[IndexPattern | None, Omittable()] = None
    space: Annotated[str | None, Omittable(), Shape(expression=r"[a-z0-9_-]+", wanted="the id of a Kibana space")] = None
    ingest_lag: Annotated[Duration | None, Omittable()] = None
    rule_interval: Annotated[PositiveDuration | None, Omittable()] = None

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> Self:
        for key in type(self).model_fields:
            if key != "kind" and (key == "path") is not (self.kind == "embedded") and getattr(self, key) is not None:
                raise wrong("key", f"is no key of kind {self.kind!r}", at=key)
        if self.kind == "embedded":
            if self.path is None:
                raise wrong("missing", "needs 'path' for kind 'embedded'")
            return self
        if (self.url is None) is (self.cloud_id is None):
            raise wrong("place", "needs 'url' or 'cloud_id', one of them, for kind 'elasticsearch'")
        if (self.user is None) is not (self.password is None):
            raise wrong("credentials", "needs 'user' and 'password' together")
        if sum(way is not None for way in (self.user, self.api_key, self.bearer)) > 1:
            raise wrong("credentials", "has several ways to authenticate", "keep user and password, or api_key, or bearer")
        if self.verify is False and (self.ca_file is not None or self.fingerprint is not None):
            raise wrong("verify", "is false, yet there is a certificate to verify by", at="verify")
        if self.ca_file is not None and self.fingerprint is not None:
            raise wrong("fingerprint", "stands beside 'ca_file'", "one of them", at="fingerprint")
        return self


MAX_HOSTS = 200
HostName = Annotated[
    str, Shape(expression=r"[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?", wanted="a computer's name in lower case, of 15 characters at the most")
]


def _counted_hosts(value: object) -> object:
    """So many hosts, or their names; a number may stand where names do, as it does in a variable of the environment."""
    if isinstance(value, list | tuple) and len(value) == 1 and str(value[0]).isdecimal():
        value = int(value[0])
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return tuple(f"ws{one}" for one in range(1, min(value, MAX_HOSTS + 1) + 1))


def _possible_hosts(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if value is not None and not 1 <= len(value) <= MAX_HOSTS:
        raise wrong("hosts", f"are {len(value)}", f"a lab has 1 to {MAX_HOSTS}")
    if value is not None and len(set(value)) < len(value):
        raise wrong("hosts", "names a host twice", "give each computer its own name")
    return value


def _logging_setting(value: str) -> str:
    name = value.rpartition("/")[2]
    known = (*SETTINGS, "agent")
    if name not in known:
        raise wrong("logging", f"{name!r} is no setting of a host's logging", nearest(name, known) or f"one of {', '.join(known)}")
    return value


class _Exception(Entry):
    """What keeps an alert of the lab's rule engine back."""

    rule: RuleId
    name: Text
    when: Annotated[dict[str, Annotated[str, Field(strict=True)]], Field(min_length=1)]


class _LabAccess(Entry):
    """How a host of the embedded lab may be logged on to, and how the harness does."""

    schemes: Annotated[
        tuple[Literal["basic", "negotiate", "kerberos", "credssp", "certificate"], ...] | None, Omittable(), Field(min_length=1)
    ] = None
    allow_unencrypted: Annotated[bool | None, Omittable(), BeforeValidator(_switch), Field(strict=True)] = None
    tls: Annotated[bool | None, Omittable(), BeforeValidator(_switch), Field(strict=True)] = None
    auth: Annotated[Auth | None, Omittable()] = None

    def over(self, usual: LabAccess) -> LabAccess:
        """The access that this makes of the usual one. A scheme that is asked to be used is on, unless `schemes` says otherwise."""
        auth = self.auth or (_usual_auth(self.schemes) if self.schemes is not None else usual.auth)
        schemes: tuple[str, ...] = self.schemes or tuple(dict.fromkeys([*usual.schemes, _SCHEME_OF[auth]]))
        return LabAccess(
            schemes=schemes,
            allow_unencrypted=usual.allow_unencrypted if self.allow_unencrypted is None else self.allow_unencrypted,
            tls=usual.tls if self.tls is None else self.tls,
            auth=auth,
        )


_SCHEME_OF: Mapping[Auth, str] = {
    Auth.NTLM: "negotiate",
    Auth.NEGOTIATE: "negotiate",
    Auth.KERBEROS: "kerberos",
    Auth.CREDSSP: "credssp",
    Auth.BASIC: "basic",
    Auth.CERTIFICATE: "certificate",
}


def _usual_auth(schemes: Sequence[str]) -> Auth:
    """How the harness logs on where it is not said: the first way, of those that hosts in the lab have most often, that is on."""
    return next(auth for auth, scheme in _SCHEME_OF.items() if scheme in schemes)


def _check_access(access: LabAccess, keytab: str | None, host: str = "") -> None:
    """Raises what pydantic takes for a validator's error, about all hosts or about one by name."""
    where, at = (f"of {host!r} ", "access") if host else ("", "")
    scheme = _SCHEME_OF[access.auth]
    if scheme not in access.schemes:
        raise wrong(
            "scheme", f"{where}has auth {access.auth.value!r}, and the scheme {scheme!r} is off", f"add {scheme!r} to schemes", at=at
        )
    if "certificate" in access.schemes and not access.tls:
        raise wrong("tls", f"{where}lets certificates in without TLS, where none can be shown", "tls = true", at=at)
    if access.auth is Auth.BASIC and not (access.tls or access.allow_unencrypted):
        raise wrong("encryption", f"{where}has auth 'basic', which encrypts nothing", "tls = true, or allow_unencrypted = true", at=at)
    if "kerberos" in access.schemes and keytab is None:
        fix = "keytab = FILE with the keys of HTTP/ and host/ (python3 -m servers.kdc start makes one)"
        raise wrong("keytab", f"{where}lets Kerberos in without a keytab", fix, at=at)


class _Lab(_LabAccess):
    """The embedded lab."""

    user: Annotated[str | None, Omittable(), Shape(expression=r"[A-Za-z0-9][A-Za-z0-9._-]{0,19}", wanted="an account name")] = None
    account_password: Annotated[Reference | None, Omittable()] = None
    keytab: Annotated[PathText | None, Omittable()] = None
    access: dict[str, _LabAccess] = Field(default_factory=dict, description="By the host's name, where one differs.")
    ingest_delay: Annotated[Duration | None, Omittable()] = None
    rule_interval: Annotated[PositiveDuration | None, Omittable()] = None
    look_back: Annotated[PositiveDuration | None, Omittable()] = None
    schedule: Literal["running", "stopped"] = "running"
    disabled: Annotated[tuple[RuleId, ...] | None, Omittable()] = None
    exceptions: tuple[_Exception, ...] = ()
    hosts: Annotated[
        tuple[HostName, ...] | None,
        Omittable(),
        BeforeValidator(_counted_hosts, json_schema_input_type=int | tuple[HostName, ...]),
        AfterValidator(_possible_hosts),
    ] = None
    off: Annotated[tuple[Annotated[str, AfterValidator(_logging_setting)], ...] | None, Omittable()] = None
    index: Annotated[str | None, Omittable(), Shape(expression=r"[a-z0-9][a-z0-9._-]*", wanted="the name of an index")] = None
    max_shells: Annotated[int | None, Omittable(), BeforeValidator(_number), Field(strict=True, ge=1)] = None
    state_file: Annotated[PathText | None, Omittable()] = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        usual = self.over(LabAccess())
        _check_access(usual, self.keytab)
        hosts = self.hosts or LabSettings().hosts
        for name, own in self.access.items():
            if name not in hosts:
                raise wrong("host", f"names {name!r}, which is no host of the lab", nearest(name, hosts) or ", ".join(hosts), at="access")
            _check_access(own.over(usual), self.keytab, name)
        return self


class _Rules(Entry):
    """The rule files and directories in place of the harness's own rule pack."""

    paths: Annotated[tuple[PathText, ...], Field(min_length=1)]


class _Run(Entry):
    """A run's pace."""

    poll_interval: Annotated[PositiveDuration | None, Omittable()] = None
    grace: Annotated[Duration | None, Omittable()] = None
    siem_timeout: Annotated[PositiveDuration | None, Omittable()] = None
    connect_timeout: Annotated[PositiveDuration | None, Omittable()] = None


def _flaky(value: object) -> Flaky:
    found = re.fullmatch(r"([0-9]{1,3}) of ([0-9]{1,3})", value.strip()) if isinstance(value, str) else None
    turns, runs = (int(found[1]), int(found[2])) if found is not None else (0, 0)
    if not 1 <= turns < runs:
        raise wrong("flaky", "does not say how many turns of how many runs", "write it as 2 of 10")
    return Flaky(turns=turns, runs=runs)


class _History(Entry):
    """Where runs are kept, and what is made of them."""

    path: Annotated[PathText | None, Omittable()] = None
    keep: Annotated[int | None, Omittable(), BeforeValidator(_number), Field(strict=True, ge=1)] = None
    flaky: Annotated[Flaky | None, Omittable(), BeforeValidator(_flaky), WithJsonSchema({"type": "string", "examples": ["2 of 10"]})] = None


class _Quarantine(Entry):
    """Gaps that do not count until a day."""

    rule: Annotated[RuleId | None, Omittable()] = None
    scenario: Annotated[HyphenId | None, Omittable()] = None
    target: Annotated[TargetName | None, Omittable()] = None
    until: Day
    reason: Text

    @model_validator(mode="after")
    def _about(self) -> Self:
        if self.rule is None and self.scenario is None:
            raise wrong("quarantine", "needs 'rule' or 'scenario': not everything at once")
        return self


class _Objective(Entry):
    """How soon a rule should detect."""

    rule: RuleId
    within: Annotated[PositiveDuration | None, Omittable()] = None
    p95: Annotated[PositiveDuration | None, Omittable()] = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.within is None) is (self.p95 is None):
            raise wrong("objective", "needs 'within' (each detection) or 'p95' (95 % of them over the last runs), one of them")
        return self


class _File(Entry):
    """harness.toml."""

    scope: Annotated[_Scope | None, Omittable()] = None
    target: tuple[_Target, ...] = ()
    siem: Annotated[_Siem | None, Omittable()] = None
    lab: _Lab = Field(default_factory=_Lab)
    rules: Annotated[_Rules | None, Omittable()] = None
    run: _Run = Field(default_factory=_Run)
    history: _History = Field(default_factory=_History)
    quarantine: tuple[_Quarantine, ...] = ()
    objective: tuple[_Objective, ...] = ()


_SECTIONS: Mapping[str, type[Entry]] = {"scope": _Scope, "siem": _Siem, "lab": _Lab, "rules": _Rules, "run": _Run, "history": _History}
LISTS: Mapping[Loc, str] = {
    ("scope", "hosts"): ",",
    ("siem", "url"): ",",
    ("siem", "events"): ",",
    ("siem", "alerts"): ",",
    ("lab", "schemes"): ",",
    ("lab", "disabled"): ",",
    ("lab", "off"): ",",
    ("lab", "hosts"): ",",
    ("rules", "paths"): os.pathsep,
}
_SIEM_SECRETS = ("password", "api_key", "bearer")
VARIABLES: Mapping[str, tuple[str, str]] = {
    f"HARNESS_{section}_{key}".upper(): (section, key) for section, model in _SECTIONS.items() for key in model.model_fields
}


def load_settings(config: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
    """The settings of a file, the environment and flags, each overruling the one before.

    `config` is the file asked for by a flag. `flags` holds values by `section.key`; None and empty ones are flags that were not given.
    Raises `UsageError` with every problem.
    """
    file, merged = _layered(config, environ, flags)
    return _settings(_checked(merged, environ), file)


def load_history_settings(config: Path | None, environ: Mapping[str, str]) -> HistorySettings:
    """What the same say of the history alone. Which SIEM is asked is left aside: flags may still complete it where one is.

    Raises `UsageError` with every other problem.
    """
    _, merged = _layered(config, environ, {})
    return _history(_checked(merged, environ, without="siem").history)


def _layered(config: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> tuple[Path | None, Document]:
    file = _config_file(config, environ)
    document = Document(value={}, places={}) if file is None else parse_toml(read_text(file), str(file))
    value: dict[str, Any] = dict(document.value)
    places: dict[Loc, Place] = dict(document.places)
    if file is not None:
        _anchor(value, file.parent)
    _overlay(value, places, _from_environment(environ))
    _overlay(value, places, _from_flags(flags))
    return file, Document(value=value, places=places)


def _checked(merged: Document, environ: Mapping[str, str], without: str = "") -> _File:
    """The file's sections, but for one that is left aside."""
    value = {section: content for section, content in merged.value.items() if section != without}
    problems = [*_stray_variables(environ, merged.value), *_twice(merged)]
    entry, found = check(_File, Document(value=value, places=merged.places))
    problems = sorted([*found, *problems], key=lambda problem: (problem.line, problem.column))
    if entry is None or problems:
        raise UsageError(*problems)
    return entry


def settings_schema() -> dict[str, Any]:
    """The JSON schema of harness.toml, for editors."""
    return schema_of(_File, "harness settings", key_meanings.SETTINGS)


def resolve(reference: str, environ: Mapping[str, str] = os.environ) -> Secret:
    """The secret that a reference stands for. Raises `UsageError`, which names the reference and never the value."""
    scheme, colon, rest = reference.partition(":")
    match scheme + colon:
        case "env:":
            value = environ.get(rest)
            if value is None:
                raise _unresolved(reference, "the variable is not set")
        case "file:":
            value = _secret_of_file(reference, Path(rest).expanduser())
        case "keyring:":
            value = _secret_of_keyring(reference, rest)
        case _:
            # Whatever stands there may be the secret itself.
            raise UsageError(Problem(path="", what="a secret's reference begins with env:, file: or keyring:"))
    if not value:
        raise _unresolved(reference, "it is empty")
    return Secret(value)


def _unresolved(reference: str, why: str) -> UsageError:
    return UsageError(Problem(path="", what=f"secret {reference} cannot be resolved: {why}"))


def _secret_of_file(reference: str, path: Path) -> str:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            raw = stream.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise _unresolved(reference, error.strerror or type(error).__name__) from None
    if os.name == "posix" and stat.S_ISREG(mode) and mode & stat.S_IROTH:
        _log.warning("secret %s can be read by every user of this machine: chmod 600 it", reference)
    if len(raw) > _MAX_SECRET_BYTES:
        raise _unresolved(reference, f"it is bigger than {_MAX_SECRET_BYTES // 1024} KiB")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        # Not chained: the error holds the bytes.
        raise _unresolved(reference, "it is not UTF-8 text") from None
    # One line end is the editor's; further ones may be the secret's own.
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _secret_of_keyring(reference: str, rest: str) -> str:
    # Imported here: the import alone looks for every keyring of the machine.
    import keyring
    import keyring.errors

    service, _, user = rest.rpartition("/")
    try:
        value = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise _unresolved(reference, f"the keyring failed: {type(error).__name__}") from error
    if value is None:
        raise _unresolved(reference, "the keyring has no such entry")
    return value


# --- layers ---------------------------------------------------------------------------------------------------------------


def _config_file(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    if config is not None:
        return config
    if named := environ.get("HARNESS_CONFIG"):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _anchor(value: dict[str, Any], base: Path) -> None:
    """Make the file's relative paths relative to the file."""
    for target in _tables(value, "target"):
        for key in ("ca_file", "certificate", "certificate_key"):
            if isinstance(target.get(key), str) and target[key]:
                target[key] = str(base / Path(target[key]).expanduser())
    for section, key in (
        ("siem", "path"),
        ("siem", "ca_file"),
        ("lab", "state_file"),
        ("lab", "keytab"),
        ("rules", "paths"),
        ("history", "path"),
    ):
        table = value.get(section)
        if not isinstance(table, dict):
            continue
        found = table.get(key)
        if isinstance(found, str) and found:
            table[key] = str(base / Path(found).expanduser())
        elif isinstance(found, list):
            table[key] = [str(base / Path(item).expanduser()) if isinstance(item, str) and item else item for item in found]
    for table, key in _secrets(value):
        reference = table[key]
        if isinstance(reference, str) and reference.startswith("file:") and reference != "file:":
            table[key] = f"file:{base / Path(reference.removeprefix('file:')).expanduser()}"


def _secrets(value: Mapping[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Every reference to a secret, as the table and the key that it stands under."""
    siem, lab = value.get("siem"), value.get("lab")
    found = [(table, key) for table in _tables(value, "target") for key in ("password", "certificate_key_password")]
    found += [(siem, key) for key in _SIEM_SECRETS] if isinstance(siem, dict) else []
    found += [(lab, "account_password")] if isinstance(lab, dict) else []
    return [(table, key) for table, key in found if key in table]


def _tables(value: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    entries = value.get(key)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _from_environment(environ: Mapping[str, str]) -> Mapping[Loc, tuple[object, Place]]:
    given: dict[Loc, tuple[object, Place]] = {}
    for name, loc in VARIABLES.items():
        # An empty variable is how shells unset one for a command.
        if text := environ.get(name):
            separator = LISTS.get(loc)
            value: object = text if separator is None else [part.strip() for part in text.split(separator)]
            given[loc] = (value, Place(path=name))
    return given


def _from_flags(flags: Mapping[str, object]) -> Mapping[Loc, tuple[object, Place]]:
    given: dict[Loc, tuple[object, Place]] = {}
    for dotted, value in flags.items():
        section, _, key = dotted.partition(".")
        if section not in _SECTIONS or key not in _SECTIONS[section].model_fields:
            raise ValueError(f"{dotted} is not a setting")
        if value is None or value == ():
            continue
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = [str(item) for item in value]
        given[(section, key)] = (str(value) if isinstance(value, Path) else value, Place(path=f"flag {dotted}"))
    return given


def _overlay(value: dict[str, Any], places: dict[Loc, Place], layer: Mapping[Loc, tuple[object, Place]]) -> None:
    for loc, (item, place) in layer.items():
        section, key = str(loc[0]), str(loc[1])
        table = value.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = item
            places.setdefault((section,), place)
            places[loc] = place


def _stray_variables(environ: Mapping[str, str], value: Mapping[str, Any]) -> list[Problem]:
    """Variables that look like ours and are not: a mistyped one would otherwise be a setting that silently does nothing."""
    referred = {str(table[key]) for table, key in _secrets(value)}
    problems = []
    for name in sorted(environ):
        if not name.startswith("HARNESS_") or name in VARIABLES or name == "HARNESS_CONFIG" or f"env:{name}" in referred:
            continue
        hint = nearest(name, VARIABLES, likeness=0.9)  # other tools' variables begin with HARNESS_ too
        if hint or any(name.startswith(f"HARNESS_{section.upper()}_") for section in _SECTIONS):
            problems.append(Problem(path=name, what="is no setting", fix=hint))
    return problems


def _twice(document: Document) -> list[Problem]:
    first: dict[str, Place] = {}
    problems = []
    entries = document.value.get("target")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str):
            place = document.place(("target", index, "name"))
            if first.setdefault(name, place) is not place:
                problems.append(place.problem(f"target {name!r} stands twice, first in line {first[name].line}", "rename one"))
    return problems


def _settings(entry: _File, file: Path | None) -> Settings:
    scope = None if entry.scope is None else Scope(hosts=entry.scope.hosts, expires=entry.scope.expires)
    return Settings(
        file=file,
        scope=scope,
        targets=tuple(_target(target) for target in entry.target),
        siem=None if entry.siem is None else _siem(entry.siem),
        lab=_lab(entry.lab),
        rules=() if entry.rules is None else tuple(Path(path) for path in entry.rules.paths),
        run=RunSettings(**entry.run.model_dump(exclude_none=True)),
        history=_history(entry.history),
        terms=_terms(entry),
    )


def _history(entry: _History) -> HistorySettings:
    path = None if entry.path is None else Path(entry.path)
    return HistorySettings(path=path, keep=entry.keep, flaky=entry.flaky or Flaky())


def _terms(entry: _File) -> Terms:
    quarantines = (
        (About(rule=each.rule, scenario=each.scenario, target=each.target), Quarantine(until=each.until, reason=each.reason))
        for each in entry.quarantine
    )
    objectives = (
        (each.rule, Objective(within=each.p95, p95=True) if each.p95 is not None else Objective(within=each.within or timedelta(0)))
        for each in entry.objective
    )
    return Terms(quarantines=tuple(quarantines), objectives=dict(objectives))


def _lab(entry: _Lab) -> LabSettings:
    apart = {*_LabAccess.model_fields, "access", "schedule", "state_file", "keytab", "exceptions"}
    given: dict[str, Any] = entry.model_dump(exclude_none=True, exclude=apart)
    usual = entry.over(LabAccess())
    return LabSettings(
        access=usual,
        own_access={name: own.over(usual) for name, own in entry.access.items()},
        schedule_running=entry.schedule == "running",
        state_file=None if entry.state_file is None else Path(entry.state_file),
        exceptions=tuple(LabException(rule=each.rule, name=each.name, when=each.when) for each in entry.exceptions),
        keytab=None if entry.keytab is None else Path(entry.keytab),
        **given,
    )


def _siem(entry: _Siem) -> SiemSettings | ElasticsearchSettings:
    if entry.path is not None:
        return SiemSettings(path=Path(entry.path))
    given: dict[str, Any] = entry.model_dump(exclude_none=True, exclude={"kind", "url", "ca_file"})
    ca_file = None if entry.ca_file is None else Path(entry.ca_file)
    return ElasticsearchSettings(urls=entry.url or (), ca_file=ca_file, **given)


def _target(entry: _Target) -> TargetSettings:
    is_address = parse_address(entry.host) is not None
    target = Target(
        name=entry.name,
        host=entry.host,
        port=entry.port or (5986 if entry.tls else 5985),
        tls=entry.tls,
        auth=entry.auth,
        user=entry.user or "",
        computer=entry.computer or (entry.name if is_address else entry.host.partition(".")[0]),
        seen_from=entry.seen_from,
    )
    channel = Channel(
        ca_file=entry.ca_file or "",
        verify=entry.verify,
        certificate=entry.certificate or "",
        certificate_key=entry.certificate_key or "",
        encryption=entry.encryption,
        spn=entry.spn or "",
        delegate=entry.delegate,
        proxy=entry.proxy or "",
        connect_timeout=entry.connect_timeout,
        operation_timeout=entry.operation_timeout,
        locale=entry.locale,
    )
    return TargetSettings(target=target, password=entry.password, channel=channel, key_password=entry.certificate_key_password)
