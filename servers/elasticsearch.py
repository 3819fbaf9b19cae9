"""Elasticsearch, a real node on loopback: `python3 -m servers.elasticsearch install|start|stop|status`.

    start [--name NAME] [--port PORT] [--security]     already running: says where; --security: TLS, and users of the file realm
    stop [--name NAME]
    status [--name NAME]                               JSON on standard output; exit 1 where it is not running

The distribution is the one that Elastic publishes for integration tests on Maven's registry. It lacks `GET /`, which a plug-in of our
own adds. It refuses root: there it runs as an account without rights.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from servers import machine
from servers.machine import Place, ServerError

VERSION = "8.19.16"
_COORDINATES = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
_SHA256 = "c3d95992e27741b33a8057118379cda8b17cfda9e46ff4ec25e3f5b94fc22b52"
_READY_SECONDS = 180
_HEAP = "512m"

# What the users of a server with security may do. "none" is authenticated and may nothing: 403 where no user is 401.
_ROLES = {
    "reader": {"cluster": [], "indices": [{"names": ["*"], "privileges": ["read", "view_index_metadata"]}]},
    "none": {"cluster": [], "indices": []},
}
USERS = {"admin": "superuser", "reader": "reader", "none": "none"}
"""Users of a server with security, and their role. Their passwords are in `Place.secrets`."""

_INSTANCES = machine.Instances("elasticsearch")


def install() -> Path:
    """Download, unpack and complete the distribution where that was not done before; its home. Raises ServerError."""
    home = machine.directory() / f"elasticsearch-{VERSION}"
    with machine.locked("elasticsearch"):
        if not home.exists():
            java_home()
            javac = machine.tool("javac", "openjdk-17-jdk-headless")
            archive = machine.maven_artifact(_COORDINATES, _SHA256)
            fresh = machine.directory() / "elasticsearch.unpacking"
            shutil.rmtree(fresh, ignore_errors=True)
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(fresh)
            (unpacked,) = fresh.iterdir()
            for program in (unpacked / "bin").iterdir():
                program.chmod(0o755)
            _add_root(unpacked, javac)
            unpacked.rename(home)
            fresh.rmdir()
    return home


def start(name: str = "default", *, port: int = 0, security: bool = False) -> Place:
    """A node that answers; the one that runs already where there is one. `port` 0 takes a free one. Raises ServerError."""
    home = install()
    with _INSTANCES.locked(name):
        if (running := find(name)) is not None:
            if running.url.startswith("https") is not security:
                how = "without" if security else "with"
                raise ServerError(f"the server {name!r} runs already, {how} security: stop it, or take another --name")
            return running
        return _start(home, name, port or machine.free_port(), security)


def restart(place: Place) -> Place:
    """The same node with the same data at the same address, after it was ended or died. Raises ServerError."""
    with _INSTANCES.locked(place.name):
        return _launch(install(), _INSTANCES.directory(place.name), place)


def find(name: str = "default") -> Place | None:
    """The running server of that name."""
    return _INSTANCES.find(name)


def stop(name: str = "default") -> bool:
    """End a server and remove its data; False where there was none. Raises ServerError."""
    return _INSTANCES.stop(name)


def java_home() -> Path:
    """The machine's Java. Raises ServerError where there is none, or one too old."""
    home = os.environ.get("ES_JAVA_HOME") or os.environ.get("JAVA_HOME")
    java = Path(home) / "bin" / "java" if home else Path(machine.tool("java", "openjdk-17-jdk-headless")).resolve()
    said = subprocess.run([java, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=False).stderr
    version = next((line.partition("=")[2].strip() for line in said.splitlines() if "java.specification.version" in line), "")
    if not version.isdigit() or int(version) < 17:
        found = f"Java {version}" if version else "no Java that tells its version"
        raise ServerError(f"{java} is {found}, Elasticsearch needs 17: apt-get install openjdk-17-jdk-headless")
    return java.parent.parent


def _add_root(home: Path, javac: str) -> None:
    source = Path(__file__).parent / "rest_root" / "RestRoot.java"
    plugin = home / "plugins" / "rest-root"
    classes = home / "rest-root-classes"
    machine.run(
        [javac, "--release", "17", "-proc:none", "-cp", f"{home}/lib/*", "-d", str(classes), str(source)], "the plug-in does not compile"
    )
    plugin.mkdir(parents=True)
    with zipfile.ZipFile(plugin / "rest-root.jar", "w") as jar:
        for compiled in classes.iterdir():
            jar.write(compiled, compiled.name)
    shutil.rmtree(classes)
    properties = {
        "name": "rest-root",
        "description": "GET / for clients that ask for the version",
        "version": "1",
        "classname": "RestRoot",
        "java.version": "17",
        "elasticsearch.version": VERSION,
    }
    (plugin / "plugin-descriptor.properties").write_text("".join(f"{key}={value}\n" for key, value in properties.items()))


def _start(home: Path, name: str, port: int, security: bool) -> Place:
    instance = _INSTANCES.directory(name)
    shutil.rmtree(instance, ignore_errors=True)
    config = instance / "config"
    shutil.copytree(home / "config", config)
    for made in ("data", "logs", "tmp"):
        (instance / made).mkdir()
    settings: dict[str, object] = {
        "cluster.name": f"purple-{name}",
        "discovery.type": "single-node",
        "network.host": "127.0.0.1",
        "http.port": port,
        "transport.port": machine.free_port(),
        "path.data": str(instance / "data"),
        "path.logs": str(instance / "logs"),
        "cluster.routing.allocation.disk.threshold_enabled": False,
        "xpack.security.enabled": security,
    }
    place = Place(name=name, url=f"{'https' if security else 'http'}://127.0.0.1:{port}", pid=0, born=0, log=str(instance / "server.log"))
    if security:
        certificate = _certificate(instance, config)
        settings |= {
            "xpack.security.authc.password_hashing.algorithm": "pbkdf2",
            "xpack.security.http.ssl": {"enabled": True, "keystore.path": "http.p12", "keystore.password": _STORE_PASSWORD},
        }
        passwords = {user: secrets.token_urlsafe(18) for user in USERS}
        _file_realm(config, passwords)
        place = replace(place, files={"ca": str(certificate)}, secrets=passwords)
    # JSON is YAML.
    (config / "elasticsearch.yml").write_text(json.dumps(settings))
    options = (config / "jvm.options").read_text().splitlines()
    (config / "jvm.options").write_text("\n".join(line for line in options if not line.startswith("-Xlog")))
    machine.give(instance, machine.account())
    return _launch(home, instance, place)


def _launch(home: Path, instance: Path, place: Place) -> Place:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(instance),
        "ES_JAVA_HOME": str(java_home()),
        "ES_JAVA_OPTS": f"-Xms{_HEAP} -Xmx{_HEAP}",
        "ES_PATH_CONF": str(instance / "config"),
        "ES_TMPDIR": str(instance / "tmp"),
    }
    pid_file = instance / "tmp" / "server.pid"
    pid_file.unlink(missing_ok=True)
    command = [str(home / "bin" / "elasticsearch"), "-d", "-p", str(pid_file)]
    starter = machine.spawn(command, Path(place.log), cwd=instance, env=env, account=machine.account())
    try:
        # With -d the program ends once the node, a process of its own, is ready.
        failed = starter.wait(_READY_SECONDS) != 0
    except subprocess.TimeoutExpired:
        starter.kill()
        starter.wait()
        failed = True
    pid = int(pid_file.read_text()) if pid_file.exists() else 0
    place = replace(place, pid=pid, born=machine.born(pid))
    if failed or not place.born or not _ready(place):
        if pid and place.born:
            machine.end(place)
        raise ServerError(f"Elasticsearch did not start within {_READY_SECONDS} s:\n{machine.tail(Path(place.log))}")
    _INSTANCES.write(place)
    return place


