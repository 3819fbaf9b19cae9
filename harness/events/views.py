"""The forms in which one record can be written, a line each: what the shippers and Windows itself would make of it.

`harness.events.read` reads each of them back. This module must never know who wants them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from harness.events import nxlog, windows_xml, winlogbeat
from harness.events.windows import WindowsEvent

View = Callable[[WindowsEvent], str]


def _as_json(render: Callable[[WindowsEvent], dict[str, object]]) -> View:
    return lambda event: json.dumps(render(event), ensure_ascii=False)


VIEWS: Mapping[str, View] = {
    "jsonl": _as_json(winlogbeat.render),
    "nxlog": _as_json(nxlog.render),
    # An element is on one line: line feeds in its values are references, as carriage returns are.
    "xml": lambda event: windows_xml.render(event).replace("\n", "&#10;"),
}
"""By the name that people type: winlogbeat's documents are plainly "jsonl"."""
