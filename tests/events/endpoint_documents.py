"""Documents as the Elastic Endpoint writes them, in the shape of its package's field lists and sample events: one session's, by WinRM."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

SVCHOST = r"C:\Windows\System32\svchost.exe"
HOST_PROCESS = r"C:\Windows\System32\wsmprovhost.exe"


def entity(pid: int, run: str = "x") -> str:
    """An entity id: no two processes of any host have one, whatever their pids."""
    return f"YWdlbnQt{run}{pid}LTE3MDAwMDAwMDA="


@dataclass(frozen=True, kw_only=True)
class EndpointSession:
    """What the Endpoint of a host tells of one remote session: its connection, logon, host process and a child of that."""

    start: datetime
    host: str = "WS1"
    client: str = "10.77.0.5"
    port: int = 50001
    pid: int = 4000
    logon: int = 0xA001
    user: str = "purple"
    child: str = r"C:\Windows\System32\whoami.exe"
    run: str = "x"

    def documents(self) -> list[dict[str, Any]]:
        return [self.connection(), self.logged_on(), self.host_process(), self.child_process(), self.child_ended()]

    def connection(self, direction: str = "ingress") -> dict[str, Any]:
        return self._document(
            "network",
            0.05,
            action="connection_accepted",
            process={"name": "System", "pid": 4, "entity_id": entity(4, self.run), "executable": "System"},
            source={"address": self.client, "ip": self.client, "port": self.port},
            destination={"address": "10.77.0.9", "ip": "10.77.0.9", "port": 5985},
            network={"transport": "tcp", "type": "ipv4", "direction": direction},
            user={"domain": "NT AUTHORITY", "name": "SYSTEM", "id": "S-1-5-18"},
        )

    def logged_on(self) -> dict[str, Any]:
        return self._document(
            "security",
            0.06,
            action="log_on",
            category=["authentication", "session"],
            event={"provider": "Microsoft-Windows-Security-Auditing", "outcome": "success"},
            process={"Ext": {"authentication_id": "0x0", "session_info": {"logon_type": "Network"}}, "pid": 0, "name": ""},
            Target={"process": {"Ext": {"authentication_id": hex(self.logon)}}},
            winlog={"event_data": {"WorkstationName": "-", "TargetLinkedLogonId": "0x0"}},
            user={"domain": "LAB", "name": self.user, "id": "S-1-5-21-1-1001", "target": {"domain": "LAB", "name": self.user}},
        )

    def host_process(self) -> dict[str, Any]:
        return self._process(0.08, self.pid, HOST_PROCESS, 900, SVCHOST, [900])

    def child_process(self) -> dict[str, Any]:
        return self._process(0.2, self.pid + 4, self.child, self.pid, HOST_PROCESS, [self.pid, 900])

    def child_ended(self) -> dict[str, Any]:
        return self._process(0.25, self.pid + 4, self.child, self.pid, HOST_PROCESS, [self.pid, 900], ended=True)

    def _process(
        self, after: float, pid: int, image: str, parent: int, parent_image: str, line: list[int], *, ended: bool = False
    ) -> dict[str, Any]:
        return self._document(
            "process",
            after,
            action="end" if ended else "start",
            process={
                "Ext": {
                    "ancestry": [entity(each, self.run) for each in line],
                    "authentication_id": hex(self.logon),
                    "token": {"elevation": True},
                },
                "parent": {
                    "pid": parent,
                    "entity_id": entity(parent, self.run),
                    "executable": parent_image,
                    "name": parent_image.rpartition("\\")[2],
                    "args": [],
                },
                "pid": pid,
                "entity_id": entity(pid, self.run),
                "executable": image,
                "name": image.rpartition("\\")[2],
                "args": [image, "/groups"],
                "args_count": 2,
                "command_line": f"{image} /groups",
                "code_signature": {"trusted": True, "exists": True, "status": "trusted", "subject_name": "Microsoft Windows"},
                "hash": {"md5": "1b280ad032268a636ecfe6f9165431b7"},
                "pe": {"original_file_name": image.rpartition("\\")[2]},
            },
            user={"domain": "LAB", "name": self.user, "id": "S-1-5-21-1-1001"},
        )

    def _document(
        self,
        name: str,
        after: float,
        *,
        action: str,
        category: list[str] | None = None,
        event: dict[str, Any] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        time = f"{(self.start + timedelta(seconds=after)):%Y-%m-%dT%H:%M:%S.%f}7Z"  # a tenth of a microsecond
        return {
            "@timestamp": time,
            "agent": {"id": "4c9c9cb3-f80f-44d8-9c89-6168243b7f21", "type": "endpoint", "version": "8.19.0"},
            "data_stream": {"namespace": "default", "type": "logs", "dataset": f"endpoint.events.{name}"},
            "ecs": {"version": "8.10.0"},
            "event": {
                "action": action,
                "category": category or [name],
                "created": time,
                "dataset": f"endpoint.events.{name}",
                "id": f"MYfZG00oEwD2/fqT+++++{name}{action}{after}",
                "ingested": f"{(self.start + timedelta(seconds=after + 1)):%Y-%m-%dT%H:%M:%SZ}",
                "kind": "event",
                "module": "endpoint",
                "sequence": 36236,
                "type": ["end" if action == "end" else "start"],
                **(event or {}),
            },
            "host": {
                "architecture": "x86_64",
                "hostname": self.host,
                "id": f"2beebb8e-e5f0-46ca-8635-{self.host.lower():0>12}",
                "ip": ["10.77.0.9", "127.0.0.1"],
                "name": self.host.lower(),
                "os": {"Ext": {"variant": "Windows 11 Pro"}, "family": "windows", "name": "Windows", "type": "windows", "version": "22H2"},
            },
            "message": f"Endpoint {name} event",
            **fields,
        }
