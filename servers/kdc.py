"""A Kerberos realm with a KDC of MIT's on loopback: `python3 -m servers.kdc start|stop|status`.

    start [--name NAME] [--port PORT] [--user USER]... [--host HOST]...     already running: says where
    stop [--name NAME]
    status [--name NAME]                                                    JSON on standard output; exit 1 where it is not running

`start` prints KRB5_CONFIG=FILE, which clients and the lab need in their environment. The realm is LAB.EXAMPLE; each user's password lies
in a file beside it, each host has the service principals that WinRM's clients ask for, all in one keytab. The programs are Debian's
packages krb5-kdc, krb5-admin-server and krb5-user. No root is needed: nothing is outside the server's own directory.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from servers import machine
from servers.machine import Place, ServerError

REALM = "LAB.EXAMPLE"
USERS = ("purple",)
HOSTS = ("ws1.lab.example", "ws2.lab.example", "localhost")
SERVICES = ("HTTP", "WSMAN", "host")
"""What clients of WinRM ask for: pywinrm and browsers, Windows' own, pypsrp [RFC 4559 4.1]."""

_SBIN = ("/usr/sbin", "/usr/local/sbin")
"""Where Debian has a server's programs: on no user's path."""

_READY_SECONDS = 30
_INSTANCES = machine.Instances("kdc")


def absent() -> str:
    """Why no KDC can be started here, or nothing."""
    try:
        _program("krb5kdc", "krb5-kdc")
        _program("kadmin.local", "krb5-admin-server")
        _program("kdb5_util", "krb5-kdc")
        _program("kinit", "krb5-user")
    except ServerError as error:
        return str(error)
    return ""


def start(name: str = "default", *, port: int = 0, users: Sequence[str] = USERS, hosts: Sequence[str] = HOSTS) -> Place:
    """A realm that answers; the one that runs already where there is one. `port` 0 takes a free one. Raises ServerError.

    Of its `Place`: `files` are "config" (krb5.conf), "keytab" and "USER.password"; `secrets` are the users' passwords.
    """
    with _INSTANCES.locked(name):
        if (running := find(name)) is not None:
            return running
        if why := absent():
            raise ServerError(why)
        own = _INSTANCES.directory(name)
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(mode=0o700)
        return _launch(own, name, port or machine.free_port(), users, hosts)


def find(name: str = "default") -> Place | None:
    """The running realm of that name."""
    return _INSTANCES.find(name)


def stop(name: str = "default") -> bool:
    """End a realm and remove its directory; False where there was none. Raises ServerError."""
    return _INSTANCES.stop(name)


def _program(name: str, package: str) -> str:
    return machine.tool(name, package, also=_SBIN)


def _launch(own: Path, name: str, port: int, users: Sequence[str], hosts: Sequence[str]) -> Place:
    passwords = {user: secrets.token_urlsafe(18) for user in users}
    files = {"config": own / "krb5.conf", "keytab": own / "krb5.keytab"} | {f"{user}.password": own / f"{user}.password" for user in users}
    files["config"].write_text(_krb5_conf(port))
    (own / "kdc.conf").write_text(_kdc_conf(own, port))
    for user, password in passwords.items():
        _write_secret(files[f"{user}.password"], password)
    env = os.environ | {"KRB5_CONFIG": str(files["config"]), "KRB5_KDC_PROFILE": str(own / "kdc.conf")}
    _fill(own, files["keytab"], passwords, hosts, env)
    log = own / "kdc.log"
    process = machine.spawn([_program("krb5kdc", "krb5-kdc"), "-n"], log, cwd=own, env=env)
    place = Place(
        name=name,
        url=f"kerberos://127.0.0.1:{port}",
        pid=process.pid,
        born=machine.born(process.pid),
        log=str(log),
        files={key: str(path) for key, path in files.items()},
        secrets=passwords,
    )
    if not machine.wait_until(lambda: _listens(port) or not machine.alive(place), seconds=_READY_SECONDS) or not machine.alive(place):
        machine.end(place)
        raise ServerError(f"the KDC does not start: {machine.tail(log)}")
    _INSTANCES.write(place)
    return place


def _fill(own: Path, keytab: Path, passwords: Mapping[str, str], hosts: Sequence[str], env: Mapping[str, str]) -> None:
    """Make the realm's database. Passwords go by standard input: what is an argument can be read by every process of the machine."""
    master = secrets.token_urlsafe(18)
    make = [_program("kdb5_util", "krb5-kdc"), "-r", REALM, "create", "-s"]
    machine.run(make, "kdb5_util cannot make the realm", env=env, said=f"{master}\n{master}\n")
    services = [f"{service}/{host}" for host in hosts for service in SERVICES]
    lines = [
        *(f"addprinc -pw {password} {user}" for user, password in passwords.items()),
        *(f"addprinc -randkey {service}" for service in services),
        *(f"ktadd -k {keytab} {service}" for service in services),
    ]
    said = machine.run(
        [_program("kadmin.local", "krb5-admin-server"), "-r", REALM], "kadmin.local failed", env=env, said="\n".join(lines) + "\n"
    )
    if not keytab.exists():
        raise ServerError(f"kadmin.local wrote no keytab: {said[-500:]}")
    keytab.chmod(0o600)


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _krb5_conf(port: int) -> str:
    # No look-up by DNS of any kind: of a realm on loopback no server of the network knows, and each question costs seconds.
    return f"""[libdefaults]
    default_realm = {REALM}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    forwardable = true
[realms]
    {REALM} = {{
        kdc = 127.0.0.1:{port}
    }}
[domain_realm]
    .{REALM.lower()} = {REALM}
    {REALM.lower()} = {REALM}
    localhost = {REALM}
"""


def _kdc_conf(own: Path, port: int) -> str:
    return f"""[kdcdefaults]
    kdc_listen = ""
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {REALM} = {{
        database_name = {own}/principal
        key_stash_file = {own}/stash
        acl_file = {own}/kadm5.acl
        max_life = 10h
        max_renewable_life = 1d
        supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    }}
[logging]
    kdc = STDERR
"""


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python3 -m servers.kdc", description="A Kerberos realm with a KDC of MIT's on loopback.")
    actions = parser.add_subparsers(dest="action", required=True)
    starting = actions.add_parser("start", help="start it, or say where it runs already")
    starting.add_argument("--port", type=int, default=0, help="default: a free one")
    starting.add_argument("--user", action="append", help=f"default: {', '.join(USERS)}")
    starting.add_argument("--host", action="append", help=f"default: {', '.join(HOSTS)}")
    for action in (starting, actions.add_parser("stop"), actions.add_parser("status")):
        action.add_argument("--name", default="default", help="which realm, where there are several")
    asked = parser.parse_args(arguments)
    try:
        match asked.action:
            case "start":
                place = start(asked.name, port=asked.port, users=asked.user or USERS, hosts=asked.host or HOSTS)
                sys.stdout.write(f"KRB5_CONFIG={place.files['config']}\n")
                for key, path in place.files.items():
                    machine.say(f"{key}: {path}")
            case "stop":
                machine.say("stopped" if stop(asked.name) else "it was not running")
            case "status":
                found = find(asked.name)
                if found is None:
                    machine.say("not running")
                    return 1
                shown = {"name": found.name, "url": found.url, "realm": REALM, "pid": found.pid, "log": found.log} | dict(found.files)
                sys.stdout.write(f"{json.dumps(shown)}\n")
    except ServerError as error:
        machine.say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
