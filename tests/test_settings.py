"""Settings out of three layers, every error at once, and secrets that stay where they are."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import sys
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path

import jsonschema
import keyring
import keyring.backend
import keyring.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model.changes import Flaky
from harness.model.intent import About, Auth, Channel, Encryption, Objective, Quarantine, Target, Terms
from harness.scope import Scope
from harness.settings import (
    ElasticsearchSettings,
    HistorySettings,
    LabAccess,
    LabException,
    LabSettings,
    RunSettings,
    Secret,
    Settings,
    SiemSettings,
    TargetSettings,
    load_history_settings,
    load_settings,
    resolve,
    settings_schema,
)

ELASTIC = "[siem]\nkind = 'elasticsearch'\n"

WHOLE = """
[scope]                          # without it nothing is sent to anything but the embedded lab
hosts = ["*.lab.example", "10.0.5.0/24"]
expires = 2027-03-31

[[target]]
name = "ws6"
host = "ws6.lab.example"
auth = "kerberos"
user = "LAB\\\\purple"
password = "env:LAB_PASSWORD"

[[target]]
name = "ws7"
host = "10.0.5.7"
tls = true
user = "purple"
password = "file:secrets/ws7"
seen_from = "10.0.5.99"
computer = "WORKSTATION7"

[siem]
kind = "embedded"
path = "lab/siem.sqlite"

[lab]
user = "violet"
schemes = ["basic", "credssp"]
allow_unencrypted = true
ingest_delay = "0s"
rule_interval = "2s"
look_back = "10m"
max_shells = 100
schedule = "stopped"
state_file = "/run/lab.json"

[rules]
paths = ["rules", "/more/rules"]