def _ready(place: Place) -> bool:
    context = ssl.create_default_context(cafile=place.files["ca"]) if place.files else None
    return machine.wait_until(lambda: machine.answers(f"{place.url}/_cluster/health", context), seconds=30)


_STORE_PASSWORD = "of-a-test-server"  # noqa: S105 - guards a key that is made for one server on loopback and removed with it


def _certificate(instance: Path, config: Path) -> Path:
    """A key of the server's own for 127.0.0.1 and localhost; its certificate, to be trusted as it is."""
    keytool = machine.tool("keytool", "openjdk-17-jdk-headless")
    store = ["-keystore", str(config / "http.p12"), "-storetype", "PKCS12", "-storepass", _STORE_PASSWORD, "-alias", "http"]
    name = ["-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1,dns:localhost", "-ext", "bc:c=ca:true"]
    machine.run([keytool, "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "30", *name, *store], "keytool failed")
    pem = machine.run([keytool, "-exportcert", "-rfc", *store], "keytool failed")
    certificate = instance / "ca.pem"
    certificate.write_text(pem)
    return certificate


def _file_realm(config: Path, passwords: Mapping[str, str]) -> None:
    """Written, not made by Elasticsearch's own program, because that takes passwords as arguments, which every process can read."""
    (config / "roles.yml").write_text(json.dumps(_ROLES))
    (config / "users").write_text("".join(f"{user}:{_hashed(password)}\n" for user, password in passwords.items()))
    (config / "users_roles").write_text("".join(f"{role}:{user}\n" for user, role in USERS.items()))


def _hashed(password: str) -> str:
    rounds, salt = 10000, secrets.token_bytes(32)
    derived = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 32)
    return f"{{PBKDF2}}{rounds}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python3 -m servers.elasticsearch", description="A real Elasticsearch on loopback.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("install", help="download and unpack, and no more")
    starting = actions.add_parser("start", help="start it, or say where it runs already")
    starting.add_argument("--port", type=int, default=0, help="default: a free one")
    starting.add_argument("--security", action="store_true", help="TLS and users of the file realm")
    for action in (starting, actions.add_parser("stop"), actions.add_parser("status")):
        action.add_argument("--name", default="default", help="which server, where there are several")
    asked = parser.parse_args(arguments)
    try:
        match asked.action:
            case "install":
                sys.stdout.write(f"{install()}\n")
            case "start":
                sys.stdout.write(f"{start(asked.name, port=asked.port, security=asked.security).url}\n")
            case "stop":
                machine.say("stopped" if stop(asked.name) else "it was not running")
            case "status":
                place = find(asked.name)
                if place is None:
                    machine.say("not running")
                    return 1
                shown = {"name": place.name, "url": place.url, "pid": place.pid, "log": place.log} | dict(place.files)
                sys.stdout.write(f"{json.dumps(shown)}\n")
    except ServerError as error:
        machine.say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
