"""ElastAlert2 over an Elasticsearch: `python3 -m servers.elastalert2 install|start|stop|status`.

    start --rules DIR --elasticsearch URL [--name NAME] [--run-every SECONDS] [--buffer SECONDS] [--writeback INDEX]
    stop [--name NAME]
    status [--name NAME]                               JSON on standard output; exit 1 where it is not running

It lives in a virtual environment of its own. Its rule files are those of the directory, taken up anew as they change.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from servers import machine
from servers.machine import Place, ServerError

VERSION = "2.19.0"
# It imports pytz and does not ask for it.
_PACKAGES = (f"elastalert2=={VERSION}", "pytz>=2024.1")
_READY_SECONDS = 60

_INSTANCES = machine.Instances("elastalert2")


def install() -> Path:
    """Make its environment where that was not done before; the directory of its programs. Raises ServerError."""
    home = machine.directory() / f"elastalert2-{VERSION}"
    with machine.locked("elastalert2"):
        if not (home / "installed").exists():
            shutil.rmtree(home, ignore_errors=True)
            machine.say(f"installing ElastAlert2 {VERSION}")
            machine.run([sys.executable, "-m", "venv", str(home)], "the virtual environment cannot be made (apt-get install python3-venv)")
            pip = [str(home / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", *_PACKAGES]
            machine.run(pip, "pip cannot install ElastAlert2", seconds=900)
            (home / "installed").touch()
    return home / "bin"


def installed() -> bool:
    """Whether `install` was done."""
    return (machine.directory() / f"elastalert2-{VERSION}" / "installed").exists()


def start(name: str, *, rules: Path, url: str, run_every: float = 60.0, buffer: float = 900.0, writeback: str = "elastalert") -> Place:
    """Start it; the one that runs already where there is one. `run_every` and `buffer` are seconds. Raises ServerError."""
    programs = install()
    with _INSTANCES.locked(name):
        if (running := find(name)) is not None:
            return running
        return _start(programs, name, rules, url, run_every, buffer, writeback)


def find(name: str = "default") -> Place | None:
    """The running one of that name."""
    return _INSTANCES.find(name)


def stop(name: str = "default") -> bool:
    """End it; False where there was none. What it wrote to Elasticsearch stays. Raises ServerError."""
    return _INSTANCES.stop(name)


def _start(programs: Path, name: str, rules: Path, url: str, run_every: float, buffer: float, writeback: str) -> Place:
    instance = _INSTANCES.directory(name)
    shutil.rmtree(instance, ignore_errors=True)
    instance.mkdir(mode=0o700)
    scheme, _, address = url.partition("://")
    host, _, port = address.rstrip("/").rpartition(":")
    if scheme != "http" or not port.isdigit():
        raise ServerError(f"{url} is not of the form http://HOST:PORT")
    if not rules.is_dir():
        raise ServerError(f"{rules} is no directory: harness rules translate --to elastalert --out DIR makes one")
    config = instance / "config.yaml"
    settings = {
        "es_host": host,
        "es_port": int(port),
        "rules_folder": str(rules.resolve()),
        "run_every": {"seconds": run_every},
        "buffer_time": {"seconds": buffer},
        "writeback_index": writeback,
        "alert_time_limit": {"hours": 1},
        "scan_subdirectories": False,
    }
    config.write_text(json.dumps(settings))  # JSON is YAML
    env = {"PATH": os.environ["PATH"], "HOME": str(instance), "PYTHONUNBUFFERED": "1"}
    indices = [str(programs / "elastalert-create-index"), "--config", str(config), "--index", writeback]
    options = ["--host", host, "--port", port, "--no-auth", "--no-ssl", "--url-prefix", "", "--old-index", ""]
    machine.run([*indices, *options], f"ElastAlert2 cannot make its indices at {url}", seconds=_READY_SECONDS, env=env)
    log = instance / "server.log"
    process = machine.spawn([str(programs / "elastalert"), "--config", str(config), "--verbose"], log, cwd=instance, env=env)
    place = Place(name=name, url=url, pid=process.pid, born=machine.born(process.pid), log=str(log))
    ready = machine.wait_until(lambda: process.poll() is not None or "Starting up" in log.read_text(), seconds=_READY_SECONDS)
    if not ready or process.poll() is not None:
        machine.end(place)
        raise ServerError(f"ElastAlert2 did not start:\n{machine.tail(log)}")
    _INSTANCES.write(place)
    return place


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python3 -m servers.elastalert2", description="ElastAlert2 over an Elasticsearch.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("install", help="make its environment, and no more")
    starting = actions.add_parser("start", help="start it, or say that it runs already")
    starting.add_argument("--rules", type=Path, required=True, help="the directory of its rule files")
    starting.add_argument("--elasticsearch", required=True, metavar="URL", help="such as python3 -m servers.elasticsearch start prints")
    starting.add_argument("--run-every", type=float, default=60.0, metavar="SECONDS")
    starting.add_argument("--buffer", type=float, default=900.0, metavar="SECONDS", help="how far back each run looks")
    starting.add_argument("--writeback", default="elastalert", metavar="INDEX")
    for action in (starting, actions.add_parser("stop"), actions.add_parser("status")):
        action.add_argument("--name", default="default", help="which one, where there are several")
    asked = parser.parse_args(arguments)
    try:
        match asked.action:
            case "install":
                sys.stdout.write(f"{install()}\n")
            case "start":
                place = start(
                    asked.name,
                    rules=asked.rules,
                    url=asked.elasticsearch,
                    run_every=asked.run_every,
                    buffer=asked.buffer,
                    writeback=asked.writeback,
                )
                sys.stdout.write(f"{place.log}\n")
            case "stop":
                machine.say("stopped" if stop(asked.name) else "it was not running")
            case "status":
                found = find(asked.name)
                if found is None:
                    machine.say("not running")
                    return 1
                sys.stdout.write(f"{json.dumps({'name': found.name, 'url': found.url, 'pid': found.pid, 'log': found.log})}\n")
    except ServerError as error:
        machine.say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