[run]
poll_interval = "500ms"
grace = "5s"
"""

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load settings of this text, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()

    def _load(text: str | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None) -> Settings:
        config = None
        if text is not None:
            config = tmp_path / "conf" / "harness.toml"
            config.write_text(text, encoding="utf-8")
        return load_settings(config, environ or {}, flags or {})

    return _load


def problems(load: Load, text: str | None = None, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load(text, environ)
    return [str(problem).rpartition("conf/harness.toml")[2] for problem in caught.value.problems]


def test_nothing_at_all_is_the_defaults(load: Load) -> None:
    assert load() == Settings(file=None, scope=None, targets=(), siem=None, lab=LabSettings(), rules=(), run=RunSettings())


def test_a_whole_file(load: Load, tmp_path: Path) -> None:
    base = tmp_path / "conf"
    ws6 = Target(name="ws6", host="ws6.lab.example", auth=Auth.KERBEROS, user="LAB\\purple", computer="ws6")
    ws7 = Target(name="ws7", host="10.0.5.7", port=5986, tls=True, user="purple", computer="WORKSTATION7", seen_from="10.0.5.99")
    assert load(WHOLE) == Settings(
        file=base / "harness.toml",
        scope=Scope(hosts=("*.lab.example", "10.0.5.0/24"), expires=date(2027, 3, 31)),
        targets=(
            TargetSettings(target=ws6, password="env:LAB_PASSWORD"),
            TargetSettings(target=ws7, password=f"file:{base / 'secrets/ws7'}"),
        ),
        siem=SiemSettings(path=base / "lab/siem.sqlite"),
        lab=LabSettings(
            user="violet",
            access=LabAccess(schemes=("basic", "credssp"), allow_unencrypted=True, auth=Auth.CREDSSP),
            ingest_delay=timedelta(0),
            rule_interval=timedelta(seconds=2),
            look_back=timedelta(minutes=10),
            max_shells=100,
            schedule_running=False,
            state_file=Path("/run/lab.json"),
        ),
        rules=(base / "rules", Path("/more/rules")),
        run=RunSettings(poll_interval=timedelta(milliseconds=500), grace=timedelta(seconds=5)),
    )


def test_what_is_said_of_history_quarantines_objectives_and_the_labs_engine(load: Load, tmp_path: Path) -> None:
    settings = load(
        """
        [history]
        path = "nightly.sqlite"
        keep = 40
        flaky = "3 of 7"
        [[quarantine]]
        rule = "a"
        target = "ws6"
        until = 2027-01-31
        reason = "being mended"
        [[objective]]
        rule = "a"
        p95 = "2m"
        [[objective]]
        rule = "b"
        within = "30s"
        [lab]
        disabled = ["a"]
        [[lab.exceptions]]
        rule = "b"
        name = "backup"
        when = {User = "*backup"}
        """,
        {"HARNESS_HISTORY_KEEP": "41", "HARNESS_LAB_DISABLED": "a, c"},
    )
    assert settings.history == HistorySettings(path=tmp_path / "conf/nightly.sqlite", keep=41, flaky=Flaky(turns=3, runs=7))
    assert settings.terms == Terms(
        quarantines=((About(rule="a", target="ws6"), Quarantine(until=date(2027, 1, 31), reason="being mended")),),
        objectives={"a": Objective(within=timedelta(minutes=2), p95=True), "b": Objective(within=timedelta(seconds=30))},
    )
    assert settings.lab.disabled == ("a", "c")
    assert settings.lab.exceptions == (LabException(rule="b", name="backup", when={"User": "*backup"}),)


def test_flags_overrule_the_environment_and_that_the_file(load: Load) -> None:
    environ = {"HARNESS_LAB_USER": "of-env", "HARNESS_LAB_LOOK_BACK": "3m", "HARNESS_LAB_SCHEDULE": ""}
    lab = load(WHOLE, environ, {"lab.look_back": timedelta(minutes=4), "lab.ingest_delay": None, "rules.paths": ()}).lab
    assert (lab.user, lab.look_back, lab.ingest_delay, lab.schedule_running) == ("of-env", timedelta(minutes=4), timedelta(0), False)


def test_lists_come_from_the_environment_and_from_flags(load: Load) -> None:
    environ = {"HARNESS_SCOPE_HOSTS": "*.a, 10.0.0.1", "HARNESS_SCOPE_EXPIRES": "2027-01-01", "HARNESS_RULES_PATHS": "a:/b"}
    found = load(None, environ)
    assert found.scope == Scope(hosts=("*.a", "10.0.0.1"), expires=date(2027, 1, 1))
    assert found.rules == (Path("a"), Path("/b"))
    assert load(WHOLE, {}, {"rules.paths": (Path("c"),)}).rules == (Path("c"),)


def test_the_file_is_found_by_flag_variable_or_place(load: Load, tmp_path: Path) -> None:
    for name in ("flag", "variable", "harness"):
        (tmp_path / f"{name}.toml").write_text(f'[lab]\nuser = "{name}"\n')
    environ = {"HARNESS_CONFIG": str(tmp_path / "variable.toml")}
    assert load_settings(tmp_path / "flag.toml", environ, {}).lab.user == "flag"
    assert load_settings(None, environ, {}).lab.user == "variable"
    assert load_settings(None, {}, {}).lab.user == "harness"


def test_a_file_that_was_named_must_be_there(load: Load, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.toml: cannot be read: No such file"):
        load(None, {"HARNESS_CONFIG": str(tmp_path / "gone.toml")})


def test_an_unknown_flag_is_a_fault_of_ours(load: Load) -> None:
    with pytest.raises(ValueError, match=r"lab\.usr is not a setting"):
        load(None, {}, {"lab.usr": "x"})


TARGET = '[[target]]\nname = "a"\nhost = "h"\nuser = "u"\npassword = "env:P"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[scop]\n", [":1:1: unknown key 'scop' (did you mean scope?)"]),
        ("[lab]\nusr = 'x'\n", [":2:1: unknown key 'usr' (did you mean user?)"]),
        ("scope = 5\n", [":1:1: scope must hold keys with values"]),
        ("[scope]\n", [":1:1: scope.hosts is missing", ":1:1: scope.expires is missing"]),
        ("[scope]\nhosts = []\nexpires = 2027-01-01\n", [":2:1: scope.hosts is empty"]),
        ("[scope]\nhosts = 'x'\nexpires = 2027-01-01\n", [":2:1: scope.hosts must be a list"]),
        ("[scope]\nhosts = ['a', '10.0.0.1/8']\nexpires = 2027-01-01\n", [":2:1: scope.hosts[2] is no name, address or network"]),
        ("[scope]\nhosts = ['a']\nexpires = 2027-01-01T00:00:00Z\n", [":3:1: scope.expires must be a day without a time"]),
        ("[scope]\nhosts = ['a']\nexpires = 20270101\n", [":3:1: scope.expires is not a date (write it as 2027-03-31)"]),
        ("[scope]\nhosts = ['a']\nexpires = '2027-02-30'\n", [":3:1: scope.expires is not a date"]),
        ("target = 5\n", [":1:1: target must be a list"]),
        (TARGET + TARGET, [":7:1: target 'a' stands twice, first in line 2 (rename one)"]),
        (TARGET.replace('"h"', '"http://h"'), [":3:1: target[1].host must be a name or address, not a URL"]),
        (TARGET.replace('"h"', '"h:5985"'), [":3:1: target[1].host is neither a host name nor an address (the port is a key of its own)"]),
        (TARGET.replace('"a"', '"a/b"'), [":2:1: target[1].name must be a word"]),
        (TARGET + "port = 0\n", [":6:1: target[1].port"]),
        (TARGET + "port = '5985'\n", [":6:1: target[1].port must be a whole number"]),
        (
            TARGET + "auth = 'kerberso'\n",
            [":6:1: target[1].auth must be one of basic, ntlm, negotiate, kerberos, credssp, certificate (did you mean kerberos?)"],
        ),
        (TARGET + "seen_from = 'here'\n", [":6:1: target[1].seen_from is not an address"]),
        ("[[target]]\nname = 'a'\nhost = 'h'\nuser = 'u'\n", [":1:1: target[1] needs 'password' for auth 'negotiate'"]),
        ("[siem]\nkind = 'splunk'\npath = 'x'\n", [":2:1: siem.kind must be one of embedded, elasticsearch"]),
        ("[siem]\nkind = 'embedded'\n", [":1:1: siem needs 'path' for kind 'embedded'"]),
        ("[siem]\nkind = 'embedded'\npath = 'x'\nurl = 'http://x'\n", [":4:1: siem.url is no key of kind 'embedded'"]),
        (ELASTIC, [":1:1: siem needs 'url' or 'cloud_id', one of them"]),
        (ELASTIC + "url = 'http://x'\ncloud_id = 'y'\n", [":1:1: siem needs 'url' or 'cloud_id', one of them"]),
        (ELASTIC + "url = 'x:9200'\n", [":3:1: siem.url[1] must be a URL of a server (write it as https://siem.lab.example:9200)"]),
        (ELASTIC + "url = ['http://x', 'https://u:hunter2@x']\n", [":3:1: siem.url[2] must bear no credentials (user, password,"]),
        (ELASTIC + "url = 'http://x:99999'\n", [":3:1: siem.url[1] is not a URL"]),
        (ELASTIC + "url = 'http://x'\npath = 'y'\n", [":4:1: siem.path is no key of kind 'elasticsearch'"]),
        (ELASTIC + "url = 'http://x'\nuser = 'u'\n", [":1:1: siem needs 'user' and 'password' together"]),
        (ELASTIC + "url = 'http://x'\napi_key = 'hunter2'\n", [":4:1: siem.api_key must be a reference, never the secret itself"]),
        (
            ELASTIC + "url = 'http://x'\napi_key = 'env:A'\nbearer = 'env:B'\n",
            [":1:1: siem has several ways to authenticate (keep user and password, or api_key, or bearer)"],
        ),
        (ELASTIC + "url = 'http://x'\nfingerprint = 'ab:cd'\n", [":4:1: siem.fingerprint is not the SHA-256 of a certificate"]),
        (ELASTIC + "url = 'http://x'\nverify = false\nca_file = 'x'\n", [":4:1: siem.verify is false, yet there is a certificate"]),
        (ELASTIC + "url = 'http://x'\nverify = 'no'\n", [":4:1: siem.verify must be"]),
        (ELASTIC + "url = 'http://x'\nevents = ['a,b']\n", [":4:1: siem.events[1] must be an index, or a pattern of indices"]),
        (ELASTIC + "url = 'http://x'\nalerts = ['splunk']\n", [":4:1: siem.alerts[1] must be"]),
        ("[lab]\nschedule = 'halted'\n", [":2:1: lab.schedule must be one of running, stopped"]),
        (
            "[lab]\ningest_delay = 2\nrule_interval = '0s'\n",
            [":2:1: lab.ingest_delay must be a length of time", ":3:1: lab.rule_interval must be longer than nothing"],
        ),
        ("[rules]\npaths = ['']\n", [":2:1: rules.paths[1] is empty"]),
        (
            "[run]\ngrace = 'x'\n[lab]\nuser = 'a b'\n",
            [":2:1: run.grace is not a length of time", ":4:1: lab.user must be an account name"],
        ),
        ("[run\n", [":1:5: is not valid TOML"]),
        ("[history]\nkeep = 0\nflaky = '10 of 2'\n", [":2:1: history.keep", ":3:1: history.flaky does not say how many turns"]),
        ("[[quarantine]]\nuntil = 2027-01-31\nreason = 'x'\n", [":1:1: quarantine[1] needs 'rule' or 'scenario'"]),
        ("[[quarantine]]\nrule = 'a'\nuntil = 'soon'\nreason = 'x'\n", [":3:1: quarantine[1].until is not a date"]),
        ("[[objective]]\nrule = 'a'\n", [":1:1: objective[1] needs 'within' (each detection) or 'p95'"]),
        ("[[lab.exceptions]]\nrule = 'a'\nname = 'x'\nwhen = {}\n", [":4:1: lab.exceptions[1].when is empty"]),
    ],
)
def test_an_error_is_said_with_its_line(load: Load, text: str, said: list[str]) -> None:
    found = problems(load, text)
    assert len(found) == len(said)
    for line, wanted in zip(found, said, strict=True):
        assert wanted in line


def test_an_elasticsearch_of_the_file_and_of_the_environment(load: Load, tmp_path: Path) -> None:
    text = ELASTIC + "url = ['https://a', 'http://b:9200/es']\npassword = 'file:pw'\nuser = 'u'\nca_file = 'ca.pem'\nevents = ['x-*']\n"
    base = load(text).file
    assert base is not None
    settings = load(text, {"HARNESS_SIEM_INGEST_LAG": "5s", "HARNESS_SIEM_EVENTS": "a-*, b", "HARNESS_SIEM_WRITEBACK": "ea"}).siem
    assert settings == ElasticsearchSettings(
        urls=("https://a:443", "http://b:9200/es"),
        user="u",
        password=f"file:{base.parent / 'pw'}",
        ca_file=base.parent / "ca.pem",
        events=("a-*", "b"),
        writeback="ea",
        ingest_lag=timedelta(seconds=5),
    )
    environ = {"HARNESS_SIEM_KIND": "elasticsearch", "HARNESS_SIEM_URL": "http://x:1,http://y:2", "HARNESS_SIEM_VERIFY": "false"}
    assert load(None, environ).siem == ElasticsearchSettings(urls=("http://x:1", "http://y:2"), verify=False)


def test_an_error_of_the_environment_names_the_variable(load: Load) -> None:
    assert problems(load, None, {"HARNESS_RUN_GRACE": "soon"}) == [
        "HARNESS_RUN_GRACE: run.grace is not a length of time (write it as 90s, 6m or 1h30m)"
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("HARNESS_LAB_USR", "HARNESS_LAB_USR: is no setting (did you mean HARNESS_LAB_USER?)"),
        ("HARNESS_RUN_SPEED", "HARNESS_RUN_SPEED: is no setting"),
        ("HARNESS_SCOP_HOSTS", "HARNESS_SCOP_HOSTS: is no setting (did you mean HARNESS_SCOPE_HOSTS?)"),
    ],
)
def test_a_mistyped_variable_is_an_error(load: Load, name: str, said: str) -> None:
    (found,) = problems(load, None, {name: "1"})
    assert found.startswith(said)


def test_other_variables_are_nobodys_business(load: Load) -> None:
    text = TARGET.replace("env:P", "env:HARNESS_LAB_PASSWORD")
    assert (
        load(text, {"HARNESS_LAB_PASSWORD": "x", "HARNESS_HOME": "/x", "HARNESS_REQUIRE": "recordings", "PATH": "/bin"}).targets[0].password
        == "env:HARNESS_LAB_PASSWORD"
    )


@pytest.mark.parametrize("written", ['"hunter2"', '"env:"', '"keyring:x"', '"keyring:/x"', "5", '"Env:P"', '["hunter2"]'])
def test_a_literal_password_is_refused_and_not_repeated(load: Load, written: str) -> None:
    (found,) = problems(load, TARGET.replace('"env:P"', written))
    assert found.startswith(":5:1: target[1].password ")
    assert "hunter2" not in found


def test_a_secret_under_a_mistyped_key_is_not_repeated(load: Load) -> None:
    assert "hunter2" not in "".join(problems(load, TARGET + 'pasword = "hunter2"\n[lab]\nuser = "hunter2 !"\n'))


# --- secrets --------------------------------------------------------------------------------------------------------------


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>30}", "%s" % secret, repr([secret]), repr({"a": secret})]  # noqa: UP031
    assert not any("hunter2" in text for text in shown)
    for spill in (lambda: pickle.dumps(secret), lambda: copy.deepcopy(secret), lambda: json.dumps(secret)):
        with pytest.raises(TypeError) as caught:
            spill()
        assert "hunter2" not in str(caught.value)


def test_env() -> None:
    assert resolve("env:P", {"P": " hunter2 "}).reveal() == " hunter2 "


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b"hunter2\n\n", "hunter2\n"),
        (b" \xc3\xbc ", " \u00fc "),
        (b"a\r", "a\r"),
    ],
)
def test_a_file_loses_one_line_end(tmp_path: Path, caplog: pytest.LogCaptureFixture, raw: bytes, value: str) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_bytes(raw)
    assert resolve(f"file:{path}").reveal() == value
    assert not caplog.records


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode for others")
def test_a_file_that_everybody_can_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2")
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert resolve(f"file:{path}").reveal() == "hunter2"
    assert f"file:{path} can be read by every user" in caplog.text
    assert "hunter2" not in caplog.text


class Ring(keyring.backend.KeyringBackend):
    """A keyring with one entry."""

    priority = 1.0

    def get_password(self, service: str, username: str) -> str | None:
        if service == "locked":
            raise keyring.errors.KeyringLocked("hunter2 is locked")
        return "hunter2" if (service, username) == ("lab/winrm", "purple") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


@pytest.fixture
def ring() -> object:
    before = keyring.get_keyring()
    keyring.set_keyring(Ring())  # type: ignore[no-untyped-call]
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("ring")
def test_keyring() -> None:
    assert resolve("keyring:lab/winrm/purple").reveal() == "hunter2"


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("env:NOT_SET", "the variable is not set"),
        ("env:EMPTY", "it is empty"),
        ("file:/nowhere/at/all", "No such file or directory"),
        ("keyring:lab/nobody", "the keyring has no such entry"),
        ("keyring:locked/x", "the keyring failed: KeyringLocked"),
    ],
)
def test_what_cannot_be_resolved_names_the_reference(reference: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(reference, {"EMPTY": ""})
    assert str(caught.value) == f"secret {reference} cannot be resolved: {why}"


def test_a_file_that_is_no_text_or_too_big_is_not_shown(tmp_path: Path) -> None:
    for raw, why in ((b"hunter2\xff", "not UTF-8"), (b"hunter2" * 10_000, "bigger than 64 KiB")):
        path = tmp_path / "secret"
        path.write_bytes(raw)
        path.chmod(0o600)
        with pytest.raises(UsageError, match=why) as caught:
            resolve(f"file:{path}")
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None


@given(st.text())
def test_what_is_no_reference_is_not_repeated(text: str) -> None:
    if text.startswith(("env:", "file:", "keyring:")):
        return
    with pytest.raises(UsageError) as caught:
        resolve(text, {})
    assert str(caught.value) == "a secret's reference begins with env:, file: or keyring:"


# --- the schema -----------------------------------------------------------------------------------------------------------


def _as_json(text: str) -> object:
    return json.loads(json.dumps(tomllib.loads(text), default=str))


def test_the_schema_takes_what_loads() -> None:
    schema = settings_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(_as_json(WHOLE))


@pytest.mark.parametrize(
    "text", ["[scop]\n", "[scope]\nhosts = []\nexpires = 2027-01-01\n", TARGET.replace("env:P", "hunter2"), TARGET + "port = 0\n"]
)
def test_the_schema_refuses_what_does_not(text: str) -> None:
    assert list(jsonschema.Draft202012Validator(settings_schema()).iter_errors(_as_json(text)))


@pytest.mark.parametrize(
    ("text", "env", "names"),
    [
        ("[lab]\nhosts = 3\n", {}, ("ws1", "ws2", "ws3")),
        ('[lab]\nhosts = ["web1", "db1"]\n', {}, ("web1", "db1")),
        ("", {"HARNESS_LAB_HOSTS": "2"}, ("ws1", "ws2")),
        ("[lab]\nhosts = 3\n", {"HARNESS_LAB_HOSTS": "dc1,ws1"}, ("dc1", "ws1")),
        ("", {}, ("ws1", "ws2")),
    ],
    ids=["number", "names", "number in the environment", "names in the environment", "neither"],
)
def test_the_labs_hosts_are_so_many_or_named(tmp_path: Path, text: str, env: dict[str, str], names: tuple[str, ...]) -> None:
    (tmp_path / "harness.toml").write_text(text)
    assert load_settings(tmp_path / "harness.toml", env, {}).lab.hosts == names


WS6 = '[[target]]\nname = "ws6"\nhost = "ws6.lab.example"\n'
KEYS = """[[target]]
name = "ws6"
host = "[2001:db8::6]"
tls = true
auth = "certificate"
user = 'LAB\\purple'
ca_file = "pki/ca.pem"
certificate = "pki/purple.pem"
certificate_key = "/pki/purple.key"
certificate_key_password = "file:pki/word"
encryption = "never"
proxy = "http://proxy.lab.example:3128"
connect_timeout = "3s"
operation_timeout = "40s"
locale = "de-DE"
"""


def test_every_key_of_a_targets_authentication(load: Load, tmp_path: Path) -> None:
    base = tmp_path / "conf"
    (found,) = load(KEYS).targets
    assert found.target == Target(
        name="ws6", host="2001:db8::6", port=5986, tls=True, auth=Auth.CERTIFICATE, user="LAB\\purple", computer="ws6"
    )
    assert (found.password, found.key_password) == (None, f"file:{base / 'pki/word'}")
    assert found.channel == Channel(
        ca_file=str(base / "pki/ca.pem"),
        certificate=str(base / "pki/purple.pem"),
        certificate_key="/pki/purple.key",
        encryption=Encryption.NEVER,
        proxy="http://proxy.lab.example:3128",
        connect_timeout=timedelta(seconds=3),
        operation_timeout=timedelta(seconds=40),
        locale="de-DE",
    )
    (kerberos,) = load(WS6 + 'auth = "kerberos"\nspn = "HTTP/other.lab.example"\ndelegate = true\n').targets
    assert (kerberos.target.user, kerberos.password) == ("", None)
    assert kerberos.channel == Channel(spn="HTTP/other.lab.example", delegate=True)


USER = 'user = "u"\npassword = "env:P"\n'
CERTIFICATE = 'auth = "certificate"\ncertificate = "c"\ncertificate_key = "k"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('auth = "basic"\n' + USER, ":4:1: target[1].auth is 'basic' without TLS, which shows the password to the network (tls = true; or"),
        (CERTIFICATE, ":4:1: target[1].auth is 'certificate' without TLS, where none can be shown (tls = true)"),
        (
            'auth = "certificate"\ntls = true\ncertificate = "c"\n',
            ":1:1: target[1] needs 'certificate_key' for auth 'certificate' (a PEM file)",
        ),
        (CERTIFICATE + 'tls = true\npassword = "env:P"\n', ":8:1: target[1].password has no meaning for auth 'certificate'"),
        ('certificate = "c"\n' + USER, ":4:1: target[1].certificate has no meaning for auth 'negotiate' (auth = \"certificate\")"),
        (
            'auth = "basic"\ntls = true\nencryption = "always"\n' + USER,
            ":6:1: target[1].encryption cannot be had: auth 'basic' yields no key",
        ),
        ('encryption = "sometimes"\n' + USER, ":4:1: target[1].encryption must be one of auto, always, never"),
        ('ca_file = "x"\n' + USER, ":4:1: target[1].ca_file is about the target's certificate, and there is none without TLS (tls = true)"),
        ("verify = false\n" + USER, ":4:1: target[1].verify is about the target's certificate, and there is none without TLS"),
        ('tls = true\nverify = false\nca_file = "x"\n' + USER, ":5:1: target[1].verify is false, yet there is a certificate to verify by"),
        ("tls = true\nverify = 'no'\n" + USER, ":5:1: target[1].verify must be true or false"),
        ('auth = "ntlm"\nspn = "HTTP/x"\n' + USER, ":5:1: target[1].spn is about Kerberos, and auth is 'ntlm' (auth = \"kerberos\")"),
        ('auth = "kerberos"\nspn = "HTTP"\n', ":5:1: target[1].spn must be a service and a host: HTTP/ws6.lab.example"),
        ('auth = "kerberos"\npassword = "env:P"\n', ":1:1: target[1] needs 'user' for its password"),
        ('proxy = "https://p:1"\n' + USER, ":4:1: target[1].proxy must be an HTTP proxy (write it as http://proxy.lab.example:3128)"),
        ('proxy = "http://u:p@h"\n' + USER, ":4:1: target[1].proxy must bear no credentials"),
        ('connect_timeout = "0s"\n' + USER, ":4:1: target[1].connect_timeout must be longer than nothing"),
        ('locale = "english"\n' + USER, ":4:1: target[1].locale must be a language as in en-US"),
        ('certificate_key_password = "hunter2"\n' + USER, ":4:1: target[1].certificate_key_password must be a reference"),
    ],
)
def test_what_cannot_work_on_a_target_is_told_before_anything_is_sent(load: Load, text: str, said: str) -> None:
    found = problems(load, WS6 + text)
    assert [line.startswith(said) for line in found] == [True], found
    assert "hunter2" not in str(found)


def test_basic_in_the_clear_has_to_be_said(load: Load) -> None:
    (found,) = load(WS6 + 'auth = "basic"\nencryption = "never"\n' + USER).targets
    assert found.channel.encryption is Encryption.NEVER


@pytest.mark.parametrize(
    ("text", "access"),
    [
        ("", LabAccess()),
        ('auth = "credssp"\n', LabAccess(schemes=("negotiate", "credssp"), auth=Auth.CREDSSP)),
        ('schemes = ["credssp", "basic"]\ntls = true\n', LabAccess(schemes=("credssp", "basic"), tls=True, auth=Auth.CREDSSP)),
        ('auth = "basic"\nallow_unencrypted = true\n', LabAccess(schemes=("negotiate", "basic"), allow_unencrypted=True, auth=Auth.BASIC)),
        ('auth = "certificate"\ntls = true\n', LabAccess(schemes=("negotiate", "certificate"), tls=True, auth=Auth.CERTIFICATE)),
        ('auth = "kerberos"\nkeytab = "k"\n', LabAccess(schemes=("negotiate", "kerberos"), auth=Auth.KERBEROS)),
    ],
)
def test_how_the_lab_is_logged_on_to(load: Load, text: str, access: LabAccess) -> None:
    assert load("[lab]\n" + text).lab.access == access


def test_a_host_of_the_lab_may_differ(load: Load, tmp_path: Path) -> None:
    found = load(
        '[lab]\nkeytab = "k"\naccount_password = "file:p"\n[lab.access.ws2]\ntls = true\nauth = "basic"\nschemes = ["basic"]\n'
    ).lab
    assert found.access == LabAccess()
    assert found.own_access == {"ws2": LabAccess(schemes=("basic",), tls=True, auth=Auth.BASIC)}
    assert found.keytab == tmp_path / "conf" / "k"
    assert found.account_password == f"file:{tmp_path / 'conf' / 'p'}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('auth = "basic"\n', ":1:1: lab has auth 'basic', which encrypts nothing (tls = true, or allow_unencrypted = true)"),
        ('schemes = ["certificate"]\n', ":1:1: lab lets certificates in without TLS, where none can be shown (tls = true)"),
        ('auth = "kerberos"\n', ":1:1: lab lets Kerberos in without a keytab (keytab = FILE"),
        ('auth = "ntlm"\nschemes = ["basic"]\n', ":1:1: lab has auth 'ntlm', and the scheme 'negotiate' is off"),
        ('[lab.access.ws2]\nauth = "basic"\n', ":2:1: lab.access of 'ws2' has auth 'basic', which encrypts nothing"),
        ("[lab.access.ws7]\ntls = true\n", ":2:1: lab.access names 'ws7', which is no host of the lab (ws1, ws2)"),
        ("[lab.access.ws2]\nport = 1\n", ":3:1: unknown key 'port'"),
        ('account_password = "hunter2"\n', ":2:1: lab.account_password must be a reference"),
    ],
)
def test_what_cannot_work_in_the_lab_is_told(load: Load, text: str, said: str) -> None:
    found = problems(load, "[lab]\n" + text)
    assert [line.startswith(said) for line in found] == [True], found


def test_the_history_is_known_where_flags_have_still_to_say_which_siem(tmp_path: Path) -> None:
    """As `--es-url` does for a run: what a file leaves to flags is not asked where there are none."""
    file = tmp_path / "harness.toml"
    file.write_text('[siem]\nkind = "elasticsearch"\n[history]\nkeep = 7\n')
    assert load_history_settings(file, {}).keep == 7
    file.write_text('[siem]\nkind = "elasticsearch"\napi_key = "env:HARNESS_SIEM_KEY"\n[history]\nkeep = 7\n')
    assert load_history_settings(file, {"HARNESS_SIEM_KEY": "x"}).keep == 7
    file.write_text('[siem]\nkind = "elasticsearch"\n[history]\nkeep = "many"\n')
    with pytest.raises(UsageError, match="keep"):
        load_history_settings(file, {})
